// Polite polling: one conditional request at a time, slower while nothing changes and while nobody looks.

import { documentOf } from "./documents.js";

const HIDDEN_AT_LEAST = 15000;

// Reads one address; a body that has not changed is not sent again.
export class Source {
  #etags = new Map();
  #early = new Map(); // address → {answer: promise, result: what has come of it}

  // Asks ahead of the first `read` of this address. Resolves, as that will.
  ahead(address) {
    if (!this.#early.has(address)) {
      const early = { answer: this.#read(address), result: null };
      this.#early.set(address, early);
      const keep = (result) => {
        early.result = result;
      };
      early.answer.then(keep, () => {}); // `read` throws the error
    }
    return this.#early.get(address).answer;
  }

  // What the page has carried, as if it had been asked for ahead.
  give(address, document, etag) {
    const result = { changed: true, document };
    this.#etags.set(address, etag);
    this.#early.set(address, { answer: Promise.resolve(result), result });
  }

  // What `read` would resolve to for each of these, where all were asked for ahead and have come; else null.
  come(addresses) {
    const results = addresses.map((address) => this.#early.get(address)?.result);
    if (!results.every(Boolean)) return null;
    for (const address of addresses) this.#early.delete(address);
    return results;
  }

  // {changed, document} or {changed: false}. Throws on anything but 200 and 304.
  read(address) {
    const early = this.#early.get(address);
    this.#early.delete(address);
    return early?.answer ?? this.#read(address);
  }

  // The next `read` of this address has the whole document again.
  forget(address) {
    this.#etags.delete(address);
  }

  async #read(address) {
    const etag = this.#etags.get(address);
    // Without an ETag the browser may use what the page has preloaded.
    const response = await fetch(address, etag ? { cache: "no-store", headers: { "If-None-Match": etag } } : {});
    if (response.status === 304) return { changed: false };
    if (!response.ok)
      throw Object.assign(new Error(`The server answered ${response.status}.`), { status: response.status });
    const document = await documentOf(response);
    if (document.available) this.#etags.set(address, response.headers.get("ETag"));
    return { changed: true, document };
  }
}

// Calls `step` now and again. It returns {pause: {first, most} or null to stop, changed}; every round without a change
// lengthens the pause by half. `again` runs it at once.
export function follow(step) {
  let timer = null;
  let pause = 0;
  let running = false;
  let wantedAgain = false;

  async function round() {
    clearTimeout(timer);
    timer = null;
    wantedAgain = running;
    if (running) return;
    running = true;
    const { pause: wanted, changed } = await step();
    running = false;
    if (wantedAgain) return void round();
    if (!wanted) return;
    pause = changed || !pause ? wanted.first : Math.min(Math.max(pause * 1.5, wanted.first), wanted.most);
    timer = setTimeout(round, document.hidden ? Math.max(HIDDEN_AT_LEAST, pause * 3) : pause);
  }

  const again = () => {
    pause = 0;
    return round();
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer !== null) again();
  });
  round();
  return again;
}
