// The chat page: what is typed, clicked and received, and where it goes.

import { Lines } from "./lines.js";
import { Link } from "./link.js";
import { NotServed, People } from "./people.js";
import { Token } from "./token.js";

const { app, httpPorts, websocketPort, websocketTlsPort, websocketPath, websocketUrl, httpUrl, allowedOrigins, nameBytes } = document.body.dataset;
// `api` is "open" where it asks for no key; `send` is the way to: "http", "socket" or none;
// `token` is "wanted" where a login needs one.
const { api: apiAccess, send: wayToSend, token: tokenWish } = document.body.dataset;
// Another origin answers only pages it knows. Who has opened this one under another
// name is served where it came from.
const api = allowedOrigins.split(" ").some(isOurs) ? httpUrl : "";
// Where the gateway begins: a proxy may serve it below a path.
const base = new URL("..", location.href);
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
    ? (limit) => ask(`user/list?${new URLSearchParams({ appID: app, limit })}`)
    : null,
  choose: (name) => {
    address(name);
    openDrawer(false);
  },
  changed: () => hint(),
  unserved: (error) => explain(error),
});
const link = new Link(websocketAddresses(), Number(app), { state: showState, push: receive, unproven, displaced });

nameField.value = me;
canSend(true);
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

// Where to try, first things first. A page that came through a proxy tries the proxy before the port
// that the gateway itself listens on.
function websocketAddresses() {
  if (websocketUrl) return [websocketUrl];
  const isSecure = location.protocol === "https:";
  const [scheme, port] = isSecure ? ["wss", websocketTlsPort] : ["ws", websocketPort];
  const here = `${scheme}://${location.host}${base.pathname}${websocketPath.slice(1)}`;
  if (!port) return [here];
  const direct = `${scheme}://${location.hostname}:${port}${websocketPath}`;
  const seenPort = location.port || (isSecure ? "443" : "80");
  return httpPorts.split(" ").includes(seenPort) ? [direct] : [here, direct];
}

function showState(state, words) {
  at("state").dataset.state = state;
  at("state-text").textContent = words;
  at("reconnect").hidden = state !== "waiting" && state !== "stopped";
  at("reconnect").textContent = "Connect now";
  if (state === "online") {
    token?.accepted();
    canSend(true);
    at("trouble").hidden = true;
    people.reset(me);
  } else {
    at("alone").hidden = true;
  }
}

// This user has logged in somewhere else, and that is where messages go now. Both would take the place
// from each other for ever if this page came back by itself.
function displaced() {
  showState("stopped", "You are logged in somewhere else");
  at("reconnect").textContent = "Take over here";
  lines.note(`${me} has logged in somewhere else, and gets the messages there. This page gets none until you take over again.`);
}

function canSend(isReachable) {
  const can = Boolean(wayToSend) && isReachable;
  at("composer").hidden = !can;
  at("read-only").hidden = can;
}

// The first who comes sees an empty page: says what to do with it.
function hint() {
  const isAlone = at("state").dataset.state === "online" && at("users").childElementCount <= 1 && lines.isEmpty;
  at("alone").hidden = !isAlone || !at("trouble").hidden;
  const showsApi = apiAccess === "open";
  at("alone-api").hidden = !showsApi;
  at("alone-curl").hidden = !showsApi;
  at("alone-curl").textContent = `curl -d appID=${app} -d userID=robot -d message=hello ${url("user/sendMessageAll")}`;
}

// Says what of the API cannot be reached where this page came from, what follows, and what helps.
async function explain(error) {
  const missing = [`${error.route} (HTTP ${error.status}): the list holds only people who come while you are here.`];
  if (wayToSend === "http") {
    // The gateway answers this in JSON, if only to say that it wants POST; nothing is sent.
    const found = await probe("user/sendMessageAll");
    if (found !== null) {
      missing.push(`POST /user/sendMessageAll (HTTP ${found}): nothing can be sent from here.`);
      canSend(false);
    }
  }
  at("alone").hidden = true;
  at("trouble").hidden = false;
  at("trouble-title").textContent = `You are connected, but ${new URL(url("")).host} does not pass on all of the gateway:`;
  at("trouble-list").replaceChildren(...missing.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  at("trouble-advice").textContent = "For the operator: let the proxy pass these routes on, or let clients send over the WebSocket " +
    "(auth.jwt, or auth.send_without_token = true). config/nginx/http.conf shows both.";
}

// The status of a route that is not the gateway's; null if it is.
async function probe(path) {
  try {
    const response = await fetch(url(path), { signal: AbortSignal.timeout(SEND_MS), credentials: "omit" });
    const answer = await response.json().catch(() => null);
    return answer === null ? response.status : null;
  } catch {
    return null;
  }
}

function receive(cmd, data) {
  at("alone").hidden = true;
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
  at("alone").hidden = true;
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
  const route = to ? "user/sendMessage" : "user/sendMessageAll";
  return ask(route, { method: "POST", body: new URLSearchParams(form) });
}

// Errors of our own are sentences; all others are the browser's.
function reason(error) {
  if (error.name === "TimeoutError") return "no answer in time";
  return error.constructor === Error || error instanceof NotServed ? error.message : "the server cannot be reached";
}

// What the server says of a message that not everybody got, as a sentence.
function complaint(said, to) {
  if (said) return `${said[0].toUpperCase()}${said.slice(1)}.`;
  return to ? `Not sent: ${to} is not online.` : "Not sent: the server did not take it.";
}

// A route of the HTTP API as it is reached from here.
function url(path) {
  return api ? `${api}/${path}` : new URL(path, base).href;
}

// Asks the HTTP API and returns the data of its answer.
async function ask(path, options = {}) {
  const signal = AbortSignal.timeout(SEND_MS);
  const headers = token?.text ? { Authorization: `Bearer ${token.text}` } : {};
  const response = await fetch(url(path), { ...options, headers, signal, credentials: "omit" });
  const answer = await response.json().catch(() => null);
  if (answer === null) {
    // The gateway answers in JSON, so this is somebody else.
    const route = `${options.method ?? "GET"} /${path.split("?")[0]}`;
    throw [403, 404, 405].includes(response.status) ? new NotServed(route, response.status) : new Error(`HTTP ${response.status}`);
  }
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

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    at("copy").textContent = "Copied";
  } catch {
    // Pages without TLS may not write to the clipboard.
    at("copy").textContent = location.href;
  }
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
