// What was said: a bounded list of lines that follows the newest one.
//
// Everything from outside becomes text, never markup. Addresses of web pages in it become links.

import { face } from "./people.js";

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

  // Whether nothing has been said or noted yet.
  get isEmpty() {
    return this.#log.querySelector(".line, .note") === null;
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
  const said = element("p", "text");
  said.dir = "auto";
  said.append(...withLinks(text));
  bubble.append(head, said);
  return bubble;
}

// The text in pieces: strings, and links for http and https addresses. A link shows the address as it
// was written, opens a page of its own, and tells that page nothing about this one.
function withLinks(text) {
  const pieces = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(/\bhttps?:\/\/[^\s<>"`\u0000-\u001f\u202a-\u202e\u2066-\u2069]+/gi)) {
    const address = trimmed(found);
    if (!URL.canParse(address)) continue;
    const link = document.createElement("a");
    link.href = address;
    // What is shown is where it leads: a user name before the host would deceive.
    if (!["http:", "https:"].includes(link.protocol) || link.username !== "" || link.password !== "") continue;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.textContent = address;
    pieces.push(text.slice(end, index), link);
    end = index + address.length;
  }
  pieces.push(text.slice(end));
  return pieces;
}

// Without the punctuation of the sentence around it; a closing bracket stays if the address opens it.
function trimmed(address) {
  for (;;) {
    const last = address.at(-1);
    const opening = { ")": "(", "]": "[", "}": "{" }[last];
    const isLoose = opening ? address.split(last).length > address.split(opening).length : ".,;:!?'*_~".includes(last);
    if (!isLoose) return address;
    address = address.slice(0, -1);
  }
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
