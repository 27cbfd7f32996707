// The histograms of a run: a ridgeline over all epochs, and the exact bins of the one that the slider has chosen.

import { evenTicks, valueAxis } from "./axis.js";
import { choice, context2d, cssColor, el, lazyDetails, table } from "./dom.js";
import { count, exact, number } from "./format.js";

const FONT = "11px system-ui, sans-serif";
const RIDGES_AT_MOST = 60;
const LEFT = 52;
const BOTTOM = 26;
const GUTTER = 16; // beside the bars, for what lies outside the edges

export class HistogramView {
  // `address(type, tower)` is where the JSON is; `source` reads it.
  constructor(source, address, history) {
    this.source = source;
    this.address = address;
    this.history = history;
    this.type = "weights";
    this.tower = "query";
    this.log = false;
    this.fit = false;
    this.epoch = null; // chosen by the viewer; null follows the newest
    this.documents = new Map();
    this.pointed = null; // {index, epoch, bin, inBars} under the pointer
    this.dirty = new Set();
    this.frame = null;
    this.#build();
    this.load();
    addEventListener("themechange", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.ridges);
  }

  #build() {
    const pick = (name) => (value) => ((this[name] = value), this.load());
    const set = (name, on) => (value) => ((this[name] = value === on), this.draw());
    this.ridges = el("div", { class: "canvas-box ridges", role: "img" });
    this.bars = el("div", { class: "canvas-box bars", role: "img" });
    [this.back, this.front] = [el("canvas"), el("canvas")];
    this.barCanvas = el("canvas");
    this.ridges.append(this.back, this.front);
    this.bars.append(this.barCanvas);
    this.read = el("p", { class: "readout tabular", role: "status" });
    this.outside = el("p", { class: "summary tabular" });
    this.statistics = el("dl", { class: "statistics tabular" });
    this.message = el("p", { class: "notice small", hidden: true });
    this.slider = el("input", { type: "range", min: "0", max: "0", value: "0", id: "epoch", oninput: () => this.#choose(Number(this.slider.value)) });
    this.chosen = el("output", { class: "tabular", for: "epoch" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table of this epoch", () => this.#table());
    const jump = (text, find) => el("button", { type: "button", class: "quiet", onclick: () => this.#jump(find()) }, text);
    const tools = el("div", { class: "tools" },
      choice("What", [["weights", "Weights"], ["gradients", "Gradients"]], this.type, pick("type")),
      choice("Tower", [["query", "Query tower"], ["candidate", "Candidate tower"]], this.tower, pick("tower")),
      choice("Counts", [["linear", "Linear"], ["log", "Log counts"]], "linear", set("log", "log")),
      choice("Bars", [["shared", "Shared range"], ["fit", "Fit bars"]], "shared", set("fit", "fit")));
    const scrub = el("div", { class: "scrub" }, el("label", { for: "epoch" }, "Epoch"), this.slider, this.chosen, jump("best", () => this.history.best_epoch), jump("last", () => null));
    const side = el("div", { class: "hist-side" }, this.bars, this.outside, this.statistics);
    this.content = el("div", { class: "hist-content" }, el("div", { class: "hist-grid" }, this.ridges, side), scrub, this.read, this.summary, this.table.details);
    this.element = el("figure", { class: "histogram", "aria-label": "Histograms" }, tools, this.message, this.content);
    this.ridges.addEventListener("pointermove", (event) => this.#hoverRidges(event));
    this.ridges.addEventListener("click", (event) => this.#jump(this.#ridgeAt(event)?.epoch ?? null));
    this.bars.addEventListener("pointermove", (event) => this.#hoverBars(event));
    for (const box of [this.ridges, this.bars]) box.addEventListener("pointerleave", () => this.#hover(null));
  }

  // Reads the chosen histogram again; what has not changed is not sent again.
  async load(history = this.history) {
    this.history = history;
    const address = this.address(this.type, this.tower);
    try {
      const { changed, document } = await this.source.read(address);
      if (changed) this.documents.set(address, document);
    } catch (error) {
      if (!this.documents.has(address)) return this.#say(`The histogram can't be read: ${error.message}`);
    }
    if (address !== this.address(this.type, this.tower)) return undefined; // another one has been chosen meanwhile
    return this.#show(this.documents.get(address));
  }

  #say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
    this.content.hidden = Boolean(text);
  }

  #show(document) {
    if (!document.available || !document.epochs.length) return this.#say(document.reason || document.expect || "No histogram has been logged.");
    this.#say("");
    this.data = document;
    this.axis = valueAxis(document.bin_edges_by_epoch);
    this.top = Math.max(1, ...document.counts.flat().map((value) => value ?? 0));
    this.slider.max = String(document.epochs.length - 1);
    const { epochs } = document;
    const name = `${this.type === "weights" ? "Weights" : "Gradients"} of the ${this.tower} tower`;
    const edges = document.bin_edges_by_epoch.at(-1);
    this.summary.textContent = `${name}: ${count(edges.length - 1)} bins, ${count(epochs.length)} of ${count(document.epochs_total)} epochs; at epoch ${epochs.at(-1)} from ${number(edges[0])} to ${number(edges.at(-1))}. The height of a ridge is the count in each bin${this.axis.symlog ? ", on a symmetric-log axis" : ""}.`;
    this.ridges.setAttribute("aria-label", `Ridgeline. ${this.summary.textContent}`);
    this.#jump(this.epoch);
    return undefined;
  }

  // Goes to the kept epoch nearest to this one; null is the last.
  #jump(epoch) {
    const { epochs } = this.data;
    let nearest = epochs.length - 1;
    if (epoch !== null) epochs.forEach((kept, i) => (nearest = Math.abs(kept - epoch) < Math.abs(epochs[nearest] - epoch) ? i : nearest));
    this.slider.value = String(nearest);
    this.#choose(nearest);
    this.draw();
  }

  #choose(index) {
    const { epochs } = this.data;
    this.index = index;
    this.epoch = index === epochs.length - 1 ? null : epochs[index];
    this.chosen.textContent = `${epochs[index]} of ${epochs.at(-1)}`;
    this.slider.setAttribute("aria-valuetext", `epoch ${epochs[index]}`);
    this.bars.setAttribute("aria-label", `Bins of epoch ${epochs[index]}; the data table has the numbers.`);
    this.#statistics();
    this.table.refresh();
    this.#hover(null);
  }

  draw() {
    this.#paint("back", "front", "bars");
  }

  // Draws these parts with the next frame, once, however often they are asked for.
  #paint(...parts) {
    for (const part of parts) this.dirty.add(part);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const { dirty } = this;
      this.dirty = new Set();
      if (!this.data || !this.ridges.clientWidth) return;
      if (dirty.has("back")) this.#drawBack();
      if (dirty.has("front")) this.#drawFront(this.pointed);
      if (dirty.has("bars")) this.#drawBars(this.pointed?.inBars ? this.pointed.bin : null);
    });
  }

  #height(value) {
    if (!value) return 0;
    return this.log ? Math.log10(1 + value) / Math.log10(1 + this.top) : value / this.top;
  }

  // Baselines by true epoch, so that unequal steps look unequal.
  #geometry() {
    const { clientWidth: width, clientHeight: height } = this.ridges;
    const { epochs } = this.data;
    const tall = Math.min(120, height * 0.28);
    const [from, to] = [tall + 6, height - BOTTOM];
    const span = epochs.at(-1) - epochs[0] || 1;
    const baseline = (index) => (epochs.length === 1 ? to : from + ((epochs[index] - epochs[0]) / span) * (to - from));
    return { width, height, tall, baseline, x: (value) => LEFT + this.axis.position(value) * (width - LEFT - 12) };
  }

  #ridge(context, geometry, index) {
    const edges = this.data.bin_edges_by_epoch[index];
    const base = geometry.baseline(index);
    context.beginPath();
    context.moveTo(geometry.x(edges[0]), base);
    this.data.counts[index].forEach((value, bin) => {
      const middle = (geometry.x(edges[bin]) + geometry.x(edges[bin + 1])) / 2;
      context.lineTo(middle, base - this.#height(value) * geometry.tall);
    });
    context.lineTo(geometry.x(edges.at(-1)), base);
  }

  #drawBack() {
    const geometry = this.#geometry();
    const context = context2d(this.back, geometry.width, geometry.height);
    const { epochs } = this.data;
    const [cool, warm, panel] = [cssColor("cool"), cssColor("ember"), cssColor("panel")];
    this.#axis(context, geometry.x, geometry.height - BOTTOM, [LEFT, geometry.width], geometry.height);
    for (const index of this.#drawn()) {
      const base = geometry.baseline(index);
      this.#ridge(context, geometry, index);
      context.globalAlpha = 0.82;
      context.fillStyle = panel;
      context.fill();
      context.globalAlpha = 1;
      const share = epochs.length > 1 ? (epochs[index] - epochs[0]) / (epochs.at(-1) - epochs[0]) : 1;
      context.strokeStyle = `color-mix(in oklab, ${warm} ${Math.round(share * 100)}%, ${cool})`;
      context.lineWidth = 1.25;
      context.stroke();
      this.#outsideMarks(context, index, base, geometry);
    }
  }

  // Epochs at the left, as many as have room beside the chosen one.
  #labels(context, geometry) {
    context.font = FONT;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const chosen = geometry.baseline(this.index);
    let free = -Infinity;
    const label = (index, y, color) => {
      context.fillStyle = color;
      context.fillText(String(this.data.epochs[index]), LEFT - 16, y - 1);
    };
    for (const index of this.#drawn()) {
      const y = geometry.baseline(index);
      if (y < free || Math.abs(y - chosen) < 14) continue;
      label(index, y, cssColor("muted"));
      free = y + 18;
    }
    label(this.index, chosen, cssColor("accent"));
  }

  // Small arrows where values lay outside the edges.
  #outsideMarks(context, index, base, geometry) {
    context.fillStyle = cssColor("muted");
    for (const [value, x, way] of [[this.data.underflow[index], LEFT - 4, -1], [this.data.overflow[index], geometry.width - 8, 1]]) {
      if (!value) continue;
      context.beginPath();
      context.moveTo(x, base - 5);
      context.lineTo(x + 4 * way, base - 2.5);
      context.lineTo(x, base);
      context.fill();
    }
  }

  // Indexes of the ridges that are drawn: all, or evenly many.
  #drawn() {
    const { length } = this.data.epochs;
    const shown = Math.min(length, RIDGES_AT_MOST);
    return [...new Set(Array.from({ length: shown }, (_, i) => Math.round((i * (length - 1)) / Math.max(shown - 1, 1))))];
  }

  #drawFront(pointed) {
    const geometry = this.#geometry();
    const context = context2d(this.front, geometry.width, geometry.height);
    const [accent, ink] = [cssColor("accent"), cssColor("ink")];
    this.#labels(context, geometry);
    const hover = pointed && !pointed.inBars && pointed.bin !== null ? pointed : null;
    if (hover && hover.index !== this.index) {
      this.#ridge(context, geometry, hover.index);
      context.strokeStyle = ink;
      context.lineWidth = 1.25;
      context.stroke();
    }
    this.#ridge(context, geometry, this.index);
    context.globalAlpha = 0.3;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = 2.25;
    context.stroke();
    if (hover) this.#binMark(context, geometry, hover);
  }

  #binMark(context, geometry, { index, bin }) {
    const edges = this.data.bin_edges_by_epoch[index];
    const height = this.#height(this.data.counts[index][bin]) * geometry.tall;
    context.fillStyle = cssColor("ink");
    context.beginPath();
    context.arc((geometry.x(edges[bin]) + geometry.x(edges[bin + 1])) / 2, geometry.baseline(index) - height, 3.5, 0, 2 * Math.PI);
    context.fill();
  }

  #axis(context, x, y, [left, right], height) {
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "top";
    const [muted, grid] = [cssColor("muted"), cssColor("grid")];
    const axis = this.barAxis && left !== LEFT ? this.barAxis : this.axis;
    let free = -Infinity;
    for (const [value, label] of [...axis.ticks].sort((a, b) => a[0] - b[0])) {
      const at = x(value);
      context.fillStyle = grid;
      context.fillRect(at, 0, 1, y);
      const half = context.measureText(label).width / 2;
      if (at - half < Math.max(free, left - 20) || at + half > right) continue;
      free = at + half + 8;
      context.fillStyle = muted;
      context.fillText(label, at, height - BOTTOM + 8);
    }
  }

  #barGeometry() {
    const { clientWidth: width, clientHeight: height } = this.bars;
    const edges = this.data.bin_edges_by_epoch[this.index];
    this.barAxis = this.fit ? valueAxis([edges]) : this.axis;
    const left = LEFT + GUTTER;
    const x = (value) => left + this.barAxis.position(value) * (width - left - GUTTER - 8);
    return { width, height, edges, x, base: height - BOTTOM, tall: height - BOTTOM - 12 };
  }

  #drawBars(hovered) {
    const geometry = this.#barGeometry();
    const { width, height, edges, x, base, tall } = geometry;
    const context = context2d(this.barCanvas, width, height);
    const accent = cssColor("accent");
    this.#countAxis(context, width, base, tall);
    this.#axis(context, x, base, [LEFT + GUTTER, width], height);
    const bar = (left, right, value, color) => {
      context.fillStyle = color;
      const size = value ? Math.max(this.#height(value) * tall, 1) : 0;
      context.fillRect(left, base - size, Math.max(right - left, 1), size);
    };
    this.data.counts[this.index].forEach((value, bin) => {
      const [from, to] = [x(edges[bin]), x(edges[bin + 1])];
      const gap = to - from > 4 ? 1 : 0;
      bar(from, to - gap, value, bin === hovered ? cssColor("ink") : accent);
    });
    const muted = cssColor("muted");
    bar(LEFT + 2, LEFT + GUTTER - 4, this.data.underflow[this.index], muted);
    bar(width - GUTTER - 2, width - 8, this.data.overflow[this.index], muted);
    context.fillStyle = muted;
    context.fillRect(LEFT, base, width - LEFT - 4, 1);
  }

  #countAxis(context, width, base, tall) {
    const [muted, grid] = [cssColor("muted"), cssColor("grid")];
    const powers = Array.from({ length: Math.floor(Math.log10(this.top)) + 1 }, (_, i) => [10 ** i, count(10 ** i)]);
    context.font = FONT;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [value, label] of this.log ? powers : evenTicks(0, this.top, 4)) {
      const y = base - this.#height(value) * tall;
      context.fillStyle = grid;
      context.fillRect(LEFT, Math.round(y), width - LEFT - 4, 1);
      context.fillStyle = muted;
      context.fillText(value >= 1000 ? `${count(value / 1000)}k` : label, LEFT - 6, y);
    }
  }

  #ridgeAt(event) {
    if (!this.data) return null;
    const geometry = this.#geometry();
    const { left, top } = this.ridges.getBoundingClientRect();
    const y = event.clientY - top + 3;
    const distance = (index) => Math.abs(geometry.baseline(index) - y);
    const index = this.#drawn().reduce((a, b) => (distance(b) < distance(a) ? b : a));
    return { index, epoch: this.data.epochs[index], bin: this.#binAt(index, event.clientX - left, geometry.x) };
  }

  #binAt(index, at, x) {
    const edges = this.data.bin_edges_by_epoch[index];
    const bin = edges.findIndex((edge, i) => i > 0 && at < x(edge)) - 1;
    return at < x(edges[0]) || bin < 0 ? null : bin;
  }

  #hoverRidges(event) {
    this.#hover(this.#ridgeAt(event));
  }

  #hoverBars(event) {
    if (!this.data) return;
    const geometry = this.#barGeometry();
    const bin = this.#binAt(this.index, event.clientX - this.bars.getBoundingClientRect().left, geometry.x);
    this.#hover({ index: this.index, epoch: this.data.epochs[this.index], bin, inBars: true });
  }

  // What is under the pointer in exact numbers; without one, the fullest bin of the chosen epoch.
  #hover(found) {
    if (!this.data) return;
    this.pointed = found;
    this.#paint("front", "bars");
    const index = found?.index ?? this.index;
    const counts = this.data.counts[index];
    const bin = found?.bin ?? counts.indexOf(Math.max(...counts.map((value) => value ?? -1)));
    const edges = this.data.bin_edges_by_epoch[index];
    const total = sum(counts) + (this.data.underflow[index] ?? 0) + (this.data.overflow[index] ?? 0);
    const share = total ? ((100 * (counts[bin] ?? 0)) / total).toPrecision(3) : "0";
    this.read.textContent = `${found ? "" : "Fullest bin: "}epoch ${this.data.epochs[index]} · ${number(edges[bin])} to ${number(edges[bin + 1])} · ${count(counts[bin])} of ${count(total)} (${share} %)`;
  }

  #statistics() {
    const { epochs, underflow, overflow, bin_edges_by_epoch: edges } = this.data;
    const [low, high] = [edges[this.index][0], edges[this.index].at(-1)];
    this.outside.textContent = `Outside the edges: ${count(underflow[this.index])} below ${number(low)}, ${count(overflow[this.index])} above ${number(high)}.`;
    const statistics = this.history[this.type === "weights" ? "weight_stats" : "gradient_stats"][this.tower] ?? {};
    const at = this.history.epochs.indexOf(epochs[this.index]);
    const shown = Object.entries(statistics).filter(([, values]) => at >= 0 && (values[at] ?? null) !== null);
    this.statistics.replaceChildren(...shown.map(([name, values]) => el("div", {}, el("dt", {}, name), el("dd", {}, number(values[at])))));
  }

  #table() {
    const { index, data } = this;
    const edges = data.bin_edges_by_epoch[index];
    const rows = data.counts[index].map((value, bin) => [String(bin), exact(edges[bin]), exact(edges[bin + 1]), exact(value)]);
    rows.unshift(["below", "", exact(edges[0]), exact(data.underflow[index])]);
    rows.push(["above", exact(edges.at(-1)), "", exact(data.overflow[index])]);
    return table(`Bins of epoch ${data.epochs[index]}`, ["bin", "from", "to", "count"], rows);
  }
}

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
