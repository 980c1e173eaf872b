// The admin page: asks the node how it is once a second, and passes orders on.

import { Refused, ask, keep, key } from "./api.js";
import { at } from "./dom.js";
import { Drain, kick, reloads } from "./orders.js";
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
  }
  // A page that nobody looks at need not ask.
  if (!document.hidden) timer = setTimeout(look, PERIOD_MS);
}

function wantKey(message) {
  at("panels").hidden = true;
  at("key-form").hidden = false;
  at("ready").dataset.state = "unknown";
  at("ready-text").textContent = "Locked";
  at("key-error").textContent = key() === "" ? "" : message;
  keep("");
  at("forget").hidden = true;
  at("key").focus();
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
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(at("key").value.trim());
  at("key").value = "";
  look();
});

at("forget").addEventListener("click", () => {
  keep("");
  location.reload();
});

at("whom-kind").addEventListener("change", showKind);
at("whom-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [kind, name] = [at("whom-kind").value, at("whom").value.trim()];
  if (name === "") return;
  const whom = { [kind]: name };
  if (kind === "userID") whom.appID = at("whom-app").value.trim();
  if (event.submitter?.value === "trace") trace.begin(whom, name);
  else kick(whom, name);
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !at("panels").hidden) look();
});

reloads();
showKind();
look();
