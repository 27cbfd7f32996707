// Line charts over epochs, drawn by uPlot, each with a legend that shows values, a summary and a data table.

import { cssColor, el, lazyDetails, table } from "./dom.js";
import { exact, number } from "./format.js";

const { uPlot } = globalThis; // a script of its own: the package has no minified module
const SYNC = uPlot.sync("epochs");
const FONT = "11px system-ui, sans-serif";
const KIND = { NaN: "NaN", Infinity: "∞", "-Infinity": "−∞" };

// One chart. `spec` is {title, series: [{label, key, color, dash, read(history)}], wide}; `key` is the MLflow metric key.
export class LineChart {
  constructor(spec, history, log) {
    this.spec = spec;
    this.log = log;
    this.hidden = new Set();
    this.legend = el("div", { class: "legend" });
    this.at = el("span", { class: "at muted tabular" });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img", onkeydown: (event) => this.#key(event) });
    this.said = el("span", { class: "sr", role: "status" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () => this.#table());
    const title = el("h3", {}, spec.title);
    const caption = el("figcaption", {}, el("div", { class: "chart-title" }, title, this.at), this.legend);
    this.element = el("figure", { class: spec.wide ? "chart wide" : "chart" }, caption, this.plot, this.said, this.summary, this.table.details);
    this.update(history);
    new ResizeObserver(() => this.#resize()).observe(this.plot);
  }

  update(history) {
    this.history = history;
    this.series = this.spec.series.filter((series) => series.read(history)?.some((value) => value !== null) || this.#marks(series).length);
    this.element.hidden = this.series.length === 0;
    this.#legend();
    this.summary.textContent = this.series.map((series) => describe(series, history)).join(" ");
    this.plot.setAttribute("aria-label", `${this.spec.title}. ${this.summary.textContent} Arrow keys move through the epochs.`);
    this.table.refresh();
    if (this.u && this.u.series.length === this.series.length + 1) this.u.setData(this.#data(), this.#unzoomed());
    else this.redraw();
  }

  setLog(log) {
    this.log = log;
    this.redraw();
  }

  redraw() {
    const width = this.plot.clientWidth;
    if (this.u) this.u.destroy();
    this.u = null;
    if (!width || !this.series.length) return;
    this.colors = this.series.map((series) => cssColor(series.color));
    this.u = new uPlot(this.#options(width, this.plot.clientHeight), this.#data(), this.plot);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!this.u) this.redraw();
    else if (width && (width !== this.u.width || height !== this.u.height)) this.u.setSize({ width, height });
  }

  #unzoomed() {
    const { min, max } = this.u.scales.x;
    const epochs = this.u.data[0];
    return min <= epochs[0] && max >= epochs.at(-1);
  }

  // uPlot's columns. A logarithmic axis has no place for zero and below.
  #data() {
    const columns = this.series.map((series) => series.read(this.history));
    const drawn = this.log ? columns.map((column) => column.map((value) => (value > 0 ? value : null))) : columns;
    return [this.history.epochs, ...drawn];
  }

  #options(width, height) {
    const muted = cssColor("muted");
    const grid = { stroke: cssColor("grid"), width: 1 };
    const axis = { stroke: muted, grid, font: FONT, ticks: { show: false } };
    const narrow = this.history.epochs.length <= 60;
    return {
      width,
      height,
      legend: { show: false },
      cursor: { sync: { key: SYNC.key, scales: ["x", null] }, y: false, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (u, min, max) => (min === max ? [min - 0.5, max + 0.5] : [min, max]) }, y: { distr: this.log ? 3 : 1, range: (u) => this.#range(u) } },
      axes: [
        { ...axis, grid: { show: false }, size: 26, space: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4] },
        { ...axis, size: 50, space: 34, splits: this.log ? (u) => logSplits(u.scales.y.min, u.scales.y.max) : undefined, filter: (u, splits) => splits, values: (u, splits) => splits.map(number) },
      ],
      series: [{}, ...this.series.map((series, i) => this.#seriesOptions(series, this.colors[i], narrow))],
      hooks: {
        drawAxes: [(u) => (this.#drawBest(u), this.#drawEnvelopes(u))],
        draw: [(u) => this.#drawMarks(u)],
        setCursor: [(u) => this.#showValues(u.cursor.idx)],
      },
    };
  }

  #seriesOptions(series, stroke, narrow) {
    return {
      stroke,
      width: 1.75,
      dash: series.dash ? [5, 4] : undefined,
      show: !this.hidden.has(series.label),
      // A lone value between two gaps is a point, not nothing.
      points: { show: narrow && this.history.epochs.length <= 30, size: 4, fill: stroke, filter: narrow ? undefined : lonely },
      spanGaps: false,
    };
  }

  // Least and greatest of what is shown, envelopes too, with some air.
  #range(u) {
    let low = Infinity;
    let high = -Infinity;
    const [from, to] = u.series[0].idxs ?? [0, this.history.epochs.length - 1];
    this.series.forEach((series, i) => {
      if (this.hidden.has(series.label)) return;
      const envelope = this.history.envelope[series.key];
      for (const column of [u.data[i + 1], envelope?.min, envelope?.max]) {
        for (let j = from ?? 0; column && j <= (to ?? column.length - 1); j++) {
          const value = column[j];
          if (value === null || value === undefined || (this.log && value <= 0)) continue;
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
    });
    if (low > high) return this.log ? [0.1, 1] : [0, 1];
    if (this.log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.06, high * (high / low) ** 0.06];
    const air = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
  }

  #drawEnvelopes(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.globalAlpha = 0.2;
    this.series.forEach((series, i) => {
      const envelope = this.history.envelope[series.key];
      if (!envelope || this.hidden.has(series.label)) return;
      ctx.fillStyle = this.colors[i];
      this.history.epochs.forEach((epoch, j) => {
        const [low, high] = [envelope.min[j], envelope.max[j]];
        if (j === 0 || low === null || high === null || (this.log && high <= 0)) return;
        const left = u.valToPos(this.history.epochs[j - 1], "x", true);
        const top = u.valToPos(high, "y", true);
        const bottom = this.log && low <= 0 ? bbox.top + bbox.height : u.valToPos(low, "y", true);
        ctx.fillRect(left, top, u.valToPos(epoch, "x", true) - left, Math.max(bottom - top, 1));
      });
    });
    ctx.restore();
  }

  #drawBest(u) {
    const epoch = this.history.best_epoch;
    if (epoch === null || epoch < u.scales.x.min || epoch > u.scales.x.max) return;
    const { ctx, bbox } = u;
    const x = Math.round(u.valToPos(epoch, "x", true)) + 0.5;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = cssColor("muted");
    ctx.globalAlpha = 0.8;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    if (this.spec.best) {
      const right = x > bbox.left + bbox.width - 60 * ratio;
      ctx.font = `${11 * ratio}px system-ui, sans-serif`;
      ctx.textAlign = right ? "right" : "left";
      ctx.textBaseline = "top";
      ctx.fillText(`best ${epoch}`, x + (right ? -5 : 5) * ratio, bbox.top + 2 * ratio);
    }
    ctx.restore();
  }

  // Every value that is no number: a cross at the top, or at the bottom for −∞, in its curve's colour.
  #drawMarks(u) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.lineWidth = 2 * ratio;
    this.series.forEach((series, i) => {
      if (this.hidden.has(series.label)) return;
      ctx.strokeStyle = this.colors[i];
      for (const { epoch, kind } of this.#marks(series)) {
        if (epoch < u.scales.x.min || epoch > u.scales.x.max) continue;
        const x = u.valToPos(epoch, "x", true);
        const y = kind === "-Infinity" ? bbox.top + bbox.height - 8 * ratio : bbox.top + (8 + 10 * i) * ratio;
        const arm = 3.5 * ratio;
        ctx.beginPath();
        ctx.moveTo(x - arm, y - arm);
        ctx.lineTo(x + arm, y + arm);
        ctx.moveTo(x - arm, y + arm);
        ctx.lineTo(x + arm, y - arm);
        ctx.stroke();
      }
    });
    ctx.restore();
  }

  #marks(series) {
    return this.history.non_finite.filter((mark) => mark.metric === series.key);
  }

  #text(series, index) {
    const value = series.read(this.history)[index];
    if (value !== null && value !== undefined) return number(value);
    const mark = this.#marks(series).find((item) => item.epoch === this.history.epochs[index]);
    return mark ? KIND[mark.kind] : "–";
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
  #showValues(index) {
    const { epochs } = this.history;
    const at = index ?? epochs.length - 1;
    this.at.textContent = epochs.length ? `epoch ${epochs[at]}` : "";
    this.series.forEach((series, i) => (this.values[i].textContent = this.#text(series, at)));
  }

  #key(event) {
    const { epochs } = this.history;
    const last = epochs.length - 1;
    const now = this.u?.cursor.idx ?? last;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 10, PageDown: now + 10 }[event.key];
    if (to === undefined || !this.u) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    this.u.setCursor({ left: this.u.valToPos(epochs[index], "x"), top: 0 }, true, true); // and tell the other charts
    this.said.textContent = `Epoch ${epochs[index]}: ${this.series.map((series) => `${series.label} ${this.#text(series, index)}`).join(", ")}`;
  }

  #table() {
    const { epochs } = this.history;
    const columns = this.series.map((series) => {
      const kinds = new Map(this.#marks(series).map((mark) => [mark.epoch, mark.kind]));
      return series.read(this.history).map((value, i) => (value === null ? (kinds.get(epochs[i]) ?? "") : exact(value)));
    });
    const rows = epochs.map((epoch, i) => [String(epoch), ...columns.map((column) => column[i])]);
    return table(this.spec.title, ["epoch", ...this.series.map((series) => series.label)], rows);
  }
}

// One sentence that says what a curve does.
function describe(series, history) {
  const known = series.read(history).map((value, i) => [value, history.epochs[i]]).filter(([value]) => value !== null);
  const bad = history.non_finite.filter((mark) => mark.metric === series.key).length;
  const also = bad ? ` ${bad} ${bad === 1 ? "value is" : "values are"} not finite.` : "";
  if (!known.length) return `${series.label}: no finite value.${also}`;
  const [first, last] = [known[0], known.at(-1)];
  if (known.length === 1) return `${series.label} ${number(first[0])} at epoch ${first[1]}.${also}`;
  const falls = last[0] < first[0];
  const extreme = known.reduce((a, b) => ((falls ? b[0] < a[0] : b[0] > a[0]) ? b : a));
  return `${series.label} ${number(first[0])} → ${number(last[0])}, ${falls ? "least" : "greatest"} ${number(extreme[0])} at epoch ${extreme[1]}.${also}`;
}

// 1, 2 and 5 of every decade, fewer over many decades; even steps within less than one.
function logSplits(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 1) {
    const raw = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= raw);
    const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
    return Array.from({ length: count }, (_, i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(12)));
  }
  const splits = [];
  const every = Math.ceil(decades / 6);
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent += every) {
    for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) splits.push(factor * 10 ** exponent);
  }
  return splits.filter((value) => value >= low && value <= high);
}

// Indexes of points that have no neighbour to be joined with.
function lonely(u, index) {
  const column = u.data[index];
  const found = [];
  column.forEach((value, i) => {
    if (value !== null && (column[i - 1] ?? null) === null && (column[i + 1] ?? null) === null) found.push(i);
  });
  return found;
}

// The charts of a run, what matters most first. Those without any value hide themselves.
export function chartSpecs(history) {
  const metrics = metricSpecs(history);
  return [
    { title: "Loss", wide: true, best: true, series: [
      { label: "train", key: "loss", color: "ember", read: (h) => h.loss.train },
      { label: "validation", key: "val_loss", color: "blue", read: (h) => h.loss.val },
    ] },
    ...metrics.filter((spec) => spec.title === RECALL),
    { title: "Total loss, with regularization", series: [
      { label: "train", key: "total_loss", color: "ember", read: (h) => h.loss.total },
      { label: "validation", key: "val_total_loss", color: "blue", read: (h) => h.loss.val_total },
    ] },
    { title: "Regularization loss", series: [
      { label: "train", key: "regularization_loss", color: "ember", read: (h) => h.loss.regularization },
      { label: "validation", key: "val_regularization_loss", color: "blue", dash: true, read: (h) => h.loss.val_regularization },
    ] },
    { title: "Gradient norms", series: [
      { label: "query", key: "query_grad_norm", color: "teal", read: (h) => h.gradient_norm.query },
      { label: "candidate", key: "candidate_grad_norm", color: "violet", read: (h) => h.gradient_norm.candidate },
    ] },
    { title: "Weight norms", series: [
      { label: "total", key: "weight_norm", color: "ink", read: (h) => h.weight_norm.total },
      { label: "query", key: "query_weight_norm", color: "teal", read: (h) => h.weight_norm.query },
      { label: "candidate", key: "candidate_weight_norm", color: "violet", read: (h) => h.weight_norm.candidate },
    ] },
    ...metrics.filter((spec) => spec.title !== RECALL),
  ];
}

const RECALL = "Recall";
const NOT_FINITE = "Values not finite";
const COUNTER = /_nonfinite$/;
const isQuiet = (values) => values.every((value) => !value);

// Whether the run counted values that are not finite, and never found one: a sentence says so, no chart needs to.
export function allFinite({ metrics }) {
  const counters = Object.keys(metrics).filter((key) => COUNTER.test(key));
  return counters.length > 0 && counters.every((key) => isQuiet(metrics[key]));
}

const PALETTE = ["blue", "ember", "teal", "violet", "ink"];

// All recalls together; any other metric with its validation and test values.
function metricSpecs({ metrics, epochs, final_metrics: finals }) {
  const groups = new Map();
  // A single value that the table of final metrics shows needs no chart.
  const telling = Object.keys(metrics).filter((key) => !COUNTER.test(key) || !allFinite({ metrics }));
  const drawn = telling.filter((key) => epochs.length < 2 || !(key in finals) || metrics[key].filter((value) => value !== null).length > 1);
  for (const key of drawn.sort(new Intl.Collator("en", { numeric: true }).compare)) {
    const base = key.replace(/^(val|test|train)_/, "");
    const title = /recall/i.test(base) ? RECALL : COUNTER.test(base) ? NOT_FINITE : base;
    groups.set(title, [...(groups.get(title) ?? []), key]);
  }
  return [...groups].map(([title, members]) => ({
    title,
    series: members.map((key, i) => ({ label: title === RECALL ? key.replace(/_?recall_at_/, " @").trim() : key, key, color: PALETTE[i % PALETTE.length], dash: i >= PALETTE.length, read: (h) => h.metrics[key] })),
  }));
}
