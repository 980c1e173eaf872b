// Charts: the last two minutes of a number as a line with its scale, shares as bars. Plain SVG.

import { make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SPAN_MS = 120_000;
const WIDTH = 240;
const HEIGHT = 60;

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The values of a number in the last two minutes, each with its time.
export class Series {
  #points = [];

  push(value) {
    const now = Date.now();
    this.#points.push([now, value]);
    while (this.#points[0][0] < now - SPAN_MS) this.#points.shift();
  }

  get points() {
    return this.#points;
  }
}

// The next 2, 4 or 10 times a power of ten: half of it is a round number as well.
export function roundTop(value) {
  if (value <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(value));
  return [2, 4, 10].map((factor) => factor * power).find((top) => top >= value * 0.999_999);
}

// A line chart for some series, each with a class of its own. It is made once and drawn again and again;
// `say(value)` writes a value on the scale, with its unit.
export class Lines {
  #lines; #scale; #picture; #title; #say;

  constructor(title, names, say) {
    this.#title = title;
    this.#say = say;
    const grid = [1, HEIGHT / 2, HEIGHT - 1].map((y) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y, "vector-effect": "non-scaling-stroke" }));
    this.#lines = names.map((name) => svg("polyline", { class: `line ${name}`, fill: "none", "vector-effect": "non-scaling-stroke" }));
    this.#picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.#picture.append(...grid, ...this.#lines);
    this.#scale = make("div", { class: "scale", "aria-hidden": "true" }, make("span"), make("span"), make("span", {}, "0"));
    const times = make("div", { class: "times", "aria-hidden": "true" }, make("span", {}, "2 min ago"), make("span", {}, "now"));
    this.element = make("div", { class: "plot" }, this.#scale, this.#picture, times);
  }

  draw(allSeries) {
    const known = allSeries.flatMap((series) => series.points.map(([, value]) => value ?? 0));
    const top = roundTop(Math.max(...known, 0));
    const [high, middle] = this.#scale.children;
    high.textContent = this.#say(top);
    middle.textContent = this.#say(top / 2);
    this.#picture.setAttribute("aria-label", `${this.#title} in the last two minutes, on a scale from 0 to ${this.#say(top)}`);
    const now = Date.now();
    allSeries.forEach((series, index) => {
      const points = series.points.filter(([, value]) => value !== null).map(([at, value]) => {
        const x = WIDTH * (1 - (now - at) / SPAN_MS);
        const y = HEIGHT - 1 - (value / top) * (HEIGHT - 2);
        return `${x.toFixed(1)},${y.toFixed(1)}`;
      });
      this.#lines[index].setAttribute("points", points.join(" "));
    });
  }
}

// A share of a whole as a bar; one of a limit is red when it is nearly used up.
export function bar(value, whole, isLimit = false) {
  const share = whole > 0 ? Math.min(value / whole, 1) : 0;
  const element = svg("svg", { class: "share", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
  element.append(
    svg("rect", { class: "share-rest", width: 100, height: 8, rx: 2 }),
    svg("rect", { class: isLimit && share > 0.9 ? "share-full" : "share-part", width: (share * 100).toFixed(2), height: 8, rx: 2 }),
  );
  return element;
}

// The value below which so many of the newest counts of a histogram lie; null without any.
export function quantile(boundsUs, before, now, share) {
  const counts = now.map((count, index) => count - (before?.[index] ?? 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let wanted = share * total;
  for (let index = 0; index < counts.length; index += 1) {
    if (counts[index] >= wanted && counts[index] > 0) {
      const low = index === 0 ? 0 : boundsUs[index - 1];
      const high = boundsUs[index] ?? low * 2;
      return low + ((high - low) * wanted) / counts[index];
    }
    wanted -= counts[index];
  }
  return boundsUs.at(-1);
}
