// One histogram of a run, of a tower's weights or gradients: a picture of all epochs, and the bins of the chosen one.

import { valueAxis } from "../charts/axis.js";
import { context2d } from "../charts/canvas.js";
import { statisticsOf } from "../charts/catalogue.js";
import { lazyDetails } from "../page/details.js";
import { el, table } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, exact, number } from "../page/format.js";
import { drawAll } from "../page/frames.js";
import { exportMenu } from "../page/menu.js";
import { findBar, paintBars } from "./bars.js";
import { countScale } from "./counts.js";
import { fullest, nearest } from "./find.js";

export class Panel {
  // `host` is the HistogramView: {history, view, kind, picture, counts, fit, choose(epoch), full(type, tower)}.
  constructor(host, type, tower) {
    Object.assign(this, { host, type, tower });
    this.title = `${type === "weights" ? "Weights" : "Gradients"}, ${tower} tower`;
    this.data = null;
    this.epoch = null;
    this.pointed = null; // {index, bin, inBars} under the pointer, or chosen by the arrow keys
    this.dirty = new Set();
    this.frame = null;
    this.ground = null; // a canvas with the picture without marks, since the marks first moved
    this.#build();
  }

  #build() {
    this.picture = el("div", {
      class: "canvas-box ridges",
      role: "img",
      tabindex: "0",
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#point(null),
    });
    this.bars = el("div", { class: "canvas-box bars", role: "img" });
    [this.canvas, this.barCanvas] = [el("canvas"), el("canvas")];
    this.picture.append(this.canvas);
    this.bars.append(this.barCanvas);
    this.quantiles = el("div", { class: "quantiles", hidden: true });
    this.read = el("p", { class: "readout tabular", role: "status" });
    this.outside = el("p", { class: "summary tabular" });
    this.statistics = el("dl", { class: "statistics tabular" });
    this.message = el("p", { class: "notice small", hidden: true });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table of this epoch", () => this.#table());
    const head = el(
      "div",
      { class: "chart-title" },
      el("h3", {}, this.title),
      exportMenu(this.title, (kind) => this.#export(kind)),
    );
    const side = el("div", { class: "hist-side" }, this.bars, this.outside, this.statistics);
    this.content = el(
      "div",
      {},
      el("div", { class: "panel-grid" }, el("div", {}, this.picture, this.quantiles), side),
      this.read,
      this.summary,
      this.table.details,
    );
    this.element = el("figure", { class: "panel", "aria-label": this.title }, head, this.message, this.content);
    this.guard = new Guard(this.title, this.element);
    this.quantileGuard = new Guard(`${this.title}, quantiles`, this.quantiles);
    this.picture.addEventListener("pointermove", (event) => this.#point(this.#at(event)));
    this.picture.addEventListener(
      "click",
      (event) => this.data && this.host.choose(this.data.epochs[this.#at(event)?.index] ?? null),
    );
    this.bars.addEventListener(
      "pointermove",
      (event) => this.data && this.#point(findBar(this, event.clientX - this.bars.getBoundingClientRect().left)),
    );
    for (const box of [this.picture, this.bars]) box.addEventListener("pointerleave", () => this.#point(null));
    const observer = new ResizeObserver(() => this.#isAsPainted() || this.draw());
    for (const box of [this.picture, this.bars]) observer.observe(box);
  }

  // `document` is the API's; it may say why there is no histogram.
  show(document) {
    this.document = document;
    this.guard.run(() => this.#take(document));
  }

  // After an error all of it is tried again.
  #attempt(act) {
    if (this.data) this.guard.run(() => (this.guard.failed ? this.#take(this.document) : act()));
  }

  #take(document) {
    if (!document.available || !document.epochs.length)
      return this.say(document.reason || document.expect || "No histogram logged.");
    this.say("");
    this.data = document;
    this.axis = valueAxis(document.bin_edges_by_epoch);
    this.top = Math.max(1, ...document.counts.map((row) => Math.max(...row.map((value) => value ?? 0))));
    this.choose(this.epoch);
    return this.arrange();
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
    this.content.hidden = Boolean(text);
  }

  // Applies the settings of all panels.
  arrange() {
    this.#attempt(() => this.#arrange());
  }

  #arrange() {
    const { kind, counts, fit } = this.host;
    this.fit = fit;
    this.scale = countScale(counts, this.top);
    const lines = kind === "quantiles";
    this.picture.hidden = lines;
    this.quantiles.hidden = !lines;
    if (lines) this.quantileGuard.run(() => this.#showQuantiles());
    this.#summarize();
    this.draw();
  }

  #summarize() {
    const { kind, picture } = this.host;
    this.summary.textContent = this.#describe(kind === "quantiles" ? "" : picture.says);
    const name = kind === "heatmap" ? "Heatmap" : "Ridgeline";
    const keys = "Arrow keys move through epochs and bins.";
    this.picture.setAttribute("aria-label", `${name}. ${this.summary.textContent} ${keys}`);
  }

  // Shows the nearest kept epoch; null means the last one.
  choose(epoch) {
    this.epoch = epoch;
    this.#attempt(() => this.#choose(epoch));
  }

  #choose(epoch) {
    const { epochs } = this.data;
    this.index = epoch === null ? epochs.length - 1 : nearest(epochs, epoch);
    this.bars.setAttribute("aria-label", `Bins of epoch ${epochs[this.index]}; the data table has the numbers.`);
    this.#statistics();
    this.#summarize();
    this.table.refresh();
    this.#point(null);
  }

  draw() {
    this.#paint("picture", "bars");
  }

  // Draws these parts in the next frame, once for any number of calls.
  #paint(...parts) {
    for (const part of parts) this.dirty.add(part);
    this.frame ??= requestAnimationFrame(() => drawAll([this]));
  }

  measure() {
    this.size = sizeOf(this.picture);
    this.barSize = sizeOf(this.bars);
  }

  // Draws now what waits for the next frame.
  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { dirty, size, barSize } = this;
    this.dirty = new Set();
    if (barSize.width) this.#attempt(() => this.#paintParts(dirty, size, barSize));
  }

  #paintParts(dirty, size, barSize) {
    if (dirty.has("picture")) this.ground = null;
    if (size.width && (dirty.has("picture") || dirty.has("marks"))) this.#paintPicture(!dirty.has("picture"));
    if (dirty.has("bars")) paintBars(this, context2d(this.barCanvas, barSize.width, barSize.height));
  }

  // Paints everything; or, `again`, only the marks, over a picture that is kept while nothing else changes.
  #paintPicture(again) {
    const {
      size: { width, height },
      host: { picture },
    } = this;
    if (again && !this.ground) {
      this.ground = el("canvas");
      picture.paintBack(this, context2d(this.ground, width, height));
    }
    const context = context2d(this.canvas, width, height);
    if (again) context.drawImage(this.ground, 0, 0, width, height);
    else picture.paintBack(this, context);
    picture.paintFront(this, context);
  }

  #isAsPainted() {
    const same = (one, other) => one?.width === other.width && one.height === other.height;
    return same(this.size, sizeOf(this.picture)) && same(this.barSize, sizeOf(this.bars));
  }

  #describe(says) {
    const { epochs, epochs_total: total, bin_edges_by_epoch: all } = this.data;
    const edges = all[this.index];
    const how = says && ` ${says}.${this.axis.symlog ? " The axis of the values is symmetric-logarithmic." : ""}`;
    const many = `${count(edges.length - 1)} bins, ${count(epochs.length)} of ${count(total)} epochs`;
    const range = `at epoch ${epochs[this.index]} from ${number(edges[0])} to ${number(edges.at(-1))}`;
    return `${this.title}: ${many}; ${range}.${how}`;
  }

  async #showQuantiles() {
    const { quantileChart, quantileData } = await import("./quantiles.js");
    const { host, type, tower, title } = this;
    const data = quantileData(this.data, host.history);
    if (this.lines) return this.lines.update(data);
    const full = async () => quantileData(await host.full(type, tower), host.history);
    this.lines = quantileChart({ title, type, tower, full }, data, host.view);
    return this.quantiles.append(this.lines.element);
  }

  #at(event) {
    if (!this.data) return null;
    const { left, top } = this.picture.getBoundingClientRect();
    return this.host.picture.find(this, event.clientX - left, event.clientY - top);
  }

  #key(event) {
    const step = this.host.picture.keys[event.key];
    if (!step || !this.data) return;
    event.preventDefault();
    const now =
      this.pointed?.bin != null && !this.pointed.inBars
        ? this.pointed
        : { index: this.index, bin: fullest(this.data.counts[this.index]) };
    const index = Math.min(Math.max(now.index + (step.epoch ?? 0), 0), this.data.epochs.length - 1);
    this.#point({ index, bin: Math.min(Math.max(now.bin + (step.bin ?? 0), -1), this.data.counts[index].length) });
  }

  // Reads out the bin under the pointer; without a pointer, the fullest bin of the chosen epoch.
  #point(found) {
    if (!this.data) return;
    this.pointed = found;
    this.#paint("marks", "bars");
    const index = found?.index ?? this.index;
    this.read.textContent =
      (found ? "" : "Fullest bin: ") + reading(this.data, index, found?.bin ?? fullest(this.data.counts[index]));
  }

  #statistics() {
    const { epochs, underflow, overflow, bin_edges_by_epoch: edges } = this.data;
    const [low, high] = [edges[this.index][0], edges[this.index].at(-1)];
    const below = `${count(underflow[this.index])} below ${number(low)}`;
    const above = `${count(overflow[this.index])} above ${number(high)}`;
    this.outside.textContent = `Outside the edges: ${below}, ${above}.`;
    const { history } = this.host;
    const statistics = statisticsOf(history, this.type, this.tower);
    const at = history.epochs.indexOf(epochs[this.index]);
    const shown = Object.entries(statistics).filter(([, values]) => at >= 0 && (values[at] ?? null) !== null);
    this.statistics.replaceChildren(
      ...shown.map(([name, values]) => el("div", {}, el("dt", {}, name), el("dd", {}, number(values[at])))),
    );
  }

  #table() {
    const { index, data } = this;
    const edges = data.bin_edges_by_epoch[index];
    const rows = data.counts[index].map((value, bin) => [
      String(bin),
      exact(edges[bin]),
      exact(edges[bin + 1]),
      exact(value),
    ]);
    rows.unshift(["below", "", exact(edges[0]), exact(data.underflow[index])]);
    rows.push(["above", exact(edges.at(-1)), "", exact(data.overflow[index])]);
    return table(`Bins of epoch ${data.epochs[index]}`, ["bin", "from", "to", "count"], rows);
  }

  async #export(kind) {
    const { exportChart, exportHistogram, savePicture } = await import("../charts/export.js");
    const title = `${this.title}, ${this.host.kind}`;
    if (kind === "csv" || kind === "json")
      return exportHistogram(this.title, kind, await this.host.full(this.type, this.tower));
    if (this.host.kind === "quantiles") return exportChart(this.lines, kind);
    const { paintBack, paintFront } = this.host.picture;
    const paint = (context) => {
      paintBack(this, context);
      paintFront(this, context);
    };
    return savePicture(title, kind, { ...this.size, paint });
  }
}

function reading({ epochs, counts, underflow, overflow, bin_edges_by_epoch: all }, index, bin) {
  const [row, edges] = [counts[index], all[index]];
  const [below, above] = [underflow[index] ?? 0, overflow[index] ?? 0];
  const total = row.reduce((sum, value) => sum + (value ?? 0), below + above);
  let [where, value] = [`${number(edges[bin])} to ${number(edges[bin + 1])}`, row[bin]];
  if (bin < 0) [where, value] = [`below ${number(edges[0])}`, below];
  if (bin >= row.length) [where, value] = [`above ${number(edges.at(-1))}`, above];
  const share = total ? ((100 * (value ?? 0)) / total).toPrecision(3) : "0";
  return `epoch ${epochs[index]} · ${where} · ${count(value)} of ${count(total)} (${share} %)`;
}

const sizeOf = ({ clientWidth: width, clientHeight: height }) => ({ width, height });
