// Polling: one conditional request at a time, slower while nothing changes and while the page is hidden.

import { documentOf } from "./documents.js";

const HIDDEN_AT_LEAST = 15000;

// Reads JSON documents; the server does not send an unchanged one again.
export class Source {
  #etags = new Map();
  #early = new Map(); // address → {answer: a promise, result: its result, null before}

  // Requests an address ahead of its first `read`. Resolves as `read` will.
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

  // Takes a document that the page carried, as if it had been requested ahead.
  give(address, document, etag) {
    const result = { changed: true, document };
    this.#etags.set(address, etag);
    this.#early.set(address, { answer: Promise.resolve(result), result });
  }

  // What `read` of each address would resolve to, if all were requested ahead and have arrived; else null.
  arrived(addresses) {
    const results = addresses.map((address) => this.#early.get(address)?.result);
    if (!results.every(Boolean)) return null;
    for (const address of addresses) this.#early.delete(address);
    return results;
  }

  // {changed: true, document} or {changed: false}. Throws on any status but 200 and 304.
  read(address) {
    const early = this.#early.get(address);
    this.#early.delete(address);
    return early?.answer ?? this.#read(address);
  }

  // Makes the next `read` of this address return the document even if it has not changed.
  forget(address) {
    this.#etags.delete(address);
  }

  async #read(address) {
    const etag = this.#etags.get(address);
    // Without an ETag the browser may use what the page preloaded.
    const response = await fetch(address, etag ? { cache: "no-store", headers: { "If-None-Match": etag } } : {});
    if (response.status === 304) return { changed: false };
    if (!response.ok)
      throw Object.assign(new Error(`The server answered ${response.status}.`), { status: response.status });
    const document = await documentOf(response);
    if (document.available) this.#etags.set(address, response.headers.get("ETag"));
    return { changed: true, document };
  }
}

// Calls `step` repeatedly. It resolves to {pause: {first, most} in ms, or null to stop; changed}. Each round without a
// change makes the pause half as long again. Returns a function that starts a round at once.
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
