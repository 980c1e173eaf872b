// The chat page: what is typed, clicked and received, and where it goes.

import { Lines } from "/home/lines.js";
import { Link } from "/home/link.js";
import { People } from "/home/people.js";
import { Token } from "/home/token.js";

const { app, websocketPort, websocketTlsPort, websocketPath, websocketUrl, httpUrl, allowedOrigins, nameBytes } = document.body.dataset;
// `api` is "open" where it asks for no key; `send` is the way to: "http", "socket" or none;
// `token` is "wanted" where a login needs one.
const { api: apiAccess, send: wayToSend, token: tokenWish } = document.body.dataset;
// Another origin answers only pages it knows. Who has opened this one under another
// name is served where it came from.
const api = allowedOrigins.split(" ").some(isOurs) ? httpUrl : "";
const SEND_MS = 10_000;
const NAME_KEY = "millgate-name";

const at = (id) => document.getElementById(id);
const text = at("text");
const nameField = at("name");
const lines = new Lines(at("lines"), at("newest"));
const token = tokenWish ? new Token({
  form: at("token-form"), field: at("token"), error: at("token-error"),
}, enter) : null;

let me = token?.name || nameAtStart();
// Whom the next message is for; empty means everybody.
let addressee = "";

const people = new People({
  list: at("users"),
  counts: document.querySelectorAll("[data-count]"),
  more: at("more"),
  fetchPage: apiAccess || token
    ? (limit) => ask(`/user/list?${new URLSearchParams({ appID: app, limit })}`)
    : null,
  choose: (name) => {
    address(name);
    openDrawer(false);
  },
});
const link = new Link(websocketAddress(), Number(app), { state: showState, push: receive, unproven });

nameField.value = me;
at("composer").hidden = !wayToSend;
at("read-only").hidden = Boolean(wayToSend);
// The token says who one is.
at("name-form").hidden = Boolean(token);
if (!token || token.text) link.start(me, token?.text);
else unproven("");

// Comes in with a new token.
function enter(text) {
  if (link.renew(token.name, text)) return;
  me = token.name;
  nameField.value = me;
  link.start(me, text);
}

function unproven(why) {
  showState("stopped", "Waiting for a token");
  at("reconnect").hidden = true;
  // What is typed now could go nowhere.
  at("composer").hidden = true;
  token.ask(why);
}

// Whether this page has an origin of this pattern: `https://*.example.org`, `http://localhost:*`.
function isOurs(pattern) {
  const literal = pattern.replace(/[.[\]]/g, "\\$&");
  const whole = literal.replace("://*\\.", "://[^/:]+\\.").replace(/:\*$/, "(:\\d+)?");
  return pattern !== "" && new RegExp(`^${whole}$`).test(location.origin);
}

function websocketAddress() {
  if (websocketUrl) return websocketUrl;
  const [scheme, port] = location.protocol === "https:" ? ["wss", websocketTlsPort] : ["ws", websocketPort];
  // Without a port of its own it is where the page came from: a proxy serves both.
  const place = port ? `${location.hostname}:${port}` : location.host;
  return `${scheme}://${place}${websocketPath}`;
}

function showState(state, words) {
  at("state").dataset.state = state;
  at("state-text").textContent = words;
  at("reconnect").hidden = state !== "waiting" && state !== "stopped";
  if (state === "online") {
    token?.accepted();
    at("composer").hidden = !wayToSend;
    people.reset(me);
  }
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
      if (data.target) lines.theirs(data.from, data.msg, true);
      else receiveMessage(data.from, data.msg);
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
  try {
    const results = await (wayToSend === "socket" ? pass(message, to) : post(message, to));
    if (results.sendResults) line.sent();
    else line.failed(complaint(results.sendResultsErr, to), again);
    if (to && !results.sendResults) people.missing(to);
  } catch (error) {
    line.failed(`Not sent: ${reason(error)}.`, again);
  }
}

// Over the WebSocket: the server knows whom it is from.
function pass(message, to) {
  return link.ask("send", to ? { userID: to, message } : { message });
}

// Over the HTTP API.
function post(message, to) {
  const form = to
    ? { appID: app, userID: to, msgID: freshId(), message: signed(message) }
    : { appID: app, userID: me, msgID: freshId(), message };
  const route = to ? "/user/sendMessage" : "/user/sendMessageAll";
  return ask(route, { method: "POST", body: new URLSearchParams(form) });
}

// Errors of our own are sentences; all others are the browser's.
function reason(error) {
  if (error.name === "TimeoutError") return "no answer in time";
  return error.constructor === Error ? error.message : "the server cannot be reached";
}

// What the server says of a message that not everybody got, as a sentence.
function complaint(said, to) {
  if (said) return `${said[0].toUpperCase()}${said.slice(1)}.`;
  return to ? `Not sent: ${to} is not online.` : "Not sent: the server did not take it.";
}

// Asks the HTTP API and returns the data of its answer.
async function ask(path, options = {}) {
  const signal = AbortSignal.timeout(SEND_MS);
  const headers = token?.text ? { Authorization: `Bearer ${token.text}` } : {};
  const response = await fetch(api + path, { ...options, headers, signal, credentials: "omit" });
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
