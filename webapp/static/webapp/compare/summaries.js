// The numbers of the runs' metrics. A page begins with the names of all and the numbers of the first charts; those of
// others are read once they are shown.

import { byName, read } from "../page/documents.js";

const AT_ONCE = 200; // metrics in one request; the server's limit
const LONGEST = 4000; // characters of their names in an address
const MEMBERS = ["metrics", "chunk_of", "replaced"];

export class Summaries {
  index = new Map(); // key → {key, section, runs, curves, differ}, in the order of the charts
  total = 0; // of the metrics; the index may have fewer
  #runs = new Map(); // run ID → {told, first: the keys that came with it}, of runs that have summaries
  #ids = ""; // of all runs
  #more = new Map(); // run ID → {metrics, chunk_of, replaced}: what was read besides
  #asked = new Set(); // keys that were requested since the runs changed
  #queue = Promise.resolve();

  // Calls `onRead` when more has been read, and `onError` if that failed.
  constructor(onRead, onError) {
    Object.assign(this, { onRead, onError });
  }

  // Takes the answer of /api/compare, and adds to its runs what was read besides, until that is read again.
  take({ runs, metrics, metrics_total }) {
    this.index = new Map(metrics.map((one) => [one.key, one]));
    this.total = metrics_total;
    const having = runs.filter(({ summaries }) => summaries);
    this.#runs = new Map(
      having.map(({ mlflow_run_id: id, summaries: told }) => [id, { told, first: new Set(Object.keys(told.metrics)) }]),
    );
    this.#ids = runs.map(({ mlflow_run_id: id }) => id).join(",");
    this.#asked.clear();
    for (const id of this.#more.keys()) {
      if (this.#runs.has(id)) this.#add(id);
      else this.#more.delete(id);
    }
  }

  // Whether the numbers of this metric are known, of all runs that have it.
  has(key) {
    return this.#counted(key, ({ told }) => Object.hasOwn(told.metrics, key));
  }

  // Whether those of all metrics came with the runs.
  get whole() {
    return this.total === this.index.size && [...this.index.keys()].every((key) => this.#came(key));
  }

  // Reads the numbers of these metrics, unless they came with the runs or have been requested.
  want(keys) {
    const isMissing = (key) => this.index.has(key) && !this.#asked.has(key) && !this.#came(key);
    const missing = [...new Set(keys)].filter(isMissing);
    for (const key of missing) this.#asked.add(key);
    const runs = this.#runs;
    for (const batch of batches(missing))
      this.#queue = this.#queue.then(() => runs === this.#runs && this.#read(batch));
  }

  #came(key) {
    return this.#counted(key, ({ first }) => first.has(key));
  }

  #counted(key, isThere) {
    return [...this.#runs.values()].filter(isThere).length >= (this.index.get(key)?.runs ?? 0);
  }

  async #read(keys) {
    const runs = this.#runs;
    try {
      const address = `/api/compare/summaries?runs=${this.#ids}&metrics=${encodeURIComponent(keys)}`;
      const document = await read(address);
      if (runs !== this.#runs) return; // asked again, if they are still shown
      for (const { mlflow_run_id: id, summaries } of document.runs) {
        if (!summaries || !runs.has(id)) continue;
        const known = this.#more.get(id);
        this.#more.set(
          id,
          Object.fromEntries(
            MEMBERS.map((name) => [name, Object.assign(known?.[name] ?? byName([]), summaries[name])]),
          ),
        );
        this.#add(id);
      }
      this.onRead();
    } catch (error) {
      if (runs === this.#runs) for (const key of keys) this.#asked.delete(key);
      this.onError(error);
    }
  }

  // Adds what was read besides to the run's own summaries.
  #add(id) {
    const { told, first } = this.#runs.get(id);
    const more = this.#more.get(id);
    for (const name of MEMBERS)
      for (const [key, value] of Object.entries(more[name])) if (!first.has(key)) told[name][key] = value;
  }
}

// Lists of few enough keys, which together are short enough.
function* batches(keys) {
  let [batch, length] = [[], 0];
  for (const key of keys) {
    const added = encodeURIComponent(`${key},`).length;
    if (batch.length === AT_ONCE || (batch.length && length + added > LONGEST)) {
      yield batch;
      [batch, length] = [[], 0];
    }
    batch.push(key);
    length += added;
  }
  if (batch.length) yield batch;
}
