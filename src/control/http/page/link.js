// The connection: opened, logged in, kept alive, and opened again when it breaks.

const BEAT_MS = 30_000;
const LOGIN_MS = 15_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
// A connection that held for so long was a good one: its end begins a new count of failures.
const STABLE_MS = 10_000;
const REPLY_MS = 10_000;
const CODE_OK = 200;
const CODE_NOT_AUTHORIZED = 1003;
const CLOSE_EXPIRED = 3005;
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
  #token = "";
  #replies = new Map();
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
  // `on.push(cmd, data)` passes on what the server sends unasked; `on.unproven(why)` says that
  // the token is no good, or no longer.
  constructor(url, app, on) {
    this.#url = url;
    this.#app = app;
    this.#on = on;
  }

  // Connects under this name, instead of any earlier one, with this token if there is one.
  start(name, token = "") {
    this.#drop();
    this.#name = name;
    this.#token = token;
    this.#failures = 0;
    this.#connect();
  }

  // Stays under the same name with a newer token; true if that was possible.
  renew(name, token) {
    if (!this.#isOnline || name !== this.#name) return false;
    this.#token = token;
    this.#send("login", this.#login());
    return true;
  }

  // Sends a command; resolves to the data of its reply, and rejects with a sentence.
  ask(cmd, data) {
    return new Promise((resolve, reject) => {
      if (!this.#isOnline) {
        reject(new Error("you are not connected"));
        return;
      }
      const seq = this.#send(cmd, data);
      const timer = setTimeout(() => this.#settle(seq, null), REPLY_MS);
      this.#replies.set(seq, { resolve, reject, timer });
    });
  }

  // Passes on the reply with this number; without one nobody knows what became of the request.
  #settle(seq, response) {
    const waiting = this.#replies.get(seq);
    if (!waiting) return;
    this.#replies.delete(seq);
    clearTimeout(waiting.timer);
    if (response?.code === CODE_OK) waiting.resolve(response.data);
    else waiting.reject(new Error(response ? response.codeMsg : "no answer in time"));
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
    for (const seq of [...this.#replies.keys()]) this.#settle(seq, null);
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
    socket.onopen = current(() => this.#send("login", this.#login()));
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#ended(event.code, event.reason));
    this.#timer = setTimeout(() => this.#ended(0, "no answer"), LOGIN_MS);
  }

  #login() {
    const who = { userID: this.#name, appID: this.#app };
    return this.#token ? { ...who, serviceToken: this.#token } : who;
  }

  #send(cmd, data) {
    this.#sequence += 1;
    const seq = `${Date.now()}-${this.#sequence}`;
    this.#socket.send(JSON.stringify({ seq, cmd, data }));
    return seq;
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
      else if (this.#token && code === CODE_NOT_AUTHORIZED) this.#unproven("The server does not take this token.");
      // One that came too early or is too much for now: the earlier token still holds.
      else if (!this.#isOnline) this.#stop(`Not let in: ${codeMsg}`);
    } else if (this.#replies.has(message.seq)) {
      this.#settle(message.seq, message.response);
    } else if (message.cmd === "heartbeat") {
      if (code === CODE_NOT_LOGGED_IN) this.#ended(0, "logged out");
    } else if (data) {
      this.#on.push(message.cmd, data);
    }
  }

  #loggedIn() {
    clearTimeout(this.#timer);
    if (this.#isOnline) return this.#on.state("online", "Online"); // Renewed.
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
    if (code === CLOSE_EXPIRED) {
      this.#unproven("Your token has ended.");
      return;
    }
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

  #unproven(why) {
    this.#stop("Waiting for a token");
    this.#on.unproven(why);
  }

  #stop(text) {
    this.#drop();
    this.#on.state("stopped", text);
  }
}
