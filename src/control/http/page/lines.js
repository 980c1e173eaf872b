// What was said: a bounded list of lines that follows the newest one.
//
// Everything from outside becomes text, never markup.

import { face } from "/home/people.js";

const LINES_MAX = 500;
// So near to the end somebody reads along, and the list may move.
const NEAR_PX = 80;

export class Lines {
  #log; #newest;

  constructor(log, newest) {
    this.#log = log;
    this.#newest = newest;
    newest.addEventListener("click", () => this.#follow());
    log.addEventListener("scroll", () => {
      if (this.#isNear()) newest.hidden = true;
    });
    // The list shrinks when a keyboard opens or the text box grows.
    let wasNear = true;
    log.addEventListener("scroll", () => { wasNear = this.#isNear(); });
    new ResizeObserver(() => { if (wasNear) this.#follow(); }).observe(log);
  }

  // A line of the room itself: somebody came, somebody left.
  note(text) {
    const line = element("p", "note");
    line.append(element("span", "", text), time());
    this.#add(line, false);
  }

  // What somebody else said.
  theirs(name, text, isPrivate) {
    const line = element("article", isPrivate ? "line theirs private" : "line theirs");
    line.append(face(name), body(name, text, isPrivate ? "to you alone" : ""));
    this.#add(line, false);
  }

  // What one says oneself; what is returned tells later whether it was sent.
  mine(name, text, addressee) {
    const line = element("article", addressee ? "line mine private" : "line mine");
    line.append(body(name, text, addressee ? `to ${addressee} alone` : ""));
    line.setAttribute("aria-busy", "true");
    this.#add(line, true);
    return {
      sent: () => line.removeAttribute("aria-busy"),
      // `why` is a sentence: some may have it although not all do.
      failed: (why, again) => {
        line.removeAttribute("aria-busy");
        line.classList.add("failed");
        const retry = element("button", "quiet", "Try again");
        retry.type = "button";
        retry.addEventListener("click", () => {
          line.remove();
          again();
        });
        const failure = element("p", "error", `${why} `);
        failure.append(retry);
        line.append(failure);
        if (this.#isNear(line.offsetHeight)) this.#follow();
      },
    };
  }

  #add(line, isMine) {
    const follow = isMine || this.#isNear();
    const isTheirs = line.classList.contains("theirs");
    this.#log.append(line);
    while (this.#log.childElementCount > LINES_MAX) this.#log.firstElementChild.remove();
    if (follow) this.#follow();
    else if (isTheirs) this.#newest.hidden = false;
  }

  #isNear(slack = 0) {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX + slack;
  }

  #follow() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#newest.hidden = true;
  }
}

function body(name, text, mark) {
  const bubble = element("div", "bubble");
  const head = element("p", "head");
  const who = element("strong", "who", name);
  who.dir = "auto";
  head.append(who);
  if (mark) head.append(element("span", "mark", mark));
  head.append(time());
  const said = element("p", "text", text);
  said.dir = "auto";
  bubble.append(head, said);
  return bubble;
}

function time() {
  const now = new Date();
  const stamp = element("time", "", now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  stamp.dateTime = now.toISOString();
  return stamp;
}

function element(kind, className, text = "") {
  const made = document.createElement(kind);
  made.className = className;
  made.textContent = text;
  return made;
}
