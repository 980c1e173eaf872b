// What is shown: one document a second becomes numbers, lines and tables.

import { Lines, Series, bar, quantile } from "./charts.js";
import { at, bytes, count, duration, fill, make, microseconds } from "./dom.js";

const MINUTE_MS = 60_000;

// One number with its chart.
class Tile {
  #value; #note; #chart; #series;

  // `lines` are the names of what is drawn; `say` writes a value with its unit.
  constructor(title, lines, say = count) {
    const names = ["first", "second"].slice(0, lines.length);
    this.#value = make("strong", { class: "value" }, "–");
    this.#note = make("span", { class: "soft" });
    this.#series = names.map(() => new Series());
    this.#chart = new Lines(title, names, say);
    // One line needs no key.
    const keys = lines.length > 1 ? lines.map((line, index) => make("span", { class: `key ${names[index]}` }, line)) : [];
    const head = make("div", { class: "head" }, make("h2", {}, title), make("span", { class: "keys" }, ...keys));
    this.element = make("div", { class: "tile card" }, head, this.#value, this.#note, this.#chart.element);
  }

  show(text, note, ...values) {
    this.#value.textContent = text;
    this.#note.textContent = note;
    values.forEach((value, index) => this.#series[index].push(value));
    this.#chart.draw(this.#series);
  }
}

export class View {
  #tiles = {
    connections: new Tile("Connections", ["connections"]),
    users: new Tile("Users", ["users"]),
    messages: new Tile("Messages a second", ["in", "out"]),
    traffic: new Tile("Traffic a second", ["in", "out"], bytes),
    turn: new Tile("Turn of a reactor", ["p99", "p50"], microseconds),
    room: new Tile("Connections that still fit", ["connections"]),
  };
  // The documents of the last minute, oldest first.
  #past = [];
  #choose;

  // `choose(conn)` is called when somebody wants to do something to a connection.
  constructor(choose) {
    this.#choose = choose;
    at("tiles").append(...Object.values(this.#tiles).map((tile) => tile.element));
  }

  show(state) {
    const before = this.#past.at(-1) ?? null;
    const seconds = before === null ? 0 : (state.upMs - before.upMs) / 1000;
    // A restarted node begins to count anew.
    if (seconds < 0) this.#past = [];
    const rate = (of) => (before !== null && seconds > 0 ? Math.max(0, (of(state) - of(before)) / seconds) : 0);
    this.#head(state);
    this.#glance(state, before, rate);
    this.#reactors(state, before, seconds);
    this.#backlog(state.backlog);
    this.#memory(state);
    this.#apps(state.apps);
    this.#closes(state);
    this.#cluster(state.cluster);
    this.#past.push(state);
    while (this.#past[0].upMs < state.upMs - MINUTE_MS) this.#past.shift();
  }

  #head(state) {
    at("node").textContent = `${state.listeners.join(", ")} · ${state.version} · up ${duration(state.upMs)}`;
    at("ready").dataset.state = state.ready ? "ready" : "unready";
    at("ready-text").textContent = state.ready ? "Ready" : "Not ready";
    const lines = [...state.complaints, ...state.remarks];
    if (state.logLinesLost > 0) lines.push(`${count(state.logLinesLost)} log lines were lost`);
    at("complaints").hidden = lines.length === 0;
    at("complaints").replaceChildren(...lines.map((line) => make("li", {}, line)));
  }

  #glance(state, before, rate) {
    const tiles = this.#tiles;
    const handshakes = rate((s) => s.totals.handshakes);
    tiles.connections.show(count(state.connections), `${count(handshakes)} new a second`, state.connections);
    tiles.users.show(count(state.users), `${count(rate((s) => s.totals.logins))} logins a second`, state.users);
    const [received, sent] = [rate((s) => s.totals.messagesIn), rate((s) => s.totals.messagesOut)];
    tiles.messages.show(`${count(received)} in`, `${count(sent)} out`, received, sent);
    const [bytesIn, bytesOut] = [rate((s) => s.totals.bytesIn), rate((s) => s.totals.bytesOut)];
    tiles.traffic.show(`${bytes(Math.round(bytesIn))} in`, `${bytes(Math.round(bytesOut))} out`, bytesIn, bytesOut);
    const { boundsUs, counts } = state.turns;
    const [p50, p99] = [0.5, 0.99].map((share) => quantile(boundsUs, before?.turns.counts, counts, share));
    tiles.turn.show(`p99 ${microseconds(p99)}`, `p50 ${microseconds(p50)}`, p99, p50);
    tiles.room.show(count(state.room.fits), `bound by ${state.room.binds}`, state.room.fits);
  }

  #reactors(state, before, seconds) {
    const most = Math.max(...state.reactors.map((reactor) => reactor.connections), 1);
    const rows = state.reactors.map((reactor, index) => {
      const earlier = before?.reactors[index];
      const rate = (name) => (earlier && seconds > 0 ? Math.max(0, (reactor[name] - earlier[name]) / seconds) : 0);
      const busy = rate("busyUs") / 1e6;
      return [
        index,
        count(reactor.connections),
        bar(reactor.connections, most),
        `${count(Math.round(busy * 100))} %`,
        bar(busy, 1, true),
        count(rate("messagesIn")),
        count(rate("messagesOut")),
        count(reactor.mailDepth),
        bytes(reactor.outboxBytes),
      ];
    });
    fill(at("reactors"), ["Reactor", "Connections", "<", "Busy", "<", "In a second", "Out a second", "Mail", "Backlog"], rows);
  }

  #backlog(backlog) {
    at("backlog-text").textContent =
      `${bytes(backlog.bytes)} of ${bytes(backlog.bytesMax)} wait for ${count(backlog.connections)} connections that read too slowly.`;
    const rows = backlog.worst.map((worst) => [
      make("button", { type: "button", class: "link", onclick: () => this.#choose(worst.conn) }, worst.conn),
      worst.user === null ? "nobody" : `${worst.user} (${worst.app})`,
      worst.client,
      bytes(worst.bytes),
    ]);
    fill(at("backlog"), ["Connection", "<User", "<From", "Bytes"], rows, "Nobody is behind.");
  }

  #memory(state) {
    const memory = state.memory;
    const line = (name, value, whole = memory.totalBytes) => [name, bytes(value), bar(value, whole, true)];
    const rows = [
      line("Process", memory.processBytes),
      line("of it for slow readers", memory.outboxBytes, state.backlog.bytesMax),
      line("of it for half-received messages", memory.assemblyBytes, memory.assemblyBytesMax),
      line("Kernel, for these connections (4,021 bytes each)", memory.kernelOfConnectionsBytes),
      line("Kernel objects of the host", memory.kernelSlabBytes),
      line("Kernel buffers for TCP", memory.kernelTcpBufferBytes),
      line("RAM in use, by all", memory.totalBytes - memory.availableBytes),
      ["RAM", bytes(memory.totalBytes), ""],
    ];
    fill(at("memory"), ["", "", "<"], rows);
    const limits = state.room.limits.map((limit) => [limit.name, count(limit.fits)]);
    fill(at("room"), ["Limit", "Leaves"], limits);
  }

  #apps(apps) {
    const most = Math.max(...apps.largest.map((app) => app.users), 1);
    const rows = apps.largest.map((app) => [app.app, count(app.users), bar(app.users, most)]);
    fill(at("apps"), ["App", "Users", "<"], rows);
  }

  #closes(state) {
    const minute = this.#past[0] ?? state;
    const rows = Object.entries(state.closes)
      .filter(([, total]) => total > 0)
      .sort(([, a], [, b]) => b - a)
      .map(([cause, total]) => [cause.replaceAll("_", " "), count(total - (minute.closes[cause] ?? 0)), count(total)]);
    fill(at("closes"), ["Cause", "Last minute", "In all"], rows, "Nobody has left yet.");
  }

  #cluster(cluster) {
    at("cluster-card").hidden = cluster === null;
    if (cluster === null) return;
    at("cluster-text").textContent =
      `${count(cluster.presenceWaiting)} users wait to be written to Redis, which lags ${duration(cluster.presenceLagMs)} behind.`;
    const rows = cluster.peers.map((peer) => [
      peer.addr,
      make("span", { class: `state ${peer.state}` }, peer.state),
      duration(peer.forMs),
      count(peer.waiting),
      peer.error ?? "",
    ]);
    fill(at("peers"), ["Node", "<State", "For", "Waiting", "<Trouble"], rows, "No other node is known.");
  }
}
