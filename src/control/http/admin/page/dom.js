// Small things: elements made of text, and numbers as people read them.
//
// Everything from outside becomes text, never markup.

export const at = (id) => document.getElementById(id);

// An element with attributes and children; a child that is no element becomes text.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child ?? ""))));
  return element;
}

// Fills a table; cells are texts or elements, those after the first stand to the right
// unless their column's name begins with "<".
export function fill(table, columns, rows, none) {
  const isLeft = columns.map((name, index) => index === 0 || name.startsWith("<"));
  const names = columns.map((name) => name.replace("<", ""));
  // On a phone the columns of a wide table stand below each other, each with its name.
  table.classList.toggle("stacks", columns.length > 3);
  const cell = (tag, content, index) =>
    make(tag, { class: isLeft[index] ? null : "number", "data-name": tag === "td" ? names[index] : null }, content);
  const head = names.map((name, index) => cell("th", name, index));
  const body = rows.map((row) => make("tr", {}, ...row.map((content, index) => cell("td", content, index))));
  const empty = make("tr", {}, make("td", { colspan: columns.length, class: "soft" }, none ?? "none"));
  table.replaceChildren(
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...(body.length > 0 ? body : [empty])),
  );
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function count(number) {
  return Math.abs(number) < 10 && !Number.isInteger(number) ? short.format(number) : whole.format(number);
}

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? number : short.format(number)} ${units[unit]}`;
}

export function microseconds(us) {
  if (us === null) return "–";
  if (us >= 1e6) return `${short.format(us / 1e6)} s`;
  return us >= 1000 ? `${short.format(us / 1000)} ms` : `${short.format(us)} µs`;
}

export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
