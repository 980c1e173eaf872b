// The flight recorder: lines as they come, a bounded number of them.

import { follow } from "./api.js";
import { at, bytes, make } from "./dom.js";
import { say } from "./orders.js";

const LINES_MAX = 300;

export class Trace {
  #running = null;

  constructor() {
    at("trace-stop").addEventListener("click", () => this.#running?.abort());
  }

  async begin(whom, name) {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    const list = at("trace");
    list.replaceChildren();
    list.hidden = false;
    at("trace-stop").hidden = false;
    say("whom-said", `Watching ${name}…`);
    try {
      await follow("admin/trace", { ...whom, seconds: 600 }, running.signal, (line) => this.#show(list, line));
      say("whom-said", `Watched ${name}.`);
    } catch (error) {
      if (running.signal.aborted) say("whom-said", `Watched ${name}.`);
      else say("whom-said", error.message, true);
    }
    if (this.#running === running) {
      this.#running = null;
      at("trace-stop").hidden = true;
    }
  }

  #show(list, line) {
    if (line.event === "alive") return;
    const isNear = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const time = line.ms === undefined ? "" : `${(line.ms / 1000).toFixed(3)} s`;
    list.append(make("li", { class: line.event }, make("span", { class: "soft" }, `${time} ${line.conn ?? ""} `), words(line)));
    while (list.childElementCount > LINES_MAX) list.firstElementChild.remove();
    if (isNear) list.scrollTop = list.scrollHeight;
  }
}

function words(line) {
  const user = line.userID === undefined ? "nobody" : `${line.userID} (${line.appID})`;
  const behind = line.waitingBytes > 0 ? `, ${bytes(line.waitingBytes)} wait` : "";
  const content = line.content === undefined ? "" : ` ${line.content}`;
  switch (line.event) {
    case "begin": return `watched: ${user} from ${line.client}${behind}`;
    case "login": return `login of ${user}`;
    case "in": return `→ ${line.kind} ${bytes(line.bytes)}${content}`;
    case "out": return `← ${line.kind} ${bytes(line.bytes)}${behind}${content}`;
    case "close": return `closes: ${line.cause}`;
    case "end": return `end (${line.why})${line.lost > 0 ? `, ${line.lost} lines were lost` : ""}`;
    default: return JSON.stringify(line);
  }
}
