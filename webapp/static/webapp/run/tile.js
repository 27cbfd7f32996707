// The place of one metric's chart among the others. The chart is read and drawn when it comes into view.

import { LineChart, metricTitle } from "../charts/line-chart.js";
import { byName } from "../page/documents.js";
import { el } from "../page/dom.js";
import { count, number } from "../page/format.js";

// A cell as high as one with a chart, so that nothing moves when the chart comes.
export function placeholder(title = "", note = el("p", { class: "summary" })) {
  const head = el("div", { class: "chart-title" }, title);
  const figure = el("figure", { class: "chart metric awaited" }, head, el("div", { class: "plot" }), note);
  return el("div", { class: "metric-cell" }, figure);
}

// `browser` is the MetricBrowser, `metric` an entry of its index.
export class Tile {
  constructor(browser, metric) {
    Object.assign(this, { browser, metric });
    this.note = el("p", { class: "summary" }, `${count(metric.points)} points, last ${number(metric.last)}`);
    this.cell = placeholder(metricTitle(metric.key), this.note);
    this.cell.tile = this;
    this.chart = null;
    this.inView = false;
    this.version = -1;
  }

  look(inView) {
    if (this.inView === inView) return;
    this.inView = inView;
    this.browser.seen(this, inView);
    if (inView) this.refresh();
  }

  async focus() {
    this.look(true);
    await this.ready;
    this.chart?.plot.focus({ preventScroll: true });
  }

  // Reads its chunk again if that may have changed and the tile is in view.
  refresh() {
    const resolution = this.fine ? "full" : this.browser.resolution;
    const key = `${this.browser.version} ${resolution}`;
    if (!this.inView || this.version === key) return;
    this.version = key;
    this.ready = this.#show(resolution);
  }

  async #show(resolution) {
    try {
      const data = await this.#read(resolution);
      if (data) this.#draw(data);
      else this.version = -1; // index and chunk are of different versions: the next change brings both
    } catch (error) {
      this.version = -1;
      this.note.textContent = `The curve can't be read: ${error.message}`;
    }
  }

  // Data for a LineChart; null if the chunk has no such metric.
  async #read(resolution) {
    const { key, chunk } = this.metric;
    const document = await this.browser.chunk(chunk, resolution);
    const metric = document.metrics?.[key];
    if (!metric) return null;
    const { values, min, max } = metric;
    const { steps, steps_total, timestamps } = document.axes[metric.axis];
    const non_finite = document.non_finite.filter((mark) => mark.metric === key);
    return {
      epochs: steps,
      epochs_total: steps_total,
      timestamps,
      start_time: this.browser.page.history.start_time,
      envelope: byName(min ? [[key, { min, max }]] : []),
      non_finite,
      best_epoch: null,
      values,
    };
  }

  #draw(data) {
    const { key } = this.metric;
    if (this.chart) return this.chart.update(data);
    const series = [{ label: key, key, color: "blue", read: (whole) => whole.values }];
    this.chart = new LineChart(
      {
        title: key,
        unit: "step",
        axis: `steps of ${key.split("/")[0]}`,
        plain: true,
        tile: true,
        series,
        full: () => this.#read("full"),
      },
      data,
      this.browser.view,
    );
    this.chart.element.addEventListener("coarse", (event) => this.#refine(event));
    this.cell.replaceChildren(this.chart.element);
    if (!this.inView) this.browser.seen(this, false);
    return this.chart.redraw();
  }

  // Reads every step of this metric from now on.
  #refine(event) {
    event.stopPropagation();
    this.fine = true;
    this.refresh();
  }
}
