// Metrics without a place in a run's history; runs of other frameworks have hundreds of them. Their lists are read when
// the chooser opens, their values when they are chosen.

import { byName } from "../page/documents.js";
import { el } from "../page/dom.js";

export class OtherMetrics {
  #indexes = new Map(); // run ID → Map of key → entry of the run's index
  #chunks = new Map(); // address → document
  #asked = new Set(); // addresses that were read since the runs changed
  #listed = null; // a promise of the indexes

  // Calls `onRead` when more has been read.
  constructor(source, onRead) {
    Object.assign(this, { source, onRead });
    this.element = el("span", { class: "muted", role: "status" });
  }

  // `runs` are warm, and may have more metrics than before.
  update(runs) {
    this.runs = runs.filter(({ history }) => history.more_metrics > 0);
    this.#asked.clear();
    if (this.#listed) this.#listed = this.#list();
  }

  list() {
    this.#listed ??= this.#list();
    return this.#listed;
  }

  keys({ id }) {
    return [...(this.#indexes.get(id)?.keys() ?? [])];
  }

  // Reads these metrics in all runs.
  async read(keys, resolution) {
    if (!keys.length) return;
    await this.list();
    const entries = this.runs
      .flatMap((run) => keys.map((key) => [run, this.#entry(run, key)]))
      .filter(([, entry]) => entry);
    const wanted = new Set(entries.map(([run, entry]) => addressOf(run, entry, resolution)));
    const missing = [...wanted].filter((address) => !this.#asked.has(address));
    for (const address of missing) this.#asked.add(address);
    const changed = await this.#ask(missing);
    for (const [address, document] of changed) this.#chunks.set(address, document);
    if (changed.length) this.onRead();
  }

  // The run as if it had logged only this metric; null if it has no such metric or that has not been read.
  of(run, key) {
    const entry = this.#entry(run, key);
    const known =
      entry &&
      ["full", "overview"]
        .map((resolution) => this.#chunks.get(addressOf(run, entry, resolution)))
        .find((chunk) => chunk?.metrics?.[key]);
    return known ? { ...run, ...narrowed(run, key, known) } : null;
  }

  #entry({ id }, key) {
    return this.#indexes.get(id)?.get(key);
  }

  async #list() {
    const owners = new Map(this.runs.map((run) => [`/api/runs/${run.id}/metrics/`, run.id]));
    const changed = await this.#ask([...owners.keys()]);
    for (const [address, { groups = [] }] of changed)
      this.#indexes.set(
        owners.get(address),
        new Map(groups.flatMap(({ metrics }) => metrics.map((entry) => [entry.key, entry]))),
      );
    if (changed.length) this.onRead();
  }

  // [[address, document], …] of those that have changed. A failed one is requested again next time.
  async #ask(addresses) {
    const answers = await Promise.allSettled(addresses.map((address) => this.source.read(address)));
    const failed = answers.find(({ status }) => status === "rejected");
    if (addresses.length)
      this.element.textContent = failed ? `Some other metrics can't be read: ${failed.reason.message}` : "";
    if (failed) {
      this.#listed = null;
      for (const [i, { status }] of answers.entries()) if (status === "rejected") this.#asked.delete(addresses[i]);
    }
    return addresses.map((address, i) => [address, answers[i].value?.document]).filter(([, document]) => document);
  }
}

const addressOf = ({ id }, { chunk }, resolution) => `/api/runs/${id}/metrics/${chunk}/?resolution=${resolution}`;

function narrowed({ history: { start_time } }, key, { metrics, axes, non_finite }) {
  const { values, min, max, axis } = metrics[key];
  const { steps: epochs, steps_total: epochs_total, timestamps } = axes[axis];
  const nothing = { loss: [], weight_norm: [], gradient_norm: [] };
  return {
    curves: new Map([[key, values]]),
    history: {
      ...nothing,
      epochs,
      epochs_total,
      timestamps,
      start_time,
      envelope: byName(min ? [[key, { min, max }]] : []),
      non_finite,
    },
  };
}
