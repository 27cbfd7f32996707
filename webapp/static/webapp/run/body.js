// The page of a warm run. Parts without content are hidden.

import { LineChart } from "../charts/line-chart.js";
import { allFinite, chartSpecs, EPOCHS, HISTOGRAM_REFINED_UP_TO, unitOf } from "../charts/specs.js";
import { chartTools, helpButton, linkButton } from "../charts/tools.js";
import { hasTimes } from "../charts/view.js";
import { showRange } from "../charts/zoom.js";
import { HistogramView } from "../histograms/view.js";
import { read } from "../page/documents.js";
import { el, section } from "../page/dom.js";
import { count } from "../page/format.js";
import { drawAll } from "../page/frames.js";
import { hasTables, tables, tiles } from "./head.js";
import { Insights } from "./insights.js";
import { provenance } from "./provenance.js";
import { goToHash, SectionNav } from "./sections.js";

const METRICS_SHOWN = 12;
const TABLES_AFTER = 300; // ms at most

// In progress, with nothing logged that charts show.
const hasJustBegun = (history) => history.status === "RUNNING" && !history.epochs_total && !history.more_metrics;

export class RunBody {
  // `page` is that of run.js, `place` the element that takes the content.
  constructor(page, place) {
    this.page = page;
    this.charts = [];
    this.histogram = null; // the HistogramView
    this.metrics = null; // a promise of the MetricBrowser
    const { view, permalink } = page;
    this.insights = new Insights((insight, go) => this.#showInsight(insight, go), permalink);
    this.shownEpochs = el("span", { class: "epochs" });
    this.tools = chartTools(view, permalink, { link: false, after: [this.shownEpochs] });
    this.link = linkButton(permalink);
    this.#build(place);
    place.addEventListener("coarse", () => page.loadFull());
    this.first = true;
    this.live = false; // whether it has been running on this page; then the insights keep their height
  }

  #build(place) {
    const box = (label) =>
      el("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": `${label}, table` });
    this.parts = {
      tiles: el("dl", { class: "tiles" }),
      grid: el("div", { class: "charts" }),
      awaited: el("p", { class: "notice awaited", hidden: true }, "No metric logged yet. The charts will appear here."),
      more: el("p", { class: "more" }),
      histogram: el("div", { class: "hist-place" }),
      provenance: el("div"),
      final: box("Final metrics"),
      params: box("Parameters"),
      tags: box("Tags"),
    };
    const { parts } = this;
    this.sections = {
      insights: section("insights", "Insights", this.insights.list),
      training: section("training", "Training", parts.awaited, parts.grid, parts.more),
      others: section("metrics", "Other metrics"),
      distributions: section("distributions", "Weight analysis", parts.histogram),
      final: section("final", "Final metrics", parts.final),
      params: section("params", "Parameters", parts.params),
      tags: section("tags", "Tags", parts.tags),
      provenance: section("provenance", "Provenance", parts.provenance),
    };
    const { insights, training, others, distributions, final, params, tags, provenance: way } = this.sections;
    this.single = el("div", { class: "two", id: "parameters", hidden: true }, final, params, tags);
    way.hidden = true;
    const help = helpButton(() => this.page.showHelp());
    this.nav = new SectionNav(
      [
        ["Training", training],
        ["Other metrics", others],
        ["Weight analysis", distributions],
        ["Parameters", this.single],
        ["Provenance", way],
      ],
      this.link,
      help,
    );
    place.replaceChildren(this.nav.element, parts.tiles, insights, training, others, distributions, this.single, way);
  }

  // Shows the page's new history.
  update() {
    const { parts, sections, page } = this;
    const { history } = page;
    const awaited = hasJustBegun(history);
    const unit = awaited ? "epoch" : unitOf(history);
    parts.tiles.replaceChildren(...tiles(history));
    parts.tiles.hidden = !parts.tiles.childElementCount;
    this.live ||= history.status === "RUNNING";
    if (this.live) this.insights.keepHeight();
    const insights = this.insights.update(history.insights, unit);
    sections.insights.hidden = !insights && !this.live;
    this.tools.update({
      steps: unit === "epoch" ? "Epoch" : "Step",
      times: awaited || Boolean(history.more_metrics) || hasTimes(history),
    });
    this.#showEpochs(unit);
    sections.others.hidden = !history.more_metrics;
    const pictures = [...this.#showCharts(), ...this.#showHistogram()];
    this.nav.offer([sections.provenance, ...(hasTables(history) ? [this.single] : [])]);
    drawAll(pictures);
    this.#showOthers();
    this.insights.markAgain();
    // Charts first: what is far below them can wait until they are drawn.
    if (this.histogram) requestIdleCallback(() => this.#showTables(), { timeout: TABLES_AFTER });
    else this.#showTables();
  }

  #showTables() {
    const { parts, sections, page } = this;
    for (const [name, content] of Object.entries(tables(page.history))) {
      parts[name].replaceChildren(...(content ? [content] : []));
      sections[name].hidden = !content;
    }
    this.single.hidden = [...this.single.children].every((one) => one.hidden);
    parts.provenance.replaceChildren(...provenance(page));
    sections.provenance.hidden = false;
    this.nav.update();
    if (this.first) goToHash();
    this.first = false;
  }

  async focusSearch() {
    const browser = await this.metrics;
    if (!browser) return;
    await browser.load();
    browser.search.focus();
  }

  #showEpochs(unit) {
    const {
      shownEpochs: place,
      page: { history },
    } = this;
    const [shown, total] = [history.epochs.length, history.epochs_total];
    place.hidden = !total;
    place.replaceChildren(el("span", { class: "tabular" }, `${count(shown)} of ${count(total)} ${unit}s`));
    const unmarked = history.non_finite_total - history.non_finite.length;
    if (unmarked > 0) place.append(el("span", { class: "muted" }, `; ${count(unmarked)} more values are not finite`));
    if (shown < total) place.append(el("span", { class: "muted" }, "; bands show min and max in between"));
    const sampled = history.histogram_available && total > HISTOGRAM_REFINED_UP_TO;
    if (this.page.asked || (shown === total && !sampled)) return;
    const text = `All ${unit}s${shown === total ? " of the histograms" : ""}`;
    place.append(
      el(
        "button",
        {
          type: "button",
          class: "button small",
          onclick: ({ currentTarget }) => {
            currentTarget.disabled = true;
            this.page.loadFull(true);
          },
        },
        text,
      ),
    );
  }

  // Returns the charts to draw.
  #showCharts() {
    const {
      page: { history, view },
      parts,
      sections,
    } = this;
    const specs = chartSpecs(history).map((spec) => ({ ...spec, full: () => this.#fullHistory() }));
    const before = new Map(this.charts.map((chart) => [chart.spec.title, chart]));
    const shown = this.allMetrics ? specs : specs.slice(0, METRICS_SHOWN);
    this.charts = shown.map((spec) => before.get(spec.title) ?? new LineChart(spec, history, view));
    shown.forEach((spec, i) => {
      const chart = this.charts[i];
      if (before.delete(spec.title)) chart.update(history, spec);
      // An element that moves loses the focus, so what is in place stays.
      if (parts.grid.children[i] !== chart.element)
        parts.grid.insertBefore(chart.element, parts.grid.children[i] ?? null);
    });
    for (const gone of before.values()) gone.remove();
    parts.awaited.hidden = !hasJustBegun(history);
    sections.training.hidden = !shown.length && parts.awaited.hidden;
    const host = sections.training.hidden ? sections.others : sections.training;
    if (this.tools.element.parentElement !== host) host.firstChild.after(this.tools.element);
    const left = specs.length - shown.length;
    const finite = allFinite(history)
      ? [el("span", { class: "muted" }, "Every weight and every gradient was finite in every epoch. ")]
      : [];
    parts.more.replaceChildren(
      ...finite,
      ...(left
        ? [
            el(
              "button",
              { type: "button", class: "button", onclick: () => this.#showAllCharts() },
              `${count(left)} more charts`,
            ),
          ]
        : []),
    );
    return this.charts.filter((chart) => !chart.u);
  }

  #showAllCharts() {
    this.allMetrics = true;
    drawAll(this.#showCharts());
  }

  // For exports: the history with every epoch.
  async #fullHistory() {
    const { page } = this;
    if (page.history.resolution === "full") return page.history;
    return read(page.historyAddress("full"));
  }

  // Metrics without a place among the history's epochs. Most runs have none, so their module loads when needed.
  async #showOthers() {
    const { page, sections } = this;
    sections.others.querySelector("h2").textContent = sections.training.hidden ? "Metrics" : "Other metrics";
    if (!page.history.more_metrics) return;
    if (this.metrics) return void (await this.metrics).refresh();
    this.metrics = import("./metrics.js").then(({ MetricBrowser }) => {
      const browser = new MetricBrowser(page);
      sections.others.append(browser.element);
      return browser;
    });
  }

  // Returns the panels to draw. Those that wait for their documents draw themselves.
  #showHistogram() {
    const { page, parts, sections } = this;
    const { history, histogramAddress, source, view, permalink } = page;
    sections.distributions.hidden = !history.histogram_available;
    if (!history.histogram_available) return [];
    if (this.histogram) {
      this.histogram.load(history);
      return [];
    }
    const fullAddress = (type, tower) => histogramAddress(type, tower, "full");
    this.histogram = new HistogramView({ source, address: histogramAddress, fullAddress, history, view, permalink });
    parts.histogram.replaceChildren(this.histogram.element);
    return this.histogram.begin();
  }

  // ── insights lead to their epochs ──

  async #showInsight(insight, go) {
    const { view } = this.page;
    if (!insight) return view.set({ mark: null });
    const chart = (await this.#chartOf(insight.metric)) ?? this.charts[0];
    view.set({ mark: { from: insight.epochs[0], to: insight.epochs.at(-1), axis: chart?.spec.axis ?? EPOCHS } });
    if (!go) return undefined;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    if (chart?.u) showRange(chart, ...[insight.epochs[0], insight.epochs.at(-1)].map((epoch) => chart.axis.at(epoch)));
    (chart?.element ?? this.sections.final).scrollIntoView({ block: "center", behavior });
    if (chart) chart.said.textContent = `Marked: ${insight.text}`;
    return chart?.plot.focus({ preventScroll: true });
  }

  async #chartOf(key) {
    const find = () => this.charts.find((chart) => chart.series.some((series) => series.key === key));
    if (!key || find()) return find();
    if (Object.hasOwn(this.page.history.metrics, key)) this.#showAllCharts();
    return find() ?? (this.metrics && (await this.metrics).reveal(key));
  }
}
