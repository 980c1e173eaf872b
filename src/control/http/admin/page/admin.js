// The admin page: asks the node how it is once a second, and passes orders on.

import { Refused, ask, keep, keepFromLink, key } from "./api.js";
import { at, bytes, fill, make } from "./dom.js";
import { Drain, attempt, kick, reloads } from "./orders.js";
import { Trace } from "./trace.js";
import { View } from "./view.js";

const PERIOD_MS = 1_000;
const PLACEHOLDERS = { userID: "ann", appID: "101", address: "203.0.113.7 or 203.0.113.0/24", conn: "0.17.4" };

const drain = new Drain();
const trace = new Trace();
const view = new View((conn) => choose("conn", conn));
let timer = 0;

async function look() {
  clearTimeout(timer);
  try {
    const state = await ask("admin/state");
    at("key-form").hidden = true;
    at("panels").hidden = false;
    at("panels").classList.remove("stale");
    at("forget").hidden = key() === "";
    view.show(state);
    drain.show(state);
  } catch (error) {
    if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
      wantKey(error.message);
      return;
    }
    at("ready").dataset.state = "unknown";
    at("ready-text").textContent = "No answer";
    at("panels").classList.add("stale");
    drain.lost();
  }
  // A page that nobody looks at need not ask.
  if (!document.hidden) timer = setTimeout(look, PERIOD_MS);
}

function wantKey(message) {
  at("panels").hidden = true;
  at("key-form").hidden = false;
  at("ready").dataset.state = "unknown";
  at("ready-text").textContent = "Locked";
  // In the words of the node, which knows why.
  at("key-error").textContent = message;
  keep("");
  at("forget").hidden = true;
  at("key").focus();
}

// Shows the connections that are meant, each with what can be done to it.
async function find(whom, name) {
  await attempt("whom-said", async () => {
    const { connections, elsewhere, partial } = await ask(`admin/connections?${new URLSearchParams(whom)}`);
    const rows = connections.map((found) => [
      make("button", { type: "button", class: "link", onclick: () => choose("conn", found.conn) }, found.conn),
      found.userID === null ? "nobody" : `${found.userID} (${found.appID})`,
      found.client,
      bytes(found.waitingBytes),
      make("button", { type: "button", class: "quiet", onclick: () => trace.begin({ conn: found.conn }, found.conn) }, "Trace"),
    ]);
    at("found").hidden = false;
    fill(at("found"), ["Connection", "<User", "<From", "Waits", "<"], rows, "No such connection on this node.");
    const words = [`${connections.length}${partial ? " and perhaps more" : ""} found for ${name} on this node.`];
    if (elsewhere?.length > 0) words.push(`Also on ${elsewhere.join(", ")}.`);
    return words.join(" ");
  });
}

function chosen() {
  const [kind, name] = [at("whom-kind").value, at("whom").value.trim()];
  const whom = { [kind]: name };
  const app = at("whom-app").value.trim();
  if (kind === "userID" && app !== "") whom.appID = app;
  return [whom, name];
}

function choose(kind, name) {
  at("whom-kind").value = kind;
  at("whom").value = name;
  showKind();
  at("whom").scrollIntoView({ block: "center" });
  at("whom").focus();
}

function showKind() {
  const kind = at("whom-kind").value;
  at("whom").placeholder = PLACEHOLDERS[kind];
  at("whom-app").hidden = kind !== "userID";
  showChosen();
}

function showChosen() {
  const [whom, name] = chosen();
  at("kick-whom").textContent = name === "" ? "nobody yet" : Object.entries(whom).map((pair) => pair.join(" ")).join(", ");
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(at("key").value.trim());
  at("key").value = "";
  look();
});

window.addEventListener("hashchange", () => {
  keepFromLink();
  look();
});

at("forget").addEventListener("click", () => {
  keep("");
  location.reload();
});

at("whom-kind").addEventListener("change", showKind);
at("whom-form").addEventListener("input", showChosen);
at("whom-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [whom, name] = chosen();
  if (name === "") return;
  if (event.submitter?.value === "trace") trace.begin(whom, name);
  else if (event.submitter?.value === "kick") kick(whom, name);
  else find(whom, name);
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !at("panels").hidden) look();
});

reloads();
showKind();
keepFromLink();
look();
