// Draws openapi.json and the text on the WebSocket protocol. Everything is set as text, nothing as markup.

import { anchor, inline, markdown } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const BODY_MAX = 20000;
const TAGS = { users: "Users", messages: "Messages", node: "The node", admin: "For operators", pages: "Pages" };

function fieldsOf(operation) {
  const fields = (operation.parameters ?? []).map((field) => ({ ...field, place: field.in }));
  const content = operation.requestBody?.content ?? {};
  const form = content["application/x-www-form-urlencoded"]?.schema;
  for (const [name, schema] of Object.entries(form?.properties ?? {})) {
    fields.push({ name, place: "form", schema, description: schema.description,
      example: schema.example, required: form.required?.includes(name) });
  }
  const json = content["application/json"];
  if (json) {
    fields.push({ name: "body", place: "json", description: "JSON", example: JSON.stringify(json.example ?? {}), required: true });
  }
  return fields;
}

function drawField(field) {
  const label = $("field").content.cloneNode(true).firstElementChild;
  const input = label.querySelector("input");
  label.querySelector(".name").textContent = field.name + (field.required ? " *" : "");
  label.querySelector("small").append(...inline(field.description ?? ""));
  if (field.place === "json") label.classList.add("whole");
  input.value = field.required ? field.example ?? "" : "";
  input.placeholder = field.example ?? "";
  return { label, input, field };
}

// What the fields say: the query, the form, and a body in JSON.
function request(inputs) {
  const asked = { query: new URLSearchParams(), form: new URLSearchParams(), json: null };
  for (const { input, field } of inputs) {
    if (input.value === "" && !field.required) continue;
    if (field.place === "json") asked.json = input.value;
    else asked[field.place]?.set(field.name, input.value);
  }
  return asked;
}

function target(path, query) {
  return `.${path}${[...query].length > 0 ? `?${query}` : ""}`;
}

// For a POSIX shell.
function quoted(text) {
  return /^[\w.:/=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function curl(verb, path, inputs) {
  const { query, form, json } = request(inputs);
  const words = ["curl"];
  if (verb === "delete" || (verb === "post" && json === null && [...form].length === 0)) words.push("-X", verb.toUpperCase());
  // The key itself stays in its field.
  if ($("key").value) words.push("-H", '"X-API-Key: $KEY"');
  if (json !== null) words.push("-H", quoted("Content-Type: application/json"), "-d", quoted(json));
  for (const [name, value] of form) {
    words.push(/[%&+=@]/.test(value) ? "--data-urlencode" : "-d", quoted(`${name}=${value}`));
  }
  words.push(quoted(new URL(target(path, query), document.baseURI).href));
  return words.join(" ");
}

async function ask(verb, path, inputs) {
  const { query, form, json } = request(inputs);
  const options = { method: verb.toUpperCase(), headers: {} };
  if (json !== null) {
    options.headers["Content-Type"] = "application/json";
    options.body = json;
  } else if ([...form].length > 0) {
    options.body = form;
  }
  if ($("key").value) options.headers["X-API-Key"] = $("key").value;
  const answer = await fetch(target(path, query), options);
  const text = await answer.text();
  const shown = text.length > BODY_MAX ? text.slice(0, BODY_MAX) + "…" : text;
  return `${answer.status} ${answer.statusText}\n\n${pretty(shown)}`;
}

// JSON on several lines where it is long; other text as it is.
function pretty(text) {
  try {
    const value = JSON.parse(text);
    return text.length > 100 ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

function draw(verb, path, operation) {
  const section = $("operation").content.cloneNode(true).firstElementChild;
  const part = (name) => section.querySelector(name);
  section.id = operation.operationId;
  part(".verb").textContent = verb.toUpperCase();
  part(".verb").classList.add(verb);
  part(".path").textContent = path;
  part(".summary").textContent = operation.summary ?? "";
  part(".description").append(markdown(operation.description ?? "", 4));
  const inputs = fieldsOf(operation).map(drawField);
  part(".fields").append(...inputs.map(({ label }) => label));
  const showCommand = () => { part(".command").textContent = curl(verb, path, inputs); };
  showCommand();
  part("form").addEventListener("input", showCommand);
  $("key").addEventListener("input", showCommand);
  part(".copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(part(".command").textContent);
      part(".copy").textContent = "Copied";
    } catch {
      // Pages without TLS may not write to the clipboard.
      getSelection().selectAllChildren(part(".command"));
    }
  });
  for (const [status, { description }] of Object.entries(operation.responses)) {
    const term = document.createElement("dt");
    const meaning = document.createElement("dd");
    term.textContent = status;
    meaning.append(...inline(description));
    part("dl").append(term, meaning);
  }
  const example = Object.values(operation.responses["200"]?.content ?? {})[0]?.example;
  part(".example").hidden = example === undefined;
  part(".example pre").textContent = typeof example === "string" ? example : pretty(JSON.stringify(example) ?? "");
  part("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const isOrder = verb !== "get" && operation.tags?.includes("admin");
    if (isOrder && !confirm(`Really? ${operation.summary}.`)) return;
    const answer = part(".answer");
    answer.hidden = false;
    answer.textContent = "…";
    try {
      answer.textContent = await ask(verb, path, inputs);
    } catch (error) {
      answer.textContent = `No answer: ${error.message}`;
    }
  });
  return section;
}

function title(level, text) {
  const made = document.createElement(level);
  made.textContent = text;
  made.id = anchor(text);
  return made;
}

// Links to all that has a heading or is an operation.
function drawContents() {
  const list = document.createElement("ul");
  for (const place of document.querySelectorAll("main h2, main .prose > h3, .operation")) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `docs#${place.id}`;
    link.textContent = place.matches(".operation") ? place.querySelector("h3").textContent : place.textContent;
    item.className = place.tagName === "H2" ? "top" : "";
    item.append(link);
    list.append(item);
  }
  $("contents").replaceChildren(list);
}

async function start() {
  const [api, protocol] = await Promise.all([
    fetch("openapi.json").then((answer) => answer.json()),
    fetch("docs/protocol.md").then((answer) => answer.text()),
  ]);
  $("version").textContent = api.info.version;
  $("about").append(title("h2", "HTTP API"), markdown(api.info.description));
  const operations = Object.entries(api.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => [verb, path, operation]));
  for (const { name } of api.tags) {
    const ours = operations.filter(([, , operation]) => operation.tags?.[0] === name);
    if (ours.length > 0) $("operations").append(title("h2", TAGS[name] ?? name), ...ours.map((one) => draw(...one)));
  }
  $("protocol").append(markdown(protocol, 1));
  drawContents();
  // The place that was asked for is there only now.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

$("key-form").addEventListener("submit", (event) => event.preventDefault());
start().catch((error) => { $("operations").textContent = `The description cannot be read: ${error.message}`; });
