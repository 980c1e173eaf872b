// The token that says who one is: asked for, kept for the next room, never shown again.

const TOKEN_KEY = "millgate-token";
// So long before its end a new one is asked for.
const WARN_MS = 60_000;
// A timer holds no more.
const TIMER_MAX_MS = 2 ** 31 - 1;

export class Token {
  #at; #changed;
  #text = "";
  #timer = 0;

  // `at` are the elements: form, field, hint and error; `changed(text)` is told of each new token.
  constructor(at, changed) {
    this.#at = at;
    this.#changed = changed;
    at.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#enter(at.field.value);
    });
    addEventListener("hashchange", () => {
      const text = fromAddress();
      if (text) this.#enter(text);
    });
    try {
      this.#text = sessionStorage.getItem(TOKEN_KEY) ?? "";
      sessionStorage.removeItem(TOKEN_KEY);
      addEventListener("pagehide", () => {
        if (this.#text) sessionStorage.setItem(TOKEN_KEY, this.#text);
      });
    } catch {
      // No store, no memory.
    }
    this.#text = fromAddress() || this.#text;
    this.#watch();
  }

  get text() {
    return this.#text;
  }

  // Whom it is for; empty if it does not say. The server alone knows whether that is true.
  get name() {
    return String(claims(this.#text).sub ?? "");
  }

  // Asks for one; `why` is a sentence, or empty for the first time.
  ask(why) {
    this.#at.error.textContent = why;
    this.#at.form.hidden = false;
    this.#at.field.focus();
  }

  // It is good.
  accepted() {
    this.#at.form.hidden = true;
    this.#at.error.textContent = "";
  }

  #enter(text) {
    const token = text.trim();
    this.#at.field.value = "";
    if (token === "") return;
    if (!claims(token).sub) {
      this.ask("This is no token, or it names nobody.");
      return;
    }
    this.#text = token;
    this.#watch();
    this.#changed(token);
  }

  #watch() {
    clearTimeout(this.#timer);
    const left = Number(claims(this.#text).exp) * 1000 - Date.now();
    if (!(left > 0)) return;
    const warn = () => this.ask("Your token ends in a minute. A new one keeps you here.");
    this.#timer = setTimeout(warn, Math.min(TIMER_MAX_MS, Math.max(0, left - WARN_MS)));
  }
}

// `#token=…` of a link, which is taken out of the address bar and the history.
function fromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  if (found) history.replaceState(null, "", location.pathname + location.search);
  return found;
}

function claims(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}
