"use strict";
// Draws openapi.json. Everything is set as text, nothing as markup.

const $ = (id) => document.getElementById(id);
const BODY_MAX = 20000;

function fieldsOf(operation) {
  const fields = (operation.parameters || []).map((p) => ({ ...p, place: p.in }));
  const content = operation.requestBody?.content || {};
  const form = content["application/x-www-form-urlencoded"]?.schema;
  for (const [name, schema] of Object.entries(form?.properties || {})) {
    fields.push({ name, place: "form", schema, description: schema.description,
      example: schema.example, required: form.required?.includes(name) });
  }
  if (content["application/json"]) {
    fields.push({ name: "body", place: "json", description: "JSON", example: '{"messages":[]}', required: true });
  }
  return fields;
}

function drawField(field) {
  const label = $("field").content.cloneNode(true).firstElementChild;
  const input = label.querySelector("input");
  label.querySelector(".name").textContent = field.name + (field.required ? " *" : "");
  label.querySelector("small").textContent = field.description || "";
  input.value = field.required ? field.example ?? "" : "";
  input.placeholder = field.example ?? "";
  return { label, input, field };
}

async function ask(verb, path, inputs) {
  const query = new URLSearchParams();
  const form = new URLSearchParams();
  const request = { method: verb, headers: {} };
  for (const { input, field } of inputs) {
    if (input.value === "" && !field.required) continue;
    if (field.place === "query") query.set(field.name, input.value);
    if (field.place === "form") form.set(field.name, input.value);
    if (field.place === "json") {
      request.headers["Content-Type"] = "application/json";
      request.body = input.value;
    }
  }
  if ([...form].length) request.body = form;
  if ($("key").value) request.headers["X-API-Key"] = $("key").value;
  const target = `.${path}${[...query].length ? `?${query}` : ""}`;
  const answer = await fetch(target, request);
  const text = await answer.text();
  const shown = text.length > BODY_MAX ? text.slice(0, BODY_MAX) + "…" : text;
  return `${answer.status} ${answer.statusText}\n\n${shown}`;
}

function draw(verb, path, operation) {
  const section = $("operation").content.cloneNode(true).firstElementChild;
  const part = (name) => section.querySelector(name);
  part(".verb").textContent = verb;
  part(".verb").classList.add(verb);
  part(".path").textContent = path;
  part(".summary").textContent = operation.summary || "";
  part(".description").textContent = operation.description || "";
  const inputs = fieldsOf(operation).map(drawField);
  part(".fields").append(...inputs.map(({ label }) => label));
  for (const [status, { description }] of Object.entries(operation.responses)) {
    const term = document.createElement("dt");
    const meaning = document.createElement("dd");
    term.textContent = status;
    meaning.textContent = description;
    part("dl").append(term, meaning);
  }
  part("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const isOrder = verb !== "get" && operation.tags?.includes("admin");
    if (isOrder && !confirm(`Really? ${operation.summary}.`)) return;
    const answer = part(".answer");
    answer.hidden = false;
    answer.textContent = "…";
    try {
      answer.textContent = await ask(verb.toUpperCase(), path, inputs);
    } catch (error) {
      answer.textContent = `No answer: ${error.message}`;
    }
  });
  return section;
}

async function start() {
  const answer = await fetch("openapi.json");
  const api = await answer.json();
  $("title").textContent = `${api.info.title} API ${api.info.version}`;
  $("about").textContent = api.info.description;
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) {
      $("operations").append(draw(verb, path, operation));
    }
  }
}

$("key-form").addEventListener("submit", (event) => event.preventDefault());

start().catch((error) => { $("operations").textContent = `The description cannot be read: ${error.message}`; });
