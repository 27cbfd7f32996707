// The page of a warm run. Parts without content are hidden.

import { LineChart } from "../charts/line-chart.js";
import { allFinite, chartSpecs, EPOCHS, HISTOGRAM_REFINED_UP_TO, unitOf } from "../charts/specs.js";
import { problemsOfRun } from "../charts/times.js";
import { chartTools, helpButton, linkButton } from "../charts/tools.js";
import { hasTimes } from "../charts/view.js";
import { showRange } from "../charts/zoom.js";
import { titled } from "../compare/units.js";
import { HistogramView } from "../histograms/view.js";
import { read } from "../page/documents.js";
import { el, section } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count } from "../page/format.js";
import { drawAll } from "../page/frames.js";
import { aboutParts } from "./about.js";
import { Curves } from "./curves.js";
import { hasTables, tables, tiles } from "./head.js";
import { Insights } from "./insights.js";
import { provenance } from "./provenance.js";
import { goToHash, SectionNav } from "./sections.js";
import { Shelf } from "./shelf.js";

const METRICS_SHOWN = 12;
const TABLES_AFTER = 300; // ms at most

// In progress, with nothing logged that charts show.
const hasJustBegun = (history) => history.status === "RUNNING" && !history.epochs_total && !history.more_metrics;

export class RunBody {
  // `page` is that of run.js, `place` the element that takes the content.
  constructor(page, place) {
    this.page = page;
    this.charts = []; // those of the history alone
    this.items = []; // these and the tiles of the section Training, in order
    this.shelf = new Shelf(page, new Curves(page), () => this.#showEpochs());
    this.histogram = null; // the HistogramView
    this.browsers = new Map(); // name of a section → its MetricBrowser
    const { view, permalink } = page;
    this.insights = new Insights((insight, go) => this.#showInsight(insight, go), permalink);
    this.shownEpochs = el("span", { class: "epochs" });
    this.tools = chartTools(view, permalink, { link: false, after: [this.shownEpochs] });
    this.link = linkButton(permalink);
    this.#build(place);
    const { sections, parts } = this;
    this.guards = {
      tiles: new Guard("The main figures", parts.figures),
      insights: new Guard("Insights", sections.insights),
      histogram: new Guard("Weight analysis", sections.distributions),
      others: new Guard("Other metrics", sections.others),
      tables: new Guard("The tables", sections.provenance),
    };
    place.addEventListener("coarse", () => page.loadFull());
    this.first = true;
    this.live = false; // whether it has been running on this page; then the insights keep their height
  }

  #build(place) {
    const box = (label) =>
      el("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": `${label}, table` });
    this.parts = {
      pending: el("p", { class: "notice small pending", role: "status", hidden: true }),
      figures: el("div", { class: "figures" }),
      tiles: el("dl", { class: "tiles" }),
      grid: el("div", { class: "charts" }),
      awaited: el("p", { class: "notice awaited", hidden: true }, "No metric logged yet. The charts will appear here."),
      more: el("p", { class: "more" }),
      histogram: el("div", { class: "hist-place" }),
      about: el("div", { class: "about" }),
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
      system: section("system", "System metrics"),
      distributions: section("distributions", "Weight analysis", parts.histogram),
      about: section("about", "About", parts.about),
      final: section("final", "Final metrics", parts.final),
      params: section("params", "Parameters", parts.params),
      tags: section("tags", "Tags", parts.tags),
      provenance: section("provenance", "Provenance", parts.provenance),
    };
    const { insights, training, others, system, distributions, about, final, params, tags } = this.sections;
    const { provenance: way } = this.sections;
    this.single = el("div", { class: "two", id: "parameters", hidden: true }, final, params, tags);
    about.hidden = way.hidden = true;
    const help = helpButton(() => this.page.showHelp());
    this.nav = new SectionNav(
      [
        ["Training", training],
        ["Other metrics", others],
        ["Weight analysis", distributions],
        ["System metrics", system],
        ["About", about],
        ["Parameters", this.single],
        ["Provenance", way],
      ],
      this.link,
      help,
    );
    const analysed = [training, others, distributions, system];
    parts.figures.append(parts.tiles);
    place.replaceChildren(
      this.nav.element,
      parts.pending,
      parts.figures,
      insights,
      ...analysed,
      about,
      this.single,
      way,
    );
  }

  // Shows the page's new history and summaries.
  update() {
    const { sections, page, guards } = this;
    const { history, told } = page;
    this.specs = chartSpecs(history, told);
    const awaited = hasJustBegun(history);
    const unit = unitOf(history);
    this.showPending();
    guards.tiles.run(() => this.#showTiles());
    this.live ||= history.status === "RUNNING";
    guards.insights.run(() => this.#showInsights());
    this.tools.update({
      steps: titled(unit),
      times: awaited || history.more_metrics > 0 || hasTimes(history),
      problems: problemsOfRun(told),
    });
    this.#showEpochs();
    sections.others.hidden = !this.specs.other.length;
    sections.system.hidden = !this.specs.system.length;
    const pictures = [...this.#showCharts(), ...(guards.histogram.run(() => this.#showHistogram()) ?? [])];
    const coming = [page.about && sections.about, hasTables(history) && this.single, sections.provenance];
    this.nav.offer(coming.filter(Boolean));
    drawAll(pictures);
    this.ready = guards.others.run(() => this.#showOthers());
    this.ready.then(() => this.insights.markAgain());
    // Charts first: what is far below them can wait until they are drawn.
    const showTables = () => guards.tables.run(() => this.#showTables());
    if (this.histogram) requestIdleCallback(showTables, { timeout: TABLES_AFTER });
    else showTables();
  }

  // Says what is still missing while the page has only the run's first charts.
  showPending() {
    const { history, summary } = this.page;
    const place = this.parts.pending;
    const left = history.pending_metrics ?? 0;
    place.hidden = !left;
    if (!left) return;
    const many = `${count(left)} more metric${left === 1 ? "" : "s"}`;
    place.textContent = summary.reason
      ? `These are the first charts. ${many} could not be fetched yet: ${summary.reason}`
      : `These are the first charts. ${many} will follow: ${left === 1 ? "it is" : "they are"} being fetched.`;
  }

  #showTiles() {
    const { tiles: place } = this.parts;
    place.replaceChildren(...tiles(this.page.history, this.page.told));
    place.hidden = !place.childElementCount;
  }

  #showInsights() {
    const { history } = this.page;
    if (this.live) this.insights.keepHeight();
    const some = this.insights.update(history.insights, unitOf(history));
    this.sections.insights.hidden = !some && !this.live;
  }

  #showTables() {
    const { parts, sections, page } = this;
    for (const [name, content] of Object.entries(tables(page))) {
      parts[name].replaceChildren(...(content ? [content] : []));
      sections[name].hidden = !content;
    }
    this.single.hidden = [...this.single.children].every((one) => one.hidden);
    const known = page.about ? aboutParts(page) : [];
    parts.about.replaceChildren(...known);
    sections.about.hidden = !known.length;
    parts.provenance.replaceChildren(...provenance(page));
    sections.provenance.hidden = false;
    this.nav.update();
    if (this.first) goToHash();
    this.first = false;
  }

  async focusSearch() {
    await this.ready;
    const browser = this.browsers.get("others");
    browser?.load();
    browser?.search.focus();
  }

  // How many steps the first chart shows.
  #showEpochs() {
    const { shownEpochs: place, page } = this;
    const { history } = page;
    const unit = unitOf(history);
    const first = this.specs.training[0]?.shared === false ? this.items[0]?.chart?.data : null;
    const { epochs, epochs_total: total } = first ?? history;
    const shown = Math.min(epochs.length, total);
    place.hidden = !total;
    place.replaceChildren(el("span", { class: "tabular" }, `${count(shown)} of ${count(total)} ${unit}s`));
    const unmarked = history.non_finite_total - history.non_finite.length;
    if (unmarked > 0) place.append(el("span", { class: "muted" }, `; ${count(unmarked)} more values are not finite`));
    if (shown < total) place.append(el("span", { class: "muted" }, "; bands show min and max in between"));
    const sampled = history.histogram_available && total > HISTOGRAM_REFINED_UP_TO;
    if (page.asked || (shown === total && !sampled)) return;
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

  // Returns the charts to draw. Those with curves outside the history draw themselves.
  #showCharts() {
    const {
      page: { history },
      parts,
      sections,
      specs: { training: specs },
    } = this;
    const shown = this.allMetrics ? specs : specs.slice(0, METRICS_SHOWN);
    const before = new Map(this.items.map((item) => [item.spec.id, item]));
    this.items = shown.map((spec) => this.#item(spec, before));
    for (const gone of before.values()) this.#drop(gone);
    this.items.forEach(({ element }, i) => {
      // An element that moves loses the focus, so what is in place stays.
      if (parts.grid.children[i] !== element) parts.grid.insertBefore(element, parts.grid.children[i] ?? null);
    });
    this.charts = this.items.filter((item) => item instanceof LineChart);
    parts.awaited.hidden = !hasJustBegun(history);
    sections.training.hidden = !shown.length && parts.awaited.hidden;
    const host = sections.training.hidden ? this.#otherHost() : sections.training;
    if (this.tools.element.parentElement !== host) host.firstChild.after(this.tools.element);
    const finite = allFinite(history) && "Every weight and every gradient was finite in every epoch. ";
    const left = specs.length - shown.length;
    const text = `${count(left)} more charts`;
    const more =
      left > 0 && el("button", { type: "button", class: "button", onclick: () => this.#showAllCharts() }, text);
    parts.more.replaceChildren(...[finite && el("span", { class: "muted" }, finite), more].filter(Boolean));
    return this.charts.filter((chart) => !chart.u);
  }

  #otherHost() {
    return this.sections.others.hidden ? this.sections.system : this.sections.others;
  }

  // The chart of this spec, or the tile of one with curves outside the history. What stays leaves `before`.
  #item(spec, before) {
    const { history, view } = this.page;
    const known = before.get(spec.id);
    if (!spec.shared) {
      const tile = this.shelf.tile({ ...spec, large: true });
      if (known === tile) before.delete(spec.id);
      else this.shelf.watch(tile);
      return tile;
    }
    const whole = { ...spec, full: () => this.#fullHistory() };
    if (!(known instanceof LineChart)) return new LineChart(whole, history, view);
    before.delete(spec.id);
    known.update(history, whole);
    return known;
  }

  #drop(item) {
    if (item instanceof LineChart) return item.remove();
    this.shelf.unwatch(item);
    return item.element.remove();
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

  // The sections of other charts. Most runs have none, so their module loads when needed.
  async #showOthers() {
    const { sections, specs } = this;
    sections.others.querySelector("h2").textContent = sections.training.hidden ? "Metrics" : "Other metrics";
    this.shelf.renew();
    if (!this.browsers.size && !specs.other.length && !specs.system.length) return;
    this.module ??= import("./metrics.js");
    const { MetricBrowser } = await this.module;
    this.#browse(MetricBrowser, "others", this.specs.other);
    this.#browse(MetricBrowser, "system", this.specs.system);
  }

  #browse(MetricBrowser, name, specs) {
    if (this.browsers.has(name)) return void this.browsers.get(name).update(specs);
    if (!specs.length) return;
    const browser = new MetricBrowser(this.shelf, specs, name === "others");
    this.browsers.set(name, browser);
    this.sections[name].append(browser.element);
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
    const has = ({ spec }) => spec.series.some((series) => series.key === key);
    if (!key) return undefined;
    if (!this.items.some(has)) if (this.specs.training.some((spec) => has({ spec }))) this.#showAllCharts();
    const item = this.items.find(has);
    if (item instanceof LineChart) return item;
    if (item) return item.reveal();
    for (const browser of this.browsers.values()) {
      const chart = await browser.reveal(key); // one after the other: only one of them has it
      if (chart) return chart;
    }
    return undefined;
  }
}
