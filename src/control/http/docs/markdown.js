// A small part of Markdown as elements: headings, paragraphs, lists, tables, fenced code; code, strong
// text and links within them. Text stays text: there is no way for markup to get through.

// The elements for a text. Headings begin at level `top`.
export function markdown(text, top = 2) {
  const fragment = document.createDocumentFragment();
  const lines = text.replaceAll("\r", "").split("\n");
  let at = 0;
  const takeWhile = (isPart) => {
    const begin = at;
    while (at < lines.length && isPart(lines[at])) at += 1;
    return lines.slice(begin, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,4}) (.*)$/.exec(line);
    if (line.trim() === "") {
      at += 1;
    } else if (line.startsWith("```")) {
      at += 1;
      const code = takeWhile((next) => !next.startsWith("```"));
      at += 1;
      const block = element("pre", element("code", code.join("\n")));
      block.tabIndex = 0;
      fragment.append(block);
    } else if (heading) {
      at += 1;
      const title = element(`h${Math.min(6, heading[1].length + top - 1)}`, ...inline(heading[2]));
      title.id = anchor(heading[2]);
      fragment.append(title);
    } else if (line.startsWith("|")) {
      fragment.append(table(takeWhile((next) => next.startsWith("|"))));
    } else if (/^(-|\d+\.) /.test(line)) {
      const kind = line.startsWith("-") ? "ul" : "ol";
      const items = [];
      for (const part of takeWhile((next) => /^(-|\d+\.) |^  +\S/.test(next))) {
        const item = /^(?:-|\d+\.) (.*)$/.exec(part);
        if (item) items.push(item[1]);
        else items.push(`${items.pop() ?? ""} ${part.trim()}`);
      }
      fragment.append(element(kind, ...items.map((item) => element("li", ...inline(item)))));
    } else {
      const words = takeWhile((next) => next.trim() !== "" && !/^(#{1,4} |```|\||- )/.test(next) || next === line);
      fragment.append(element("p", ...inline(words.join(" "))));
    }
  }
  return fragment;
}

// The name by which a heading is linked to.
export function anchor(title) {
  return title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
}

// `code`, **strong** and [text](address) as elements, everything else as text.
export function inline(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(/`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g)) {
    const [whole, code, strong, label, address] = match;
    parts.push(text.slice(end, match.index));
    end = match.index + whole.length;
    if (code !== undefined) parts.push(element("code", code));
    else if (strong !== undefined) parts.push(element("strong", ...inline(strong)));
    else parts.push(link(label, address));
  }
  parts.push(text.slice(end));
  return parts;
}

// Only the web, or a place in this server.
function link(label, address) {
  const made = element("a", ...inline(label));
  made.href = address;
  if (!["http:", "https:"].includes(made.protocol)) return element("span", ...inline(label));
  made.rel = "noopener noreferrer";
  return made;
}

// Cells are between bars; a bar in a cell is written `\|`.
function table(lines) {
  const rows = lines.map((line) => line.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|")));
  const [head, ...body] = rows.filter((row) => !row.every((cell) => /^:?-+:?$/.test(cell)));
  const row = (kind, cells) => element("tr", ...cells.map((cell) => element(kind, ...inline(cell))));
  const made = element("table", element("thead", row("th", head)), element("tbody", ...body.map((cells) => row("td", cells))));
  const frame = element("div", made);
  frame.className = "wide-table";
  return frame;
}

function element(kind, ...children) {
  const made = document.createElement(kind);
  made.append(...children);
  return made;
}
