// Charts: the last minutes of a number as a line, shares as bars. Plain SVG.

const SVG = "http://www.w3.org/2000/svg";
const POINTS_MAX = 120;
const WIDTH = 240;
const HEIGHT = 44;

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// The last values of a number.
export class Series {
  #values = [];

  push(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS_MAX) this.#values.shift();
  }

  get values() {
    return this.#values;
  }
}

// A line chart for some series, each with a class of its own. It is made once and drawn again and again.
export class Lines {
  #lines; #top;

  constructor(names) {
    this.element = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.#lines = names.map((name) => svg("polyline", { class: `line ${name}`, fill: "none", "vector-effect": "non-scaling-stroke" }));
    this.#top = 1;
    this.element.append(...this.#lines);
  }

  draw(allSeries) {
    const known = allSeries.flatMap((series) => series.values.filter((value) => value !== null));
    this.#top = Math.max(...known, 1e-9) * 1.1;
    allSeries.forEach((series, index) => {
      const first = POINTS_MAX - series.values.length;
      const points = series.values.map((value, at) => this.#point(first + at, value ?? 0));
      this.#lines[index].setAttribute("points", points.join(" "));
    });
  }

  #point(at, value) {
    const x = (at / (POINTS_MAX - 1)) * WIDTH;
    const y = HEIGHT - 1 - (value / this.#top) * (HEIGHT - 2);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
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
