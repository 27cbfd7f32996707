// The curves of a run: those of its history, and those of metrics with other steps, read in chunks when they are shown.

import { valuesOf } from "../charts/catalogue.js";
import { merged } from "../compare/merge.js";
import { byName, read } from "../page/documents.js";

const CHUNKS_KEPT = 24;

export class Curves {
  // `page` is that of run.js.
  constructor(page) {
    this.page = page;
    this.version = 0; // of the run; documents of earlier versions are read again
    this.chunks = new Map(); // address → {version, document: promise}
  }

  // The resolution of the charts.
  get resolution() {
    return this.page.asked ? "full" : "overview";
  }

  // Data for a LineChart: these metrics on the union of their steps. Null if index and chunk are of different versions:
  // the next change brings both.
  async data(keys, resolution) {
    const grids = await Promise.all(keys.map((key) => this.#grid(key, resolution)));
    if (!grids.every(Boolean)) return null;
    const data = merged(
      grids.map((run, i) => ({ key: keys[i], metric: keys[i], run })),
      false,
    );
    data.timestamps = timesOf(data.epochs, grids);
    data.start_time = this.page.history.start_time;
    data.counted = grids.every(({ counted }) => counted);
    data.earlier = byName(grids.flatMap(({ earlier }, i) => (earlier ? [[keys[i], earlier]] : [])));
    return data;
  }

  // As merge.js takes a run: {history, curves}.
  async #grid(key, resolution) {
    const { told } = this.page;
    if (!Object.hasOwn(told.chunk_of, key)) return ofHistory(await this.#history(resolution), key);
    const document = await this.#chunk(told.chunk_of[key], resolution);
    const metric = document.metrics?.[key];
    if (!metric) return null;
    const { steps: epochs, steps_total: epochs_total, timestamps, counted } = document.axes[metric.axis];
    const envelope = byName(metric.min ? [[key, { min: metric.min, max: metric.max }]] : []);
    const history = { epochs, epochs_total, timestamps, envelope, non_finite: document.non_finite };
    return { history, curves: new Map([[key, metric.values]]), counted, earlier: metric.earlier };
  }

  async #history(resolution) {
    const { page } = this;
    if (resolution !== "full" || page.history.resolution === "full") return page.history;
    return read(page.historyAddress("full"));
  }

  async #chunk(number, resolution) {
    const address = this.address(number, resolution);
    const known = this.chunks.get(address);
    if (known?.version === this.version) return known.document;
    const document = this.#read(address, known?.document);
    this.chunks.delete(address); // the newest come last
    this.chunks.set(address, { version: this.version, document });
    for (const old of [...this.chunks.keys()].slice(0, -CHUNKS_KEPT)) {
      this.chunks.delete(old);
      this.page.source.forget(old);
    }
    return document;
  }

  address(number, resolution) {
    return `${this.page.api}metrics/${number}/?resolution=${resolution}`;
  }

  async #read(address, before) {
    try {
      const { changed, document } = await this.page.source.read(address);
      return changed ? document : await before;
    } catch (error) {
      this.chunks.delete(address);
      throw error;
    }
  }
}

// Only the steps at which the history has something of this metric.
function ofHistory(history, key) {
  const values = valuesOf(history, key);
  if (!values) return null;
  const gaps = new Set(history.non_finite.filter(({ metric }) => metric === key).map(({ epoch }) => epoch));
  const { min, max } = history.envelope[key] ?? {};
  const kept = history.epochs
    .map((_, j) => j)
    .filter((j) => values[j] !== null || (min?.[j] ?? null) !== null || gaps.has(history.epochs[j]));
  const of = (column) => kept.map((j) => column[j]);
  return {
    history: {
      epochs: of(history.epochs),
      epochs_total: history.epochs_total,
      timestamps: of(history.timestamps),
      envelope: byName(min ? [[key, { min: of(min), max: of(max) }]] : []),
      non_finite: history.non_finite,
    },
    curves: new Map([[key, of(values)]]),
    counted: false,
    earlier: history.earlier?.[key],
  };
}

function timesOf(steps, grids) {
  const times = new Map();
  for (const { history } of grids)
    for (const [j, step] of history.epochs.entries())
      times.set(step, Math.max(history.timestamps[j], times.get(step) ?? -Infinity));
  return steps.map((step) => times.get(step));
}
