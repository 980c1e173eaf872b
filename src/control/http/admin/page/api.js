// What is asked of the node, with the operator's key: in a header, which no page of
// somebody else can send, and never in a cookie, which the browser would send by itself.

const KEY = "millgate-admin-key";
const PATIENCE_MS = 15_000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keep(text) {
  if (text === "") sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, text);
}

// Takes the key out of a link of the node (#key=…). It stays in no history.
export function keepFromLink() {
  const found = new URLSearchParams(location.hash.slice(1)).get("key");
  if (found === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  keep(found.trim());
}

// The data of an answer.
export async function ask(path, options = {}) {
  const response = await send(path, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  const answer = await response.json();
  return answer.data;
}

// Posts a form; fields without a value are left out.
export function post(path, fields = {}) {
  return ask(path, { method: "POST", body: form(fields) });
}

// Posts a form and hands out the lines of the answer as they come, until `signal` ends it.
export async function follow(path, fields, signal, take) {
  const response = await send(path, { method: "POST", body: form(fields), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.filter((line) => line !== "").forEach((line) => take(JSON.parse(line)));
  }
}

function form(fields) {
  return new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== ""));
}

async function send(path, options) {
  const headers = key() === "" ? {} : { "X-API-Key": key() };
  const response = await fetch(path, { credentials: "omit", cache: "no-store", ...options, headers });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Refused(response.status, answer.msg ?? response.statusText);
}
