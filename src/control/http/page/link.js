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
const CLOSE_DISPLACED = 3504;
// A server that restarts refuses connections for a while: so many are tried, a second or two apart,
// before it counts as one that is gone.
const RESTART_TRIES = 40;
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
  #urls; #app; #on;
  // Which of the addresses is tried.
  #index = 0;
  // Those that have not been tried yet, since none has ever worked.
  #untried;
  // Whether any of them has ever let this page in.
  #wasEverOpen = false;
  // Whether the connection was open.
  #wasOpen = false;
  // Tries that are left before a server that has announced its restart counts as gone.
  #restartTries = 0;
  // Where such a server has sent this client.
  #refuge = "";
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
  // the token is no good, or no longer; `on.displaced()` that the user has logged in elsewhere. The
  // first of the addresses that works is kept.
  constructor(urls, app, on) {
    this.#urls = urls;
    this.#untried = urls.length - 1;
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
    this.#wasOpen = false;
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
      socket = new WebSocket(this.#elsewhere || this.#urls[this.#index]);
    } catch (error) {
      this.#stop(`Cannot connect: ${error.message}`);
      return;
    }
    this.#socket = socket;
    // Events of a socket that was replaced come too late to matter.
    const current = (react) => (event) => {
      if (socket === this.#socket) react(event);
    };
    socket.onopen = current(() => {
      this.#wasOpen = true;
      this.#wasEverOpen = true;
      this.#untried = 0;
      this.#send("login", this.#login());
    });
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#ended(event.code, event.reason));
    this.#timer = setTimeout(() => this.#ended(0, "no answer"), LOGIN_MS);
  }

  #login() {
    // This page knows what it means to be displaced, and does not come back by itself.
    const who = { userID: this.#name, appID: this.#app, understands: ["displaced"] };
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
    } else if (message.cmd === "displaced") {
      this.#displaced();
    } else if (data) {
      this.#on.push(message.cmd, data);
    }
  }

  #loggedIn() {
    clearTimeout(this.#timer);
    if (this.#isOnline) return this.#on.state("online", "Online"); // Renewed.
    this.#isOnline = true;
    this.#restartTries = 0;
    this.#refuge = "";
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
    const wasOpen = this.#wasOpen;
    this.#drop();
    if (code === CLOSE_EXPIRED) {
      this.#unproven("Your token has ended.");
      return;
    }
    if (code === CLOSE_DISPLACED) {
      this.#displaced();
      return;
    }
    // By convention the server means these: do not come back.
    if (code >= 3500 && code <= 3999) {
      this.#stop(`Closed by the server: ${reason || code}`);
      return;
    }
    const bidden = bidding(code, reason);
    if (code === CLOSE_RESTART) {
      this.#restartTries = RESTART_TRIES;
      this.#refuge = bidden?.url ?? "";
    }
    this.#failures = wasStable || bidden ? 0 : this.#failures + 1;
    const delay = bidden?.delay ?? this.#delay(wasOpen);
    // The place that it was sent to and its own take turns.
    const isHome = bidden !== null || this.#elsewhere === "";
    this.#elsewhere = isHome ? this.#refuge : "";
    // Who has never been let in wants to know where the page tries to go.
    const place = this.#wasEverOpen ? "" : ` ${new URL(this.#urls[this.#index]).host} does not answer.`;
    const words = bidden ? `Server restarts, back in ${Math.ceil(delay / 1000)} s…` : `Reconnecting…${place}`;
    this.#on.state("waiting", words);
    this.#isWaiting = true;
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  // How long to wait after a failure that the server has said nothing about.
  #delay(wasOpen) {
    if (!wasOpen && this.#elsewhere === "") this.#index = (this.#index + 1) % this.#urls.length;
    if (this.#untried > 0) {
      this.#untried -= 1;
      return 0;
    }
    if (this.#restartTries > 0) {
      this.#restartTries -= 1;
      return RETRY_MIN_MS * (1 + Math.random());
    }
    this.#refuge = "";
    // Full jitter: a thousand pages that lose their server come back one by one. A server
    // that knows of its end has given each a time of its own.
    const limit = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(this.#failures, 10));
    return Math.random() * limit;
  }

  #displaced() {
    this.#drop();
    this.#on.displaced();
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
