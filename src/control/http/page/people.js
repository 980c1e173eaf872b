// Who is in the room: a bounded list, and how many there are in all.

const SHOWN_MAX = 500;
// A list is not fetched more often than this, and not by all pages at once.
const FETCH_INTERVAL_MS = 10_000;
const FETCH_SPREAD_MS = 5_000;
const RETRY_MS = 5_000;
// Nobody tells that the node of somebody has died: now and then the list is looked at as a whole.
const LOOK_MS = 60_000;

export class People {
  #list; #counts; #more; #fetchPage; #choose; #changed; #unserved;
  // The list cannot be asked for where this page came from.
  #isUnserved = false;
  #me = "";
  #listedFor = "";
  #total = 0;
  #shown = new Map();
  #changesMeanwhile = null;
  #fetchedAt = 0;
  #timer = 0;
  #timerAt = 0;

  // `fetchPage(limit)` gets the server's list, and is null where nobody may ask for it: then those
  // are shown who come; `choose(name)` is told who was clicked, `changed(total)` how many there are, and
  // `unserved(error)` that the list is not served at all.
  constructor({ list, counts, more, fetchPage, choose, changed, unserved }) {
    this.#list = list;
    this.#counts = counts;
    this.#more = more;
    this.#fetchPage = fetchPage;
    this.#choose = choose;
    this.#changed = changed;
    this.#unserved = unserved;
  }

  // Begins anew under this name.
  async reset(me) {
    this.#me = me;
    this.#isUnserved = false;
    if (this.#fetchPage) await this.#fetch();
    else this.#replace([me], 1);
  }

  entered(name) {
    this.#changesMeanwhile?.push([true, name]);
    if (this.#shown.has(name)) return;
    // Not all are shown, so this may be a second login of somebody who is counted already.
    if (this.#hidden() > 0) return this.#fetchSoon();
    this.#total += 1;
    if (this.#shown.size < SHOWN_MAX) this.#show(name);
    this.#count();
  }

  left(name) {
    this.#changesMeanwhile?.push([false, name]);
    this.#total = Math.max(0, this.#total - 1);
    this.#shown.get(name)?.remove();
    this.#shown.delete(name);
    this.#count();
    // There is room for somebody who was not shown.
    if (this.#hidden() > 0 && this.#shown.size < SHOWN_MAX) this.#fetchSoon();
  }

  // Somebody who is shown is not there.
  missing(name) {
    if (this.#shown.has(name)) this.#fetch();
  }

  // The room is too large to hear of each one: so many are here.
  digest(online) {
    this.#total = online;
    this.#count();
    this.#fetchSoon();
  }

  #hidden() {
    return Math.max(0, this.#total - this.#shown.size);
  }

  #fetchSoon() {
    const due = this.#fetchedAt + FETCH_INTERVAL_MS - Date.now();
    this.#fetchIn(Math.max(0, due) + Math.random() * FETCH_SPREAD_MS);
  }

  // In so many milliseconds, unless it is due earlier.
  #fetchIn(delay) {
    const at = Date.now() + delay;
    if (this.#timer && this.#timerAt <= at) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#fetch(), delay);
  }

  async #fetch() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#fetchPage || this.#isUnserved) return;
    this.#fetchedAt = Date.now();
    // The list may be older than what is heard until it arrives.
    const changes = [];
    this.#changesMeanwhile = changes;
    try {
      const { userList, userCount } = await this.#fetchPage(SHOWN_MAX);
      if (changes !== this.#changesMeanwhile) return; // A later one is under way.
      this.#changesMeanwhile = null;
      this.#replace(userList.slice(0, SHOWN_MAX), userCount);
      this.#catchUp(changes);
      this.#fetchIn(LOOK_MS * (1 + Math.random()));
    } catch (error) {
      if (changes !== this.#changesMeanwhile) return;
      this.#changesMeanwhile = null;
      if (error instanceof NotServed) {
        this.#isUnserved = true;
        this.#replace([this.#me], 1);
        this.#catchUp(changes);
        this.#unserved(error);
        return;
      }
      // What is shown is old by then, but better than nothing.
      const pause = this.#shown.size > 0 ? LOOK_MS : RETRY_MS;
      this.#fetchIn(pause * (1 + Math.random()));
    }
  }

  // Applies what was heard while a list was under way.
  #catchUp(changes) {
    for (const [came, name] of changes) {
      if (came) this.entered(name);
      else if (this.#shown.has(name)) this.left(name);
    }
  }

  #replace(names, total) {
    const isNew = names.length !== this.#shown.size || names.some((name) => !this.#shown.has(name));
    // What has not changed keeps the focus of whoever is about to choose.
    if (isNew || this.#me !== this.#listedFor) {
      this.#shown.clear();
      this.#list.replaceChildren();
      if (names.includes(this.#me)) this.#show(this.#me);
      for (const name of names.sort()) {
        if (!this.#shown.has(name)) this.#append(name);
      }
      this.#listedFor = this.#me;
    }
    this.#total = Math.max(total, this.#shown.size);
    this.#count();
  }

  // Puts a name where it belongs: one's own first, the others in order.
  #show(name) {
    const item = this.#item(name);
    const isLater = (other) => other.dataset.name !== this.#me && other.dataset.name > name;
    const next = name === this.#me ? this.#list.firstChild : [...this.#list.children].find(isLater);
    this.#list.insertBefore(item, next ?? null);
  }

  #append(name) {
    this.#list.append(this.#item(name));
  }

  #item(name) {
    const item = document.createElement("li");
    item.dataset.name = name;
    const isMe = name === this.#me;
    const label = document.createElement(isMe ? "span" : "button");
    label.className = "person";
    label.append(face(name), named(name));
    if (isMe) {
      const you = document.createElement("span");
      you.className = "hint";
      you.textContent = "you";
      label.append(you);
    } else {
      label.type = "button";
      label.title = `Write to ${name} alone`;
      label.addEventListener("click", () => this.#choose(name));
    }
    item.append(label);
    this.#shown.set(name, item);
    return item;
  }

  #count() {
    for (const count of this.#counts) count.textContent = this.#total.toLocaleString("en");
    const hidden = this.#hidden();
    this.#more.hidden = hidden === 0;
    this.#more.textContent = `and ${hidden.toLocaleString("en")} more`;
    this.#changed(this.#total);
  }
}

// A route of the API that is not there at all: something in front of the gateway does not pass it on.
export class NotServed extends Error {
  constructor(route, status) {
    super(`${route} is not reachable here (HTTP ${status})`);
    this.route = route;
    this.status = status;
  }
}

// A coloured disc with a letter; the name beside it is what is read out.
export function face(name) {
  const disc = document.createElement("span");
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  disc.className = `face hue-${hash % 8}`;
  disc.setAttribute("aria-hidden", "true");
  disc.textContent = [...name][0]?.toUpperCase() ?? "?";
  return disc;
}

function named(name) {
  const text = document.createElement("span");
  text.className = "who";
  text.dir = "auto";
  text.textContent = name;
  return text;
}
