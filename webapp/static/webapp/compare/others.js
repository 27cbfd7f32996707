// The curves of metrics without a place in a run's history, which are in chunks. Runs of other frameworks have
// hundreds. A chunk is read when a metric of it is chosen.

import { byName } from "../page/documents.js";
import { el } from "../page/dom.js";

export class OtherMetrics {
  #chunks = new Map(); // address → document
  #asked = new Set(); // addresses that are being read

  // Calls `onRead` when more has been read.
  constructor(source, onRead) {
    Object.assign(this, { source, onRead });
    this.element = el("span", { class: "muted", role: "status" });
  }

  // Reads these metrics in all runs that have them in chunks, unless they are known from the run's last warming.
  async read(runs, keys, resolution) {
    const isKnown = (address, { history }) => this.#chunks.get(address)?.cached_at === history.cached_at;
    const wanted = runs.flatMap((run) =>
      keys.map((key) => addressOf(run, key, resolution)).filter((address) => address && !isKnown(address, run)),
    );
    const missing = [...new Set(wanted)].filter((address) => !this.#asked.has(address));
    if (!missing.length) return;
    for (const address of missing) this.#asked.add(address);
    const answers = await Promise.allSettled(missing.map((address) => this.#ask(address)));
    const failed = answers.find(({ status }) => status === "rejected");
    this.element.textContent = failed ? `Some other metrics can't be read: ${failed.reason.message}` : "";
    for (const address of missing) this.#asked.delete(address);
    if (answers.some(({ value }) => value)) this.onRead();
  }

  // The run as if it had logged only this metric; null if it has none in a chunk, or that has not been read.
  of(run, key) {
    const chunk = ["full", "overview"]
      .map((resolution) => this.#chunks.get(addressOf(run, key, resolution)))
      .find((document) => document?.metrics?.[key]);
    return chunk ? { ...run, ...narrowed(run, key, chunk) } : null;
  }

  // The same with every step. Throws if it can't be read.
  async whole(run, key) {
    await this.#ask(addressOf(run, key, "full"));
    const found = this.of(run, key);
    if (!found) throw new Error("the run is being warmed. Retry in a second.");
    return found;
  }

  // Whether the document has changed.
  async #ask(address) {
    const { changed, document } = await this.source.read(address);
    if (changed) this.#chunks.set(address, document);
    return changed;
  }
}

// Null if the run has no such metric in a chunk.
function addressOf({ id, told }, key, resolution) {
  const chunk = told?.chunk_of[key];
  return chunk === undefined ? null : `/api/runs/${id}/metrics/${chunk}/?resolution=${resolution}`;
}

function narrowed({ history: { start_time } }, key, { metrics, axes, non_finite }) {
  const { values, min, max, axis } = metrics[key];
  const { steps: epochs, steps_total: epochs_total, timestamps, counted } = axes[axis];
  const nothing = { loss: [], weight_norm: [], gradient_norm: [] };
  return {
    curves: new Map([[key, values]]),
    counted,
    history: {
      ...nothing,
      unit: "step",
      epochs,
      epochs_total,
      timestamps,
      start_time,
      envelope: byName(min ? [[key, { min, max }]] : []),
      non_finite,
    },
  };
}
