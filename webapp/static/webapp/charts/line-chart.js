// Line charts over steps or time, drawn by uPlot, each with values, a summary and a data table.

import { lazyDetails } from "../page/details.js";
import { el, table } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, duration, moment, number, second } from "../page/format.js";
import { exportMenu } from "../page/menu.js";
import { cssColor } from "./canvas.js";
import { Columns, describe, lastText } from "./columns.js";
import { plotOptions } from "./plot.js";
import { smoother } from "./smooth.js";
import { followFingers } from "./touch.js";
import { HorizontalAxis } from "./view.js";
import { bringIntoView, onWheel, zoomKey } from "./zoom.js";

const ROWS_AT_MOST = 2000;
const COARSE_BELOW = 60; // points in view

// One chart. Its element dispatches "coarse" when zoomed in so far that few of the logged steps are in view.
//
// `spec` is {title, unit, stepUnit, axis, series, wide, best, plain, tile, bands, full}: charts of one `axis` share
// their cursor and zoom; `stepUnit` is the word for steps if `unit`, that of the axis, is another; a `plain` one has a
// single curve and no legend; a `tile` is one of many; `bands` are pairs of series with colour between them; `full()`
// resolves to the data of every step, for exports.
//
// `series` is [{label, key, color, dash, column, summary, replaced, read(data)}]: `key` is the MLflow metric; `column`
// its name in a CSV, if another; `dash` true or lengths; `summary` its numbers from all points (null while they are
// being rebuilt), and `replaced` how many are not drawn, as in the summaries; `read` returns the values, if they are
// not at the metric's place in the document.
//
// `data` is {epochs, epochs_total, timestamps, start_time, envelope, earlier, non_finite, best_epoch, …}, as in a
// history; `counted` if its steps count points, `elapsed` if they are seconds.
export class LineChart {
  constructor(spec, data, view) {
    this.spec = spec;
    this.view = view;
    this.legend = el("div", { class: "legend", hidden: spec.plain });
    this.at = el("span", { class: "at muted tabular" });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img", onkeydown: (event) => this.#key(event) });
    this.plot.addEventListener("wheel", (event) => onWheel(this, event), { passive: false });
    followFingers(this, this.plot);
    this.said = el("span", { class: "sr", role: "status" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () => this.#table());
    const title = spec.tile ? metricTitle(spec.title) : el("h3", {}, spec.title);
    const caption = el(
      "figcaption",
      {},
      el(
        "div",
        { class: "chart-title" },
        title,
        this.at,
        exportMenu(spec.title, (kind) => this.#export(kind)),
      ),
      this.legend,
    );
    const className = `chart${spec.wide ? " wide" : ""}${spec.tile ? " metric" : ""}`;
    this.element = el("figure", { class: className }, caption, this.plot, this.said, this.summary, this.table.details);
    this.guard = new Guard(spec.title, this.plot, () => this.#giveUp());
    this.series = [];
    this.update(data);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.plot);
    view.charts.add(this);
  }

  update(data, spec = this.spec) {
    Object.assign(this, { spec, data });
    this.guard.run(() => this.#take());
  }

  #take() {
    const { data, group } = this;
    this.axis = new HorizontalAxis(data, this.view);
    this.series = this.spec.series.filter((series) => Columns.has(series, data));
    this.columns = new Columns(this.series, data);
    this.gaps = this.columns.gaps;
    this.#smooth();
    this.#legend();
    this.#summarize();
    this.table.refresh();
    if (this.u && group === this.group && this.u.series.length === 1 + this.raws + this.series.length)
      this.u.setData(this.#drawn());
    else this.#draw(this.size);
    this.#askForMore();
  }

  get size() {
    return { width: this.plot.clientWidth, height: this.plot.clientHeight };
  }

  measure() {
    this.measured = this.size;
  }

  paint() {
    this.redraw(this.measured);
  }

  // After an error all of it is tried again.
  redraw(size = this.size) {
    this.guard.run(() => (this.guard.failed ? this.#take() : this.#draw(size)));
  }

  #draw({ width, height }) {
    this.#drop();
    if (!width || !this.series.length || this.resting) return;
    this.axis = new HorizontalAxis(this.data, this.view);
    this.#smooth();
    if (this.view.log || this.noted || this.#aboutTimes()) this.#summarize();
    this.colors = this.series.map((series) => cssColor(series.color));
    this.u = new uPlot(plotOptions(this, width, height), this.#drawn(), this.plot);
    this.showValues(null);
    this.afterDrawing();
    this.#askForMore();
  }

  // For a subclass.
  afterDrawing() {}

  // Charts of one group share their cursor and zoom.
  get group() {
    return !this.axis || this.axis.mode === "step" ? this.spec.axis : this.axis.mode;
  }

  rescale() {
    if (!this.u) return;
    this.guard.run(() => {
      const [min, max] = this.axis.extent;
      this.u.setScale("x", { min, max }); // `range` of the scale applies the zoom
      this.#askForMore();
    });
  }

  showSeries() {
    this.series.forEach((series, i) => {
      const show = !this.hides(series);
      this.legend.children[i].setAttribute("aria-pressed", String(show));
      if (!this.u || this.u.series[1 + this.raws + i].show === show) return;
      for (const first of new Set([1, 1 + this.raws])) this.u.setSeries(first + i, { show });
    });
  }

  // A subclass may decide otherwise.
  hides(series) {
    return this.view.hides(series);
  }

  toggle(series) {
    this.view.toggle(series);
  }

  // Sentences about the curves.
  inWords() {
    return this.series.map((_, i) => describe(this.columns, i, this.spec)).join(" ");
  }

  // A curve's name in the legend.
  nameIn({ label }) {
    return el("span", {}, label);
  }

  // A chart out of view frees its canvas, and draws again when it comes into view.
  wake(awake) {
    if (Boolean(this.resting) === !awake) return;
    this.resting = !awake;
    this.redraw();
  }

  remove() {
    this.#drop();
    this.observer.disconnect();
    this.view.charts.delete(this);
    this.element.remove();
  }

  // Shows the values under the cursor; without a cursor, the last ones.
  showValues(drawn) {
    const last = this.data.epochs.length - 1;
    const rests = drawn === null || drawn === undefined;
    const at = rests ? last : this.axis.indexOf(drawn);
    const texts = this.series.map((_, i) => this.#text(i, at, rests));
    this.at.textContent = last < 0 ? "" : this.#place(at);
    if (this.spec.plain && texts.length) this.at.append(" ", el("b", {}, texts[0]));
    for (const [i, text] of texts.entries()) this.values[i].textContent = text;
  }

  // The cursor's place, 0 to 1 from left to right; 0.5 without a cursor.
  cursorShare() {
    const { left } = this.u.cursor;
    return left >= 0 ? left / this.u.over.clientWidth : 0.5;
  }

  #drop() {
    this.u?.destroy();
    this.u = null;
  }

  // What was made of a document that can't be drawn does not fit it.
  #giveUp() {
    this.#drop();
    this.series = [];
    this.values = [];
    this.legend.replaceChildren();
    for (const text of [this.at, this.summary]) text.textContent = "";
  }

  #resize() {
    const { width, height } = this.size;
    if (!this.u) this.redraw({ width, height });
    else if (width && (width !== this.u.width || height !== this.u.height))
      this.guard.run(() => this.u.setSize({ width, height }));
  }

  #summarize() {
    const left = this.view.log ? this.columns.drawn.flat().filter((value) => value !== null && value <= 0).length : 0;
    const values = left === 1 ? "value of zero or less is" : "values of zero or less are";
    const note = (left ? ` ${count(left)} ${values} not shown on the logarithmic axis.` : "") + this.#aboutTimes();
    this.noted = note !== ""; // the summary tells what the axes change
    this.summary.textContent = this.inWords() + note;
    const keys = `Arrow keys move through the ${this.spec.unit}s, plus and minus zoom.`;
    this.plot.setAttribute("aria-label", `${this.spec.title}. ${this.summary.textContent} ${keys}`);
  }

  // What the chosen axis of time can't show as it is.
  #aboutTimes() {
    const { problem, order } = this.axis;
    if (problem) return ` Drawn by ${this.spec.unit}, since its times can't be used: ${problem}.`;
    return order ? ` Its clock goes back: points are in the order of time, not of ${this.spec.unit}s.` : "";
  }

  #smooth() {
    const { view, data } = this;
    this.smoothed = view.smooth.amount
      ? this.columns.drawn.map(smoother(view.smooth, data.epochs, data.epochs_total ?? data.epochs.length))
      : null;
    this.raws = this.smoothed ? this.series.length : 0; // the number of raw curves, which come first
    this.legend.classList.toggle("smoothed", Boolean(this.smoothed));
  }

  // uPlot's columns. A logarithmic axis can't show zero and below.
  #drawn() {
    const { axis, view } = this;
    const columns = [...this.columns.drawn, ...(this.smoothed ?? [])].map((column) =>
      view.log ? column.map((value) => (value > 0 || value == null ? value : null)) : column,
    );
    return [axis.x, ...columns].map((column) => axis.arrange(column));
  }

  #askForMore() {
    const { u, data, view } = this;
    if (!u || !view.zooms.has(this.group) || !(data.epochs_total > data.epochs.length)) return;
    const [min, max] = view.zooms.get(this.group);
    const inView = this.axis.x.reduce((total, x) => total + (x >= min && x <= max), 0);
    if (inView < COARSE_BELOW) this.element.dispatchEvent(new CustomEvent("coarse", { bubbles: true }));
  }

  #legend() {
    this.values = [];
    this.legend.replaceChildren(
      ...this.series.map((series) => {
        const value = el("output", { class: "tabular" });
        this.values.push(value);
        const swatch = el("i", { class: series.dash ? "swatch dashed" : "swatch", "data-color": series.color });
        const shown = String(!this.hides(series));
        return el(
          "button",
          {
            type: "button",
            "aria-pressed": shown,
            title: `${series.key}: show or hide`,
            onclick: () => this.toggle(series),
          },
          swatch,
          this.nameIn(series),
          value,
        );
      }),
    );
    this.showValues(null);
  }

  // The value as logged, and smoothed.
  #text(i, at, rests = false) {
    const smooth = this.smoothed?.[i][at];
    return (
      (rests ? lastText(this.columns, i) : this.columns.text(i, at)) +
      (Number.isFinite(smooth) ? ` ~${number(smooth)}` : "")
    );
  }

  #place(at) {
    const { data, spec, axis } = this;
    const when = {
      step: () => "",
      time: () => ` · ${(axis.oneDay ? second : moment)(data.timestamps[at])}`,
      relative: () => ` · ${duration(axis.x[at])}`,
    };
    return `${spec.unit} ${data.epochs[at]}${when[axis.mode]()}`;
  }

  #key(event) {
    if (!this.u) return;
    const last = this.data.epochs.length - 1;
    const now = this.u.cursor.idx ?? last;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 10, PageDown: now + 10 }[
      event.key
    ];
    if (zoomKey(this, event)) event.preventDefault();
    else if (to !== undefined) {
      event.preventDefault();
      this.#moveTo(Math.min(Math.max(to, 0), last));
    }
  }

  #moveTo(drawn) {
    bringIntoView(this, this.u.data[0][drawn]);
    // Once uPlot has taken the zoom. The other charts follow.
    queueMicrotask(() => this.u?.setCursor({ left: this.u.valToPos(this.u.data[0][drawn], "x"), top: 0 }, true, true));
    const at = this.axis.indexOf(drawn);
    const place = this.#place(at);
    const values = this.series.map(({ label }, i) => `${label} ${this.#text(i, at)}`).join(", ");
    this.said.textContent = `${place[0].toUpperCase()}${place.slice(1)}: ${values}`;
  }

  #table() {
    const { epochs, timestamps } = this.data;
    const timed = this.axis.mode !== "step";
    const shown = epochs.slice(0, ROWS_AT_MOST);
    const rows = shown.map((epoch, j) => [
      String(epoch),
      ...(timed ? [moment(timestamps[j])] : []),
      ...this.series.map((_, i) => this.columns.exact(i, j)),
    ]);
    const head = [this.spec.unit, ...(timed ? ["time"] : []), ...this.series.map((series) => series.label)];
    const left = epochs.length - shown.length;
    return el(
      "div",
      {},
      table(this.spec.title, head, rows),
      left > 0 && el("p", { class: "muted left" }, `${count(left)} more ${this.spec.unit}s are in the export.`),
    );
  }

  async #export(kind) {
    const { exportChart } = await import("./export.js");
    await exportChart(this, kind);
  }
}

// A metric's key as a heading. Style sheets hide its group among the charts of that group.
export function metricTitle(key) {
  const [, group, rest] = /^([^/]*\/)?(.*)$/s.exec(key);
  return el("h4", { title: key }, el("span", { class: "of-group" }, group ?? ""), rest);
}
