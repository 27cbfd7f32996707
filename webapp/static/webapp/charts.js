// Line charts over steps or wall time, drawn by uPlot, each with values, a summary and a data table.

import { Columns, describe } from "./columns.js";
import { cssColor, el, lazyDetails, table } from "./dom.js";
import { clock, count, moment, second, ticks } from "./format.js";
import { paintBest, paintEnvelopes, paintMark, paintNonFinite } from "./paint.js";
import { HorizontalAxis } from "./view.js";

const { uPlot } = globalThis; // a script of its own: the package has no minified module
const FONT = "11px system-ui, sans-serif";
const LONELY_AT_MOST = 300;
const ROWS_AT_MOST = 2000;

// One chart. `spec` is {title, unit, axis, series: [{label, key, color, dash, read(data)}], wide, best, plain, tile}; `key`
// is the MLflow metric key, `dash` true or lengths; charts of one `axis` share their cursor and zoom; a `plain` one has a
// single curve and no legend; a `tile` is one of many.
// `data` is {epochs, timestamps, envelope, non_finite, best_epoch} as the history has it.
export class LineChart {
  constructor(spec, data, view) {
    this.spec = spec;
    this.view = view;
    this.hidden = new Set();
    this.legend = el("div", { class: "legend", hidden: spec.plain });
    this.at = el("span", { class: "at muted tabular" });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img", onkeydown: (event) => this.#key(event) });
    this.said = el("span", { class: "sr", role: "status" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () => this.#table());
    const title = spec.tile ? metricTitle(spec.title) : el("h3", {}, spec.title);
    const caption = el("figcaption", {}, el("div", { class: "chart-title" }, title, this.at), this.legend);
    const className = `chart${spec.wide ? " wide" : ""}${spec.tile ? " metric" : ""}`;
    this.element = el("figure", { class: className }, caption, this.plot, this.said, this.summary, this.table.details);
    this.update(data);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.plot);
    view.charts.add(this);
  }

  update(data, spec = this.spec) {
    this.spec = spec;
    const zoomed = this.u && !this.#unzoomed();
    this.data = data;
    this.axis = new HorizontalAxis(data, this.view.time);
    this.series = this.spec.series.filter((series) => Columns.has(series, data));
    this.columns = new Columns(this.series, data);
    this.gaps = this.columns.gaps;
    this.#legend();
    this.summary.textContent = this.series.map((_, i) => describe(this.columns, i, this.spec)).join(" ");
    this.plot.setAttribute("aria-label", `${this.spec.title}. ${this.summary.textContent} Arrow keys move through the ${this.spec.unit}s.`);
    this.table.refresh();
    if (this.u && this.u.series.length === this.series.length + 1) this.u.setData(this.#drawn(), !zoomed);
    else this.redraw();
  }

  redraw() {
    const width = this.plot.clientWidth;
    this.#drop();
    if (!width || !this.series.length || this.resting) return;
    this.axis = new HorizontalAxis(this.data, this.view.time);
    this.colors = this.series.map((series) => cssColor(series.color));
    this.u = new uPlot(this.#options(width, this.plot.clientHeight), this.#drawn(), this.plot);
  }

  // A chart out of sight gives its canvas back, and draws it again when it comes into view.
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

  #drop() {
    this.u?.destroy();
    this.u = null;
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!this.u) this.redraw();
    else if (width && (width !== this.u.width || height !== this.u.height)) this.u.setSize({ width, height });
  }

  #unzoomed() {
    const { min, max } = this.u.scales.x;
    const [x] = this.u.data;
    return !x.length || (min <= x[0] && max >= x.at(-1));
  }

  // uPlot's columns. A logarithmic axis has no place for zero and below.
  #drawn() {
    const { axis, view } = this;
    const columns = this.columns.drawn.map((column) => (view.log ? column.map((value) => (value > 0 || value == null ? value : null)) : column));
    return [axis.x, ...columns].map((column) => axis.arrange(column));
  }

  #options(width, height) {
    const { axis: horizontal, view, spec } = this;
    const grid = { stroke: cssColor("grid"), width: 1 };
    const axis = { stroke: cssColor("muted"), grid, font: FONT, ticks: { show: false } };
    const wholeSteps = [1, 2, 5].flatMap((factor) => Array.from({ length: 15 }, (_, i) => factor * 10 ** i)).sort((a, b) => a - b);
    const byStep = { incrs: wholeSteps, space: (u) => (Math.abs(u.scales.x.max) < 1e4 ? 44 : 74), values: (u, splits) => splits.map((value) => count(value)) };
    const byTime = { space: 64, values: (u, splits, i, space, increment) => splits.map((at) => clock(at, increment)) };
    return {
      width,
      height,
      legend: { show: false },
      cursor: { sync: { key: horizontal.byTime ? "time" : spec.axis, scales: ["x", null] }, y: false, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: horizontal.byTime, range: (u, min, max) => (min === max ? [min - 0.5, max + 0.5] : [min, max]) }, y: { distr: view.log ? 3 : 1, range: (u) => this.#range(u) } },
      axes: [
        { ...axis, grid: { show: false }, size: 26, ...(horizontal.byTime ? byTime : byStep) },
        { ...axis, size: (u, labels) => Math.max(50, 12 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length))), space: 34, splits: view.log ? (u) => logSplits(u.scales.y.min, u.scales.y.max) : undefined, filter: (u, splits) => splits, values: (u, splits) => ticks(splits) },
      ],
      series: [{}, ...this.series.map((series, i) => this.#seriesOptions(series, this.colors[i]))],
      hooks: {
        drawAxes: [(u) => (paintMark(u, this), paintBest(u, this), paintEnvelopes(u, this))],
        draw: [(u) => paintNonFinite(u, this)],
        setCursor: [(u) => this.#showValues(u.cursor.idx)],
      },
    };
  }

  #seriesOptions(series, stroke) {
    return {
      stroke,
      width: 1.75,
      dash: series.dash === true ? [5, 4] : series.dash || undefined,
      show: !this.hidden.has(series.label),
      // A value without a neighbour is a point: alone between two gaps, or one of a curve logged now and then.
      points: { show: this.data.epochs.length <= 30, size: 4, fill: stroke, filter: this.data.epochs.length <= 30 ? undefined : lonely },
      spanGaps: false,
    };
  }

  // Least and greatest of what is shown, envelopes too, with some air.
  #range(u) {
    let low = Infinity;
    let high = -Infinity;
    const { axis, data, view } = this;
    const [from, to] = u.series[0].idxs ?? [0, data.epochs.length - 1];
    this.series.forEach((series, i) => {
      if (this.hidden.has(series.label)) return;
      const envelope = data.envelope[series.key];
      for (const [column, at] of [[u.data[i + 1], (j) => j], [envelope?.min, (j) => axis.indexOf(j)], [envelope?.max, (j) => axis.indexOf(j)]]) {
        for (let j = from ?? 0; column && j <= (to ?? column.length - 1); j++) {
          const value = column[at(j)];
          if (value === null || value === undefined || (view.log && value <= 0)) continue;
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
    });
    if (low > high) return view.log ? [0.1, 1] : [0, 1];
    if (view.log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.06, high * (high / low) ** 0.06];
    const air = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
  }

  #legend() {
    this.values = [];
    this.legend.replaceChildren(
      ...this.series.map((series) => {
        const value = el("output", { class: "tabular" });
        this.values.push(value);
        const swatch = el("i", { class: series.dash ? "swatch dashed" : "swatch", "data-color": series.color });
        const shown = String(!this.hidden.has(series.label));
        return el("button", { type: "button", "aria-pressed": shown, title: `${series.key}: show or hide`, onclick: (event) => this.#toggle(series, event.currentTarget) }, swatch, el("span", {}, series.label), value);
      }),
    );
    this.#showValues(null);
  }

  #toggle(series, button) {
    const show = this.hidden.delete(series.label);
    if (!show) this.hidden.add(series.label);
    button.setAttribute("aria-pressed", String(show));
    this.u?.setSeries(this.series.indexOf(series) + 1, { show });
  }

  // Values under the cursor; without one, the last.
  #showValues(drawn) {
    const last = this.data.epochs.length - 1;
    const at = drawn === null || drawn === undefined ? last : this.axis.indexOf(drawn);
    const texts = this.series.map((_, i) => this.columns.text(i, at));
    this.at.textContent = last < 0 ? "" : this.#place(at);
    if (this.spec.plain && texts.length) this.at.append(" ", el("b", {}, texts[0]));
    texts.forEach((text, i) => (this.values[i].textContent = text));
  }

  #place(at) {
    const { data, spec, axis } = this;
    const when = (axis.oneDay ? second : moment)(data.timestamps?.[at]);
    return `${spec.unit} ${data.epochs[at]}${axis.byTime ? ` · ${when}` : ""}`;
  }

  #key(event) {
    const last = this.data.epochs.length - 1;
    const now = this.u?.cursor.idx ?? last;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 10, PageDown: now + 10 }[event.key];
    if (to === undefined || !this.u) return;
    event.preventDefault();
    const drawn = Math.min(Math.max(to, 0), last);
    this.u.setCursor({ left: this.u.valToPos(this.u.data[0][drawn], "x"), top: 0 }, true, true); // and tell the other charts
    const at = this.axis.indexOf(drawn);
    const place = this.#place(at);
    this.said.textContent = `${place[0].toUpperCase()}${place.slice(1)}: ${this.series.map((series, i) => `${series.label} ${this.columns.text(i, at)}`).join(", ")}`;
  }

  #table() {
    const { epochs, timestamps } = this.data;
    const { byTime } = this.axis;
    const shown = epochs.slice(0, ROWS_AT_MOST);
    const rows = shown.map((epoch, j) => [String(epoch), ...(byTime ? [moment(timestamps[j])] : []), ...this.series.map((_, i) => this.columns.exact(i, j))]);
    const head = [this.spec.unit, ...(byTime ? ["time"] : []), ...this.series.map((series) => series.label)];
    const left = epochs.length - shown.length;
    return el("div", {}, table(this.spec.title, head, rows), left > 0 && el("p", { class: "muted left" }, `${count(left)} more ${this.spec.unit}s are in the JSON.`));
  }
}

// A metric's key, whose group goes without saying where its chart stands among the others of it.
export function metricTitle(key) {
  const [, group, rest] = /^([^/]*\/)?(.*)$/s.exec(key);
  return el("h4", { title: key }, el("span", { class: "of-group" }, group ?? ""), rest);
}

// 1, 2 and 5 of every decade, fewer over many decades; even steps within less than one.
function logSplits(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 1) {
    const raw = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= raw);
    const splits = Math.floor(high / step) - Math.ceil(low / step) + 1;
    return Array.from({ length: splits }, (_, i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(12)));
  }
  const splits = [];
  const every = Math.ceil(decades / 6);
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent += every) {
    for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) splits.push(factor * 10 ** exponent);
  }
  return splits.filter((value) => value >= low && value <= high);
}

// Indexes of points that have no neighbour to be joined with; none of a curve that would be nothing but points.
function lonely(u, index) {
  const column = u.data[index];
  const [from, to] = u.series[0].idxs ?? [0, column.length - 1];
  const found = [];
  for (let i = from; i <= to; i++) {
    if (column[i] != null && column[i - 1] == null && column[i + 1] == null) found.push(i);
  }
  return found.length > LONELY_AT_MOST ? [] : found;
}
