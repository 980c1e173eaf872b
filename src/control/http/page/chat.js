// The chat page: what is typed, clicked and received, and where it goes.

import { Lines } from "/home/lines.js";
import { Link } from "/home/link.js";
import { People } from "/home/people.js";

const { app, websocketPort, websocketPath, websocketUrl, httpUrl, allowedOrigins, nameBytes } = document.body.dataset;
// Another origin answers only pages it knows. Who has opened this one under another
// name is served where it came from.
const api = allowedOrigins.split(" ").includes(location.origin) ? httpUrl : "";
const SEND_MS = 10_000;
const NAME_KEY = "millgate-name";

const at = (id) => document.getElementById(id);
const text = at("text");
const nameField = at("name");
const lines = new Lines(at("lines"), at("newest"));

let me = nameAtStart();
// Whom the next message is for; empty means everybody.
let addressee = "";

const people = new People({
  list: at("users"),
  counts: document.querySelectorAll("[data-count]"),
  more: at("more"),
  fetchPage: (limit) => ask(`/user/list?${new URLSearchParams({ appID: app, limit })}`),
  choose: (name) => {
    address(name);
    openDrawer(false);
  },
});
const link = new Link(websocketAddress(), Number(app), { state: showState, push: receive });

nameField.value = me;
link.start(me);

function websocketAddress() {
  if (websocketUrl) return websocketUrl;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  // Without a port of its own it is where the page came from: a proxy serves both.
  const place = websocketPort ? `${location.hostname}:${websocketPort}` : location.host;
  return `${scheme}://${place}${websocketPath}`;
}

function showState(state, words) {
  at("state").dataset.state = state;
  at("state-text").textContent = words;
  at("reconnect").hidden = state !== "waiting" && state !== "stopped";
  if (state === "online") people.reset(me);
}

function receive(cmd, data) {
  switch (cmd) {
    case "enter":
      people.entered(data.from);
      lines.note(`${data.from} came in`);
      break;
    case "exit":
      people.left(data.from);
      lines.note(`${data.from} left`);
      break;
    case "presence":
      people.digest(data.online);
      break;
    case "msg":
      receiveMessage(data.from, data.msg);
      break;
  }
}

// A message to one user is from that user, in the protocol: what comes from
// oneself was sent by somebody to us alone. This page puts its name before the text.
function receiveMessage(from, message) {
  if (from !== me) {
    lines.theirs(from, message, false);
    return;
  }
  const [, author, said] = /^\[((?:[^\\\]]|\\.)+)\] (.*)$/s.exec(message) ?? [null, "somebody", message];
  lines.theirs(author.replace(/\\(.)/gs, "$1"), said, true);
}

// A bracket in the name would end it too early.
function signed(message) {
  return `[${me.replace(/[\\\]]/g, "\\$&")}] ${message}`;
}

async function say(message, to) {
  const line = lines.mine(me, message, to);
  const again = () => say(message, to);
  const form = to
    ? { appID: app, userID: to, msgID: freshId(), message: signed(message) }
    : { appID: app, userID: me, msgID: freshId(), message };
  try {
    const route = to ? "/user/sendMessage" : "/user/sendMessageAll";
    const results = await ask(route, { method: "POST", body: new URLSearchParams(form) });
    if (results.sendResults) line.sent();
    else line.failed(complaint(results.sendResultsErr, to), again);
    if (to && !results.sendResults) people.missing(to);
  } catch (error) {
    const why = error.name === "TimeoutError" ? "no answer in time" : "the server cannot be reached";
    line.failed(`Not sent: ${why}.`, again);
  }
}

// What the server says of a message that not everybody got, as a sentence.
function complaint(said, to) {
  if (said) return `${said[0].toUpperCase()}${said.slice(1)}.`;
  return to ? `Not sent: ${to} is not online.` : "Not sent: the server did not take it.";
}

// Asks the HTTP API and returns the data of its answer.
async function ask(path, options = {}) {
  const signal = AbortSignal.timeout(SEND_MS);
  const response = await fetch(api + path, { ...options, signal, credentials: "omit" });
  const answer = await response.json();
  if (answer.code !== 200) throw new Error(answer.msg);
  return answer.data;
}

function freshId() {
  const words = crypto.getRandomValues(new Uint32Array(4));
  return Array.from(words, (word) => word.toString(16).padStart(8, "0")).join("");
}

// A name kept from the page before, when a link led from room to room; it is
// taken out of the store so that a copy of this tab gets a name of its own.
function nameAtStart() {
  let kept = null;
  try {
    kept = sessionStorage.getItem(NAME_KEY);
    sessionStorage.removeItem(NAME_KEY);
    addEventListener("pagehide", () => sessionStorage.setItem(NAME_KEY, me));
  } catch {
    // No store, no memory.
  }
  return kept && fits(kept) ? kept : randomName();
}

function randomName() {
  const first = ["amber", "brave", "calm", "eager", "fair", "keen", "lucky", "merry", "quiet", "swift"];
  const second = ["crane", "finch", "heron", "lynx", "otter", "raven", "robin", "seal", "stoat", "wren"];
  const [a, b, c] = crypto.getRandomValues(new Uint32Array(3));
  const name = `${first[a % first.length]}-${second[b % second.length]}-${c % 10_000}`;
  return fits(name) ? name : String(c).slice(0, Number(nameBytes));
}

function fits(name) {
  const bytes = new TextEncoder().encode(name).length;
  return bytes > 0 && bytes <= Number(nameBytes);
}

function address(name) {
  addressee = name;
  at("addressee").hidden = name === "";
  at("addressee-name").textContent = name;
  text.placeholder = name === "" ? "Message the room" : `Message ${name}`;
  text.focus();
}

function openDrawer(open) {
  document.body.classList.toggle("drawer-open", open);
  at("veil").hidden = !open;
  at("people-toggle").setAttribute("aria-expanded", String(open));
  if (open) at("people").focus();
}

function closeDrawer() {
  openDrawer(false);
  at("people-toggle").focus();
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = text.value.trim();
  if (message === "") return;
  text.value = "";
  text.focus();
  say(message, addressee);
});

text.addEventListener("keydown", (event) => {
  // While a word is being composed, Enter chooses it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("composer").requestSubmit();
});

at("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = nameField.value.trim();
  const isGood = fits(name);
  at("name-error").textContent = isGood ? "" : `A name has 1 to ${nameBytes} bytes.`;
  nameField.setAttribute("aria-invalid", String(!isGood));
  if (!isGood || name === me) return;
  me = name;
  lines.note(`You are ${name} now`);
  link.start(name);
  openDrawer(false);
});

at("to-all").addEventListener("click", () => address(""));
at("reconnect").addEventListener("click", () => link.again());
at("people-toggle").addEventListener("click", () => openDrawer(at("veil").hidden));
at("close").addEventListener("click", closeDrawer);
at("veil").addEventListener("click", closeDrawer);
addEventListener("online", () => link.hurry());
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (!at("veil").hidden) {
    closeDrawer();
  } else if (addressee) {
    address("");
  }
});
