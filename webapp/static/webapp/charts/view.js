// How all charts of a page are drawn: axes, smoothing, zoom, hidden curves. Charts register in `charts`.

import { drawAll } from "../page/frames.js";
import { NO_SMOOTHING, readSmoothing, smoothingText } from "./smooth.js";
import { problemsIn } from "./times.js";

const ZOOM = "zoom."; // prefix of an address's parameters that hold a zoom

// Defaults for the permalink of a page with charts.
export const VIEW_DEFAULTS = { x: "step", "x-scale": "linear", "y-scale": "linear", smooth: "", hide: "" };

export class View {
  x = "step"; // or "time" (on the clock), or "relative" (since the start)
  xLog = false;
  log = false; // the vertical axes
  smooth = NO_SMOOTHING;
  mark = null; // {from, to, axis}: the steps of the marked insight, on the charts of that axis
  hidden = new Set(); // `idOf` of curves
  zooms = new Map(); // group of charts → [min, max] on their horizontal axis
  charts = new Set();

  // With a permalink (of VIEW_DEFAULTS at least) the view is read from the address and kept in it.
  constructor(permalink = null) {
    this.permalink = permalink;
    if (permalink) this.#read(permalink);
  }

  set(changes) {
    Object.assign(this, changes);
    this.#write();
    drawAll(this.charts);
    dispatchEvent(new Event("viewchange"));
  }

  // All charts of a group show the same range, [min, max]; null shows everything.
  zoom(group, range) {
    if (range) this.zooms.set(group, range);
    else this.zooms.delete(group);
    this.permalink?.set({
      [ZOOM + group]: range ? range.map((value) => Number(value.toPrecision(13))).join("~") : undefined,
    });
    for (const chart of this.charts) if (chart.group === group) chart.rescale();
    dispatchEvent(new Event("viewchange"));
  }

  unzoom() {
    for (const group of [...this.zooms.keys()]) this.zoom(group, null);
  }

  // [min, max] over all charts of a group.
  extent(group) {
    const extents = [...this.charts]
      .filter((chart) => chart.group === group && !chart.guard.failed && chart.data.epochs.length)
      .map((chart) => chart.axis.extent);
    return [Math.min(...extents.map(([low]) => low)), Math.max(...extents.map(([, high]) => high))];
  }

  toggle(series) {
    const id = idOf(series);
    if (!this.hidden.delete(id)) this.hidden.add(id);
    this.#write();
    for (const chart of this.charts) chart.showSeries();
  }

  hides(series) {
    return this.hidden.has(idOf(series));
  }

  #read(permalink) {
    const x = permalink.get("x");
    this.x = ["time", "relative"].includes(x) ? x : "step";
    this.xLog = permalink.get("x-scale") === "log";
    this.log = permalink.get("y-scale") === "log";
    this.smooth = readSmoothing(permalink.get("smooth"));
    this.hidden = new Set(permalink.get("hide").split(",").filter(Boolean));
    for (const [name, value] of permalink.parameters) {
      const range = value.split("~").map(Number);
      if (name.startsWith(ZOOM) && range.length === 2 && range.every(Number.isFinite) && range[0] < range[1])
        this.zooms.set(name.slice(ZOOM.length), range);
    }
  }

  #write() {
    const scale = (log) => (log ? "log" : "linear");
    this.permalink?.set({
      x: this.x,
      "x-scale": scale(this.xLog),
      "y-scale": scale(this.log),
      smooth: smoothingText(this.smooth),
      hide: [...this.hidden].join(","),
    });
  }
}

// Curves with the same id are shown and hidden together, on all charts.
const idOf = ({ id, key }) => id ?? key;

// The horizontal places of a chart's points. `data` is {epochs, timestamps, start_time, …}, as in a history.
export class HorizontalAxis {
  constructor(data, { x, xLog }) {
    this.epochs = data.epochs;
    const stepped = x === "step" || data.elapsed;
    this.problem = stepped ? "" : problemsIn(data)[x]; // then the points are drawn by step
    this.mode = stepped || this.problem ? "step" : x;
    this.log = xLog && this.mode !== "time"; // a clock has no zero
    this.origin =
      this.mode === "relative" ? Math.min(Date.parse(data.start_time ?? NaN) || Infinity, data.timestamps[0]) : 0;
    this.x = this.placesOf({ steps: data.epochs, timestamps: data.timestamps });
    // The times of a run resumed at an earlier step go back, and uPlot needs ascending columns.
    const ascends = this.x.every((value, i) => i === 0 || value >= this.x[i - 1]);
    this.order = ascends ? null : this.x.map((_, i) => i).sort((a, b) => this.x[a] - this.x[b]);
    const at = (i) => this.x.at(this.order?.at(i) ?? i);
    const all = [at(0), at(-1)];
    const earlier = Object.values(data.earlier ?? []).flat();
    for (const points of earlier) for (const place of this.placesOf(points)) all.push(place);
    this.extent = earlier.length
      ? all.reduce(([low, high], place) => [Math.min(low, place), Math.max(high, place)], [Infinity, -Infinity])
      : all;
  }

  placesOf({ steps, timestamps }) {
    return this.mode === "step" ? steps : timestamps.map((ms) => (ms - this.origin) / 1000);
  }

  // Whether all points are of one day, in the viewer's time zone.
  get oneDay() {
    const [first, last] = this.extent.map((seconds) => new Date(seconds * 1000).toDateString());
    return first === last;
  }

  arrange(column) {
    return this.order ? this.order.map((i) => column[i]) : column;
  }

  // uPlot's index as an index of the document.
  indexOf(drawn) {
    return this.order ? this.order[drawn] : drawn;
  }

  // The place of any step; one that an overview leaves out lies between its neighbours.
  at(epoch) {
    if (this.mode === "step") return epoch;
    const { epochs, x } = this;
    let [low, high] = [0, epochs.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (epochs[middle] <= epoch) low = middle;
      else high = middle;
    }
    const span = epochs[high] - epochs[low] || 1;
    return x[low] + (x[high] - x[low]) * Math.min(Math.max((epoch - epochs[low]) / span, 0), 1);
  }

  // From values to places on the axis, and back. Steps begin at 0, so a logarithmic axis is log(1 + x).
  forward = (value) => (this.log ? Math.sign(value) * Math.log10(1 + Math.abs(value)) : value);

  backward = (place) => (this.log ? Math.sign(place) * (10 ** Math.abs(place) - 1) : place);
}

// Whether the points can be drawn by time: they have times, and at least two different ones.
export function hasTimes({ epochs, timestamps }) {
  return timestamps?.length === epochs.length && timestamps.some((time) => time !== timestamps[0]);
}
