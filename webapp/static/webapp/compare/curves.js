// The curves of all runs, one chart per metric.

import { gapsOf, notFinite } from "../charts/columns.js";
import { LineChart } from "../charts/line-chart.js";
import { unitOf } from "../charts/specs.js";
import { problemsIn, problemsOfRun } from "../charts/times.js";
import { chartTools } from "../charts/tools.js";
import { View } from "../charts/view.js";
import { el, section } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { apart, count } from "../page/format.js";
import { choiceOf, chosenIn } from "./address.js";
import { Chooser } from "./chooser.js";
import { Detail } from "./detail.js";
import { direction } from "./direction.js";
import { merged } from "./merge.js";
import { curveCounts, summaryOf, usualMetrics } from "./metrics.js";
import { OtherMetrics } from "./others.js";
import { nameOf } from "./plot.js";
import { WholeRows } from "./rows.js";
import { commonUnit, titled } from "./units.js";

const AHEAD = "300px"; // distance from the view at which a chart is made ready
const POINTS_AT_MOST = 30; // steps; a chart of more has no points, which LineChart decides when it is made
const STRONG_BANDS = 5;
const ONE_BY_ONE = 4; // up to so many curves have a sentence each

// `spec` also has `emphasis`, and `runs`, one per series.
class OverlaidChart extends LineChart {
  constructor(spec, data, view) {
    super(spec, data, view);
    this.rows = new WholeRows(this.legend);
    this.legend.after(this.rows.button);
    this.rows.update(this.series.length);
  }

  // Runs are hidden instead of curves, everywhere on the page.
  hides({ id }) {
    return this.spec.emphasis.hidden.has(id);
  }

  toggle({ id }) {
    this.spec.emphasis.toggle(id);
  }

  nameIn({ label }) {
    return nameOf(label);
  }

  update(data, spec = this.spec) {
    super.update(data, spec);
    this.rows?.update(this.series.length); // undefined in the constructor of LineChart
  }

  remove() {
    this.rows.observer.disconnect();
    super.remove();
  }

  afterDrawing() {
    this.inks = this.colors;
    this.shade();
  }

  // Draws each curve as strongly as its run is emphasized. Bands of many runs overlap, so each of them is fainter.
  shade() {
    if (this.u) this.guard.run(() => this.#shade());
  }

  #shade() {
    const { emphasis } = this.spec;
    const bands = Object.keys(this.data.envelope).length;
    this.colors = this.series.map(({ id }, i) => {
      const alpha = emphasis.alpha(id);
      for (const first of new Set([1, 1 + this.raws])) this.u.series[first + i].alpha = alpha;
      const strength = emphasis.level(id) === "lit" ? 1 : alpha * Math.min(1, STRONG_BANDS / bands);
      return `color-mix(in srgb, ${this.inks[i]} ${Math.round(100 * strength)}%, transparent)`;
    });
    this.u.redraw(false);
  }

  // For many runs, the range of their last values.
  inWords() {
    const lasts = this.series
      .map(({ label, summary }) => ({ label, value: summary ? Number(summary.last.value) : NaN }))
      .filter(({ value }) => Number.isFinite(value));
    if (this.series.length <= ONE_BY_ONE || !lasts.length) return super.inWords();
    lasts.sort((a, b) => a.value - b.value);
    const [low, high] = [lasts[0], lasts.at(-1)];
    const texts = apart([low.value, high.value]);
    const range = `${texts.get(low.value)} (${low.label}) and ${texts.get(high.value)} (${high.label})`;
    const all = this.series.length;
    const runs = lasts.length === all ? count(all) : `${count(lasts.length)} of ${count(all)}`;
    const gaps = this.series.reduce((sum, { summary }) => sum + (summary ? gapsOf(summary) : 0), 0);
    return `${runs} runs end between ${range}.${notFinite(gaps)}`;
  }
}

export class Curves {
  constructor(permalink, emphasis, source, summaries) {
    Object.assign(this, { permalink, emphasis, summaries });
    this.detail = new Detail(permalink, source, () => this.#show());
    this.others = new OtherMetrics(source, () => this.#show());
    this.view = new View(permalink);
    if (this.view.x === "time") this.view.x = "relative"; // runs have no clock in common
    this.wrong = ""; // why elapsed time can't be drawn
    this.byTime = this.#isByTime;
    this.charts = new Map(); // name of a chart → OverlaidChart
    this.broken = new Map(); // name of a chart that can't be made → its Guard
    this.grid = el("div", { class: "charts" });
    this.untimed = el("p", { class: "muted", role: "status" });
    this.none = el("p", { class: "muted", hidden: true }, "No metric chosen.");
    const shared = el("input", { type: "checkbox", onchange: () => this.#set({ shared: shared.checked ? "1" : "0" }) });
    shared.checked = permalink.get("shared") === "1";
    this.chooser = new Chooser("Metrics", (chosen) => this.#set({ metrics: choiceOf(chosen) }), [
      el("label", { class: "check" }, shared, "only metrics that two runs have"),
      this.others.element,
    ]);
    this.tools = chartTools(this.view, permalink, {
      steps: "Epoch",
      clock: false,
      before: [this.chooser.element],
      after: [this.detail.element],
      link: false,
    });
    this.section = section("curves", "Curves", this.tools.element, this.untimed, this.grid, this.none);
    this.guard = new Guard("The curves", this.section);
    this.grid.addEventListener("coarse", () => this.detail.readAll());
    addEventListener("viewchange", () => {
      if (this.warm && this.byTime !== this.#isByTime) this.#show();
    });
    this.inView = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) target.chart.wake(isIntersecting);
      },
      { rootMargin: AHEAD },
    );
    emphasis.listen(() => this.#emphasise());
  }

  update(runs) {
    this.warm = runs.filter(({ history }) => history);
    this.section.hidden = !this.warm.length;
    if (!this.warm.length) return;
    this.guard.run(() => {
      this.unit = commonUnit(this.warm);
      this.wrong = this.#problem();
      this.tools.update({ steps: titled(this.unit), problems: { relative: this.wrong } });
      this.detail.update(this.warm);
      this.#build();
    });
  }

  #set(changes) {
    this.permalink.set(changes);
    this.#show();
  }

  #show() {
    this.guard.run(() => this.#build());
  }

  #build() {
    this.byTime = this.#isByTime;
    this.runs = this.warm.map((run) => this.detail.of(run));
    const { index } = this.summaries;
    const counts = curveCounts(this.runs, index);
    const atLeast = this.permalink.get("shared") === "1" ? 2 : 1;
    const offered = [...counts.keys()].filter((key) => counts.get(key) >= Math.min(atLeast, this.runs.length));
    const asked = chosenIn(this.permalink.get("metrics"));
    const chosen = asked ? offered.filter((key) => asked.includes(key)) : usualMetrics(offered, this.runs, index);
    this.summaries.want(chosen);
    this.chooser.update(
      offered.map((key) => [key, key, `${counts.get(key)} of ${this.runs.length} runs`]),
      chosen,
    );
    this.none.hidden = chosen.length > 0;
    this.others.read(this.runs, chosen, this.detail.wanted ? "full" : "overview");
    const gone = new Set([...this.charts.keys(), ...this.broken.keys()]);
    chosen
      .flatMap((metric) => this.#specsOf(metric))
      .forEach((spec, i) => {
        gone.delete(spec.name);
        const place = this.#place(spec);
        if (this.grid.children[i] !== place) this.grid.insertBefore(place, this.grid.children[i] ?? null);
      });
    for (const name of gone) {
      this.#drop(name);
      this.broken.get(name)?.place.remove();
      this.broken.delete(name);
    }
    this.detail.tell(this.runs.map((run) => this.#leading(run)));
  }

  // The run whose epochs are told: one that counts steps, as if it had logged only its first metric, if that is known.
  #leading(run) {
    const { told, history } = run;
    return (unitOf(history) !== "epoch" && this.others.of(run, told?.charts[0]?.metrics[0])) || run;
  }

  get #isByTime() {
    return this.view.x === "relative" && !this.wrong;
  }

  // Why the elapsed time of no run can be drawn; empty if that of some can. The others are told.
  #problem() {
    const found = this.warm.map(({ told, history }) => (told ? problemsOfRun(told) : problemsIn(history)).relative);
    const untimed = this.warm.filter((_, i) => found[i]);
    const some = untimed.length > 0 && untimed.length < this.warm.length;
    const names = untimed.map(({ label }) => label).join(", ");
    this.untimed.textContent = some ? `By elapsed time without ${names}, whose times can't be used.` : "";
    this.untimed.hidden = !some;
    return untimed.length === this.warm.length ? found[0] : "";
  }

  // The runs whose values of this metric have been read, and can be drawn.
  #runsWith(metric) {
    const read = this.runs.map((run) => (run.curves.has(metric) ? run : this.others.of(run, metric))).filter(Boolean);
    return this.byTime ? read.filter(({ history }) => !problemsIn(history).relative) : read;
  }

  // A chart by step, and one of runs that logged all points at one step, by point: these have no steps in common.
  #specsOf(metric) {
    const all = this.#runsWith(metric);
    const isCounted = ({ counted }) => counted && !this.byTime;
    const [counted, stepped] = [all.filter(isCounted), all.filter((run) => !isCounted(run))];
    const title = stepped.length ? `${metric}, by point` : metric;
    return [
      ...(stepped.length ? [this.#spec(metric, stepped, metric, false)] : []),
      ...(counted.length ? [this.#spec(metric, counted, title, true)] : []),
    ];
  }

  #spec(metric, runs, title, counted) {
    const unit = counted ? "point" : commonUnit(runs);
    // Other steps than those of the other charts have a cursor and a zoom of their own.
    const own = counted ? `points of ${metric}` : `${unit}s of ${metric.split("/")[0]}`;
    const steps = unit === this.unit ? "steps" : own;
    return {
      name: JSON.stringify([metric, counted]),
      metric,
      title,
      unit: this.byTime ? "second" : unit,
      stepUnit: unit,
      axis: this.byTime ? "seconds" : steps,
      counted,
      series: runs.map((run) => seriesOf(run, metric)),
      runs,
      emphasis: this.emphasis,
      full: () => this.#whole(metric, runs),
    };
  }

  // For exports: every step of these runs.
  async #whole(metric, runs) {
    const { byTime } = this;
    const inHistory = ({ id }) => this.runs.some((run) => run.id === id && run.curves.has(metric));
    const read = (run) => (inHistory(run) ? this.detail.whole(run) : this.others.whole(run, metric));
    return dataOf(await Promise.all(runs.map(read)), metric, byTime);
  }

  // The element of the chart, or one that says why there is none.
  #place(spec) {
    const { name, title } = spec;
    const guard = this.broken.get(name) ?? new Guard(title, el("figure", { class: "chart" }, el("h3", {}, title)));
    const chart = guard.run(() => this.#chart(spec));
    if (chart) {
      this.broken.delete(name);
      guard.place.remove();
      return chart.element;
    }
    this.broken.set(name, guard);
    this.#drop(name);
    return guard.place;
  }

  #chart(found) {
    const data = dataOf(found.runs, found.metric, this.byTime);
    data.counted = found.counted;
    const spec = { ...found, dense: data.epochs.length > POINTS_AT_MOST };
    const known = this.charts.get(spec.name);
    if (known && alike(known.spec, spec)) {
      known.update(data, spec);
      return known;
    }
    if (known) this.#drop(spec.name);
    const chart = new OverlaidChart(spec, data, this.view);
    chart.table.details.open = known?.table.details.open ?? false;
    const way = { "-1": "lower is better", 0: "", 1: "higher is better" }[direction(spec.metric)];
    if (way) chart.element.querySelector("h3").after(el("span", { class: "muted way" }, way));
    chart.wake(false);
    chart.element.chart = chart;
    this.inView.observe(chart.element);
    this.charts.set(spec.name, chart);
    return chart;
  }

  #drop(name) {
    const chart = this.charts.get(name);
    if (!chart) return;
    this.inView.unobserve(chart.element);
    chart.remove();
    this.charts.delete(name);
  }

  #emphasise() {
    for (const chart of this.charts.values()) {
      chart.showSeries();
      chart.shade();
    }
  }
}

const curveKey = (run, metric) => `${metric} of ${run.label}`;

const seriesOf = (run, metric) => ({
  id: run.id,
  label: run.label,
  key: curveKey(run, metric),
  color: run.color,
  dash: run.dash ?? false,
  column: columnOf(run),
  summary: summaryOf(run, metric),
  replaced: run.told?.replaced[metric],
  read: (data) => data.curves[curveKey(run, metric)],
});

const dataOf = (runs, metric, byTime) =>
  merged(
    runs.map((run) => ({ key: curveKey(run, metric), metric, run })),
    byTime,
  );

// The name and ID of a run, for a column of a CSV.
const columnOf = ({ id, row: { name } }) => (name && name !== id ? `${name} (${id})` : id);

// Whether a chart with one spec can show the other: same curves, colours and axis.
const alike = (a, b) =>
  ["title", "axis", "unit", "dense"].every((name) => a[name] === b[name]) &&
  a.runs.length === b.runs.length &&
  a.runs.every(({ id, slot, label }, i) => id === b.runs[i].id && slot === b.runs[i].slot && label === b.runs[i].label);
