// The place of a chart whose curves are read and drawn when it comes into view.

import { LineChart, metricTitle } from "../charts/line-chart.js";
import { EPOCHS } from "../charts/specs.js";
import { el } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, number } from "../page/format.js";

// A cell as high as one with a chart, so that nothing moves when the chart comes. `spec` is that of the chart; without
// one it is a small chart that is not known yet.
export function placeholder(spec = null, note = el("p", { class: "summary" })) {
  const large = spec?.large;
  const small = spec ? metricTitle(spec.title) : "";
  const title = large ? el("h3", {}, spec.title) : small;
  const legend = el("div", { class: "legend", hidden: !spec || spec.plain });
  const figure = el(
    "figure",
    { class: `chart awaited${large ? "" : " metric"}` },
    el("div", { class: "chart-title" }, title),
    legend,
    el("div", { class: "plot" }),
    note,
  );
  return el("div", { class: `metric-cell${spec?.wide ? " wide" : ""}` }, figure);
}

export class Tile {
  // `shelf` is the Shelf that keeps it, `spec` that of chartSpecs.
  constructor(shelf, spec) {
    Object.assign(this, { shelf, spec });
    this.note = el("p", { class: "summary" }, spec.series.map(expected).join(" "));
    this.element = placeholder(spec, this.note);
    this.element.tile = this;
    this.guard = new Guard(spec.title, this.element);
    this.chart = null;
    this.inView = false;
    this.version = -1;
  }

  look(inView) {
    if (this.inView === inView) return;
    this.inView = inView;
    this.shelf.seen(this, inView);
    if (inView) this.refresh();
  }

  // Resolves to its chart, once that is there.
  async reveal() {
    this.look(true);
    await this.ready;
    return this.chart;
  }

  async focus() {
    await this.reveal();
    this.chart?.plot.focus({ preventScroll: true });
  }

  // Reads its curves again if they may have changed and the tile is in view.
  refresh() {
    const { curves } = this.shelf;
    const resolution = this.fine ? "full" : curves.resolution;
    const key = `${curves.version} ${resolution}`;
    if (!this.inView || this.version === key) return;
    this.version = key;
    this.ready = this.guard.run(() => this.#show(resolution));
  }

  async #show(resolution) {
    const { keys } = this.spec;
    try {
      const data = await this.shelf.curves.data(keys, resolution);
      if (data) this.#draw(data);
      else this.version = -1;
    } catch (error) {
      this.version = -1;
      throw error;
    }
  }

  #draw(data) {
    const spec = this.#specFor(data);
    if (spec.axis === EPOCHS) data.best_epoch = this.shelf.page.history.best_epoch;
    if (this.chart) return this.chart.update(data, spec);
    this.chart = new LineChart(spec, data, this.shelf.page.view);
    this.chart.element.addEventListener("coarse", (event) => this.#refine(event));
    this.element.replaceChildren(this.chart.element);
    if (!this.inView) this.shelf.seen(this, false);
    this.chart.redraw();
    return this.shelf.drawn(this);
  }

  #specFor(data) {
    const { spec, shelf } = this;
    return {
      ...spec,
      ...(data.counted ? { unit: "point", axis: `points of ${spec.id}` } : {}),
      tile: !spec.large,
      wide: false, // the cell is
      series: spec.series.map((one) => ({ ...one, read: (whole) => whole.curves[one.key] })),
      full: () => shelf.curves.data(spec.keys, "full"),
    };
  }

  // Reads every step of these metrics from now on.
  #refine(event) {
    event.stopPropagation();
    this.fine = true;
    this.refresh();
  }
}

const expected = ({ key, summary }) =>
  summary ? `${key}: ${count(summary.count)} points, last ${number(summary.last.value)}.` : "";
