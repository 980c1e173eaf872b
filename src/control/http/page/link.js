// The connection: opened, logged in, kept alive, and opened again when it breaks.

const BEAT_MS = 30_000;
const LOGIN_MS = 15_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
// A connection that held for so long was a good one: its end begins a new count of failures.
const STABLE_MS = 10_000;
const CODE_OK = 200;
const CODE_NOT_LOGGED_IN = 1000;
const CLOSE_RESTART = 1012;
// No server restarts for longer than this; whoever says so is not obeyed.
const BIDDEN_MAX_MS = 600_000;

// What a server that stops bids this client: to come back after so long, perhaps elsewhere.
function bidding(code, reason) {
  if (code !== CLOSE_RESTART) return null;
  try {
    const { after_ms: delay, url = "" } = JSON.parse(reason).reconnect;
    return delay >= 0 ? { delay: Math.min(delay, BIDDEN_MAX_MS), url } : null;
  } catch {
    return null; // Another server, or an older one.
  }
}

export class Link {
  #url; #app; #on;
  // Where the next connection goes instead, if the last server has said so.
  #elsewhere = "";
  #name = "";
  #socket = null;
  #isOnline = false;
  #isWaiting = false;
  #onlineSince = 0;
  #failures = 0;
  #isAwaited = false;
  #sequence = 0;
  #beat = 0;
  #timer = 0;

  // `on.state(name, text)` tells how it stands: connecting, online, waiting or stopped;
  // `on.push(cmd, data)` passes on what the server sends unasked.
  constructor(url, app, on) {
    this.#url = url;
    this.#app = app;
    this.#on = on;
  }

  // Connects under this name, instead of any earlier one.
  start(name) {
    this.#drop();
    this.#name = name;
    this.#failures = 0;
    this.#connect();
  }

  // Connects at once if it is not connected, also after the server has said no.
  again() {
    if (!this.#socket) this.#connect();
  }

  // Connects at once if it is waiting to.
  hurry() {
    if (this.#isWaiting) this.#connect();
  }

  #drop() {
    clearInterval(this.#beat);
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#isOnline = false;
    this.#isWaiting = false;
    this.#isAwaited = false;
    socket?.close();
  }

  #connect() {
    this.#drop();
    this.#on.state("connecting", "Connecting…");
    let socket;
    try {
      socket = new WebSocket(this.#elsewhere || this.#url);
    } catch (error) {
      this.#stop(`Cannot connect: ${error.message}`);
      return;
    }
    this.#socket = socket;
    // Events of a socket that was replaced come too late to matter.
    const current = (react) => (event) => {
      if (socket === this.#socket) react(event);
    };
    socket.onopen = current(() => this.#send("login", { userID: this.#name, appID: this.#app }));
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#ended(event.code, event.reason));
    this.#timer = setTimeout(() => this.#ended(0, "no answer"), LOGIN_MS);
  }

  #send(cmd, data) {
    this.#sequence += 1;
    this.#socket.send(JSON.stringify({ seq: `${Date.now()}-${this.#sequence}`, cmd, data }));
  }

  #receive(text) {
    this.#isAwaited = false;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // Not meant for this page.
    }
    const { code, codeMsg, data } = message.response ?? {};
    if (message.cmd === "login") {
      if (code === CODE_OK) this.#loggedIn();
      else this.#stop(`Not let in: ${codeMsg}`);
    } else if (message.cmd === "heartbeat") {
      if (code === CODE_NOT_LOGGED_IN) this.#ended(0, "logged out");
    } else if (data) {
      this.#on.push(message.cmd, data);
    }
  }

  #loggedIn() {
    clearTimeout(this.#timer);
    this.#isOnline = true;
    this.#onlineSince = Date.now();
    this.#beat = setInterval(() => this.#heartbeat(), BEAT_MS);
    this.#on.state("online", "Online");
  }

  #heartbeat() {
    // Nothing has come since the last one, not even its answer: nobody is there any more.
    if (this.#isAwaited) {
      this.#ended(0, "silence");
      return;
    }
    this.#isAwaited = true;
    this.#send("heartbeat", { userID: this.#name });
  }

  #ended(code, reason) {
    const wasStable = this.#isOnline && Date.now() - this.#onlineSince > STABLE_MS;
    this.#drop();
    // By convention the server means these: do not come back.
    if (code >= 3500 && code <= 3999) {
      this.#stop(`Closed by the server: ${reason || code}`);
      return;
    }
    const bidden = bidding(code, reason);
    this.#elsewhere = bidden?.url ?? "";
    this.#failures = wasStable || bidden ? 0 : this.#failures + 1;
    // Full jitter: a thousand pages that lose their server come back one by one. A server
    // that knows of its end has given each a time of its own.
    const limit = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failures, 10));
    const delay = bidden?.delay ?? Math.random() * limit;
    this.#on.state("waiting", bidden ? `Server restarts, back in ${Math.ceil(delay / 1000)} s…` : "Reconnecting…");
    this.#isWaiting = true;
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #stop(text) {
    this.#drop();
    this.#on.state("stopped", text);
  }
}
