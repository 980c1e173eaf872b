// Orders: drain, kick, reload. What cannot be undone is asked about first.

import { ask, post } from "./api.js";
import { at, count, duration } from "./dom.js";

// The slider's steps: 0 leaves the rate to the deadline, then 1 to 100,000 a second.
function rateOf(step) {
  if (step === 0) return 0;
  const rate = 10 ** ((step / 100) * 5);
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(rate)) - 1);
  return Math.round(rate / digits) * digits || 1;
}

export function sure(text, yes) {
  at("sure-text").textContent = text;
  at("sure-yes").textContent = yes;
  const dialog = at("sure");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function say(id, text, isBad = false) {
  at(id).textContent = text;
  at(id).classList.toggle("error", isBad);
}

// Does something and says what has come of it.
export async function attempt(id, deed) {
  say(id, "…");
  try {
    say(id, await deed());
  } catch (error) {
    say(id, error.name === "TimeoutError" ? "No answer in time." : error.message, true);
  }
}

export class Drain {
  #stage = "serving";
  #connections = 0;
  #upMs = 0;

  constructor() {
    at("drain-rate").addEventListener("input", () => this.#showRate());
    // While it goes on the slider is a throttle.
    at("drain-rate").addEventListener("change", () => {
      if (this.#stage === "closing") attempt("drain-said", () => this.#order());
    });
    at("drain-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin();
    });
    at("drain-cancel").addEventListener("click", () => {
      attempt("drain-said", async () => {
        await ask("admin/drain", { method: "DELETE" });
        return "Taken back.";
      });
    });
    this.#showRate();
  }

  show(state) {
    const { stage, total, told, perSecond, leftMs, otherNodes } = state.drain;
    // What was said of a drain is over with it, and so is what was said by a node that has ended.
    const isOver = stage === "serving" && this.#stage !== "serving";
    if (isOver || state.upMs < this.#upMs) this.#clear();
    this.#upMs = state.upMs;
    this.#stage = stage;
    this.#connections = state.connections;
    at("drain-cancel").hidden = stage !== "grace";
    at("drain-go").textContent = stage === "serving" ? "Drain this node" : "Apply";
    at("drain-bar").hidden = stage !== "closing";
    at("drain-bar").value = total > 0 ? Math.min(told / total, 1) : 1;
    const away = otherNodes.length > 0 ? ` Clients of a drain go to ${otherNodes.join(", ")}.` : "";
    at("drain-text").textContent = {
      serving: "This node serves.",
      grace: `Not ready any more; connections are closed in ${duration(leftMs)}.`,
      closing: `${count(told)} of ${count(total)} told, ${count(perSecond)} a second; ${count(state.connections)} are still here. Ends in ${duration(leftMs)} at the latest.`,
    }[stage] + away;
  }

  // The node does not answer.
  lost() {
    if (this.#stage === "serving") return;
    at("drain-text").textContent = "This node was being drained and does not answer any more: it has probably ended.";
    at("drain-bar").hidden = true;
    at("drain-cancel").hidden = true;
  }

  #clear() {
    at("drain-form").reset();
    this.#showRate();
    say("drain-said", "");
  }

  async #begin() {
    const isSure =
      this.#stage !== "serving" ||
      (await sure(`Close all ${count(this.#connections)} connections and end this node?`, "Drain"));
    if (isSure) await attempt("drain-said", () => this.#order());
  }

  async #order() {
    const rate = rateOf(Number(at("drain-rate").value));
    const fields = { rate: rate === 0 ? "" : rate, deadline: at("drain-deadline").value.trim(), grace: at("drain-grace").value.trim() };
    const { stage } = await post("admin/drain", fields);
    return stage === "closing" ? "Goes on like that." : "Begun.";
  }

  #showRate() {
    const rate = rateOf(Number(at("drain-rate").value));
    at("drain-rate-text").textContent = rate === 0 ? "as the deadline asks for" : `${count(rate)} a second`;
  }
}

export function reloads() {
  at("reload").addEventListener("click", () => {
    attempt("reload-said", async () => {
      const { changed, needsRestart, notices } = await post("admin/reload");
      const lines = [changed.length > 0 ? `Changed: ${changed.join(", ")}` : "Nothing has changed."];
      if (needsRestart.length > 0) lines.push(`At the next start: ${needsRestart.join(", ")}`);
      return [...lines, ...notices].join("\n");
    });
  });
}

export async function kick(whom, name) {
  if (!(await sure(`Close the connections of ${name}? They are told not to come back.`, "Kick"))) return;
  await attempt("kick-said", async () => {
    const { orders, refused, here, elsewhere, nodes } =
      await post("admin/kick", { ...whom, reason: at("kick-reason").value.trim() });
    const others = Object.entries(nodes ?? {});
    const failed = others.filter(([, { error }]) => error);
    const asked = others.length - failed.length;
    const words = [`Ordered from ${count(orders)} reactors${asked > 0 ? `, and ${count(asked)} other nodes` : ""}.`];
    const busy = others.reduce((sum, [, node]) => sum + (node.refused ?? 0), refused);
    if (busy > 0) words.push(`${count(busy)} reactors were too busy: try again.`);
    if (here === false && elsewhere.length === 0) words.push("Nobody of that name was connected.");
    if (elsewhere?.length > 0) words.push(`The user was on ${elsewhere.join(", ")}.`);
    return [words.join(" "), ...failed.map(([node, { error }]) => `${node}: ${error}`)].join("\n");
  });
}
