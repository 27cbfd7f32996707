// The histograms of a run, of both towers' weights and gradients, with one chosen epoch for all.

import { HISTOGRAM_DEFAULTS, HISTOGRAM_REFINED_UP_TO, pairsOf, TOWERS, TYPES } from "../charts/specs.js";
import { read } from "../page/documents.js";
import { choice, el } from "../page/dom.js";
import { drawAll } from "../page/frames.js";
import { nearest } from "./find.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import * as ridgeline from "./ridgeline.js";

const KINDS = ["ridgeline", "heatmap", "quantiles"];
const COUNTS = ["linear", "log", "symlog"];

export class HistogramView {
  // `address(type, tower)` is that of the JSON, `fullAddress(type, tower)` that of every epoch, read when the viewer
  // moves through the epochs; `source` reads both.
  constructor({ source, address, fullAddress, history, view, permalink }) {
    Object.assign(this, { source, address, fullAddress, history, view, permalink });
    const asked = (name, allowed) =>
      allowed.includes(permalink.get(name)) ? permalink.get(name) : HISTOGRAM_DEFAULTS[name];
    this.kind = asked("histogram", KINDS);
    this.what = asked("what", [...TYPES, "both"]);
    this.tower = asked("tower", [...TOWERS, "both"]);
    this.counts = asked("counts", COUNTS);
    this.fit = permalink.get("bars") === "fit";
    const epoch = permalink.get("epoch");
    this.epoch = /^\d+$/.test(epoch) ? Number(epoch) : null; // null follows the newest
    this.fine = (this.epoch !== null || this.kind !== "ridgeline") && history.epochs_total <= HISTOGRAM_REFINED_UP_TO;
    this.picture = ridgeline;
    this.documents = new Map();
    this.panels = new Map();
    this.#build();
    this.#readPicture();
    addEventListener("themechange", () => {
      for (const panel of this.#shown()) panel.draw();
    });
  }

  #build() {
    this.slider = el("input", {
      type: "range",
      min: "0",
      max: "0",
      value: "0",
      id: "epoch",
      oninput: () => this.#jump(this.#epochs()[Number(this.slider.value)]),
    });
    this.chosen = el("output", { class: "tabular", for: "epoch" });
    this.player = new Player(
      () => this.#step(1),
      () => this.choose(this.#epochs()[0]),
      () => this.epoch === null,
    );
    const jump = (text, find) =>
      el("button", { type: "button", class: "quiet", onclick: () => this.#jump(find()) }, text);
    const scrub = el(
      "div",
      { class: "scrub" },
      el("label", { for: "epoch" }, "Epoch"),
      this.slider,
      this.chosen,
      jump("best", () => this.history.best_epoch),
      jump("last", () => null),
      this.player.element,
    );
    for (const begins of ["focusin", "pointerdown"]) scrub.addEventListener(begins, () => this.#refine());
    this.grid = el("div", { class: "panels" });
    this.element = el("div", { class: "histogram" }, this.#tools(), scrub, this.grid);
  }

  #tools() {
    this.kinds = choice(
      "Picture",
      [
        ["ridgeline", "Ridgeline"],
        ["heatmap", "Heatmap"],
        ["quantiles", "Quantiles"],
      ],
      this.kind,
      (kind) => this.show(kind),
    );
    return el(
      "div",
      { class: "tools" },
      choice(
        "What",
        [
          ["weights", "Weights"],
          ["gradients", "Gradients"],
          ["both", "Both"],
        ],
        this.what,
        (what) => this.#pick("what", what),
      ),
      choice(
        "Tower",
        [
          ["query", "Query tower"],
          ["candidate", "Candidate tower"],
          ["both", "Both towers"],
        ],
        this.tower,
        (tower) => this.#pick("tower", tower),
      ),
      this.kinds,
      choice(
        "Counts",
        [
          ["linear", "Linear"],
          ["log", "Log"],
          ["symlog", "Symlog"],
        ],
        this.counts,
        (counts) => {
          this.counts = counts;
          this.#arrange({ counts });
        },
      ),
      choice(
        "Range of the bars",
        [
          ["shared", "Shared range"],
          ["fit", "Fit bars"],
        ],
        this.fit ? "fit" : "shared",
        (bars) => {
          this.fit = bars === "fit";
          this.#arrange({ bars });
        },
      ),
    );
  }

  // Reads the chosen histograms again, if they have changed.
  async load(history = this.history) {
    this.history = history;
    const panels = this.#place();
    const found = await Promise.all(panels.map((panel) => this.#read(panel.type, panel.tower)));
    this.#fillAll(panels, found);
    drawAll(panels);
  }

  // Loads for the first time. Fills in what has already arrived and returns its panels, for the caller to draw.
  begin() {
    const panels = this.#place();
    const addresses = panels.map(({ type, tower }) => this.#addressOf(type, tower));
    const arrived = this.source.arrived(addresses);
    if (arrived) {
      for (const [i, { document }] of arrived.entries()) this.documents.set(addresses[i], document);
      this.#fillAll(panels, arrived);
      return panels;
    }
    this.load();
    return [];
  }

  // Puts the chosen panels in place and returns them.
  #place() {
    const panels = this.#shown();
    if (
      panels.some((panel, i) => this.grid.children[i] !== panel.element) ||
      this.grid.childElementCount !== panels.length
    )
      this.grid.replaceChildren(...panels.map((panel) => panel.element));
    this.grid.dataset.count = String(panels.length);
    return panels;
  }

  #fillAll(panels, found) {
    for (const [i, panel] of panels.entries()) if (found[i]) this.#fill(panel, found[i]);
    this.#setSlider();
  }

  // All epochs of one histogram.
  full(type, tower) {
    return read(this.fullAddress(type, tower));
  }

  show(kind) {
    this.kind = kind;
    this.kinds.press(kind);
    this.permalink.set({ histogram: kind });
    this.#refine();
    return this.#readPicture();
  }

  showNext() {
    return this.show(KINDS[(KINDS.indexOf(this.kind) + 1) % KINDS.length]);
  }

  // Shows the nearest kept epoch; null means the newest one, and follows it.
  choose(epoch) {
    const epochs = this.#epochs();
    if (!epochs.length) return;
    const index = epoch === null ? epochs.length - 1 : nearest(epochs, epoch);
    this.epoch = index === epochs.length - 1 ? null : epochs[index];
    this.slider.value = String(index);
    this.#sayEpoch();
    this.permalink.set({ epoch: this.epoch === null ? "" : String(this.epoch) });
    for (const panel of this.#shown()) panel.choose(this.epoch);
  }

  // Reads every epoch from now on.
  #refine() {
    if (this.fine || !this.#epochs().length || this.history.epochs_total > HISTOGRAM_REFINED_UP_TO) return;
    this.fine = true;
    this.load();
  }

  #addressOf(type, tower) {
    return this.fine ? this.fullAddress(type, tower) : this.address(type, tower);
  }

  #jump(epoch) {
    this.player.stop();
    this.choose(epoch);
  }

  #step(by) {
    const last = this.#epochs().length - 1;
    const next = Math.min(Number(this.slider.value) + by, last);
    this.choose(this.#epochs()[next]);
    return next < last;
  }

  #pick(name, value) {
    this[name] = value;
    this.permalink.set({ [name]: value });
    this.load();
  }

  #arrange(parameters) {
    this.permalink.set(parameters);
    for (const panel of this.#shown()) panel.arrange();
  }

  // Loads the heatmap's module when it is needed.
  async #readPicture() {
    const picture = this.kind === "heatmap" ? await import("./heatmap.js") : ridgeline;
    this.picture = picture;
    for (const panel of this.#shown()) panel.arrange();
  }

  // {document} or {error}; null if the resolution has changed meanwhile.
  async #read(type, tower) {
    const address = this.#addressOf(type, tower);
    try {
      const { changed, document } = await this.source.read(address);
      if (changed) this.documents.set(address, document);
    } catch (error) {
      if (!this.documents.has(address)) return { error };
    }
    return address === this.#addressOf(type, tower) ? { document: this.documents.get(address) } : null;
  }

  #fill(panel, { document, error }) {
    if (error) return panel.say(`The histogram can't be read: ${error.message}`);
    panel.epoch = this.epoch;
    return panel.show(document);
  }

  #setSlider() {
    const epochs = this.#epochs();
    this.slider.max = String(Math.max(epochs.length - 1, 0));
    this.slider.value = String(this.epoch === null ? epochs.length - 1 : nearest(epochs, this.epoch));
    if (epochs.length) this.#sayEpoch();
  }

  #sayEpoch() {
    const epochs = this.#epochs();
    const epoch = this.epoch ?? epochs.at(-1);
    this.chosen.textContent = `${epoch} of ${epochs.at(-1)}`;
    this.slider.setAttribute("aria-valuetext", `epoch ${epoch}`);
  }

  // The slider's epochs: those of the first panel with data.
  #epochs() {
    return this.#shown().find((panel) => panel.data)?.data.epochs ?? [];
  }

  #shown() {
    return pairsOf(this.what, this.tower).map(([type, tower]) => this.#panel(type, tower));
  }

  #panel(type, tower) {
    const name = `${type} ${tower}`;
    if (!this.panels.has(name)) this.panels.set(name, new Panel(this, type, tower));
    return this.panels.get(name);
  }
}
