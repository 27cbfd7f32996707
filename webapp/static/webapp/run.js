// One run's page: shows what the API answers, waits while the run is not warm, follows along while it trains.

import { LineChart } from "./charts.js";
import { choice, copyButton, el, section } from "./dom.js";
import { follow, Source } from "./follow.js";
import { count } from "./format.js";
import { badges, facts, tables, tiles } from "./head.js";
import { HistogramView } from "./histogram.js";
import { Insights } from "./insights.js";
import { provenance } from "./provenance.js";
import { allFinite, chartSpecs, EPOCHS, unitOf } from "./specs.js";
import { hasTimes, View } from "./view.js";

const WAITING = { first: 1000, most: 10000 };
const LIVE = { first: 2000, most: 10000 };
const HISTOGRAM_FULL_UP_TO = 100;
const METRICS_SHOWN = 12;
const STATES = { pending: "Waiting for a worker", warming: "Warming now", failed: "Warming failed", rebuilding: "Being made anew", expired: "Charts have expired", unknown: "Not announced yet" };

const root = document.getElementById("run");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const source = new Source();
const view = new View();
const page = {
  resolution: root.dataset.resolution,
  summary: JSON.parse(document.getElementById("summary").textContent),
  history: null,
  charts: [],
  histogram: null,
  metrics: null,
};

const historyAddress = () => `${root.dataset.api}training-history/?resolution=${page.resolution}`;

// Histograms are larger than curves: every epoch at once only in short runs, or when asked.
function histogramAddress(type, tower) {
  const full = page.asked || (page.history?.epochs_total ?? page.summary.epochs) <= HISTOGRAM_FULL_UP_TO;
  return `${root.dataset.api}histogram-data/?type=${type}&tower=${tower}&resolution=${full ? "full" : "overview"}`;
}

async function step() {
  const address = historyAddress();
  try {
    const { changed, document } = await source.read(address);
    if (address !== historyAddress()) return { pause: null }; // a finer one was asked for meanwhile, and comes next
    if (changed) await show(document);
    lost("");
    if (!page.history) return { pause: WAITING };
    return { pause: page.history.status === "RUNNING" ? LIVE : null, changed };
  } catch (error) {
    lost(error.status === 401 ? "You have been signed out. Reload the page to sign in." : `${error.message} Trying again…`);
    return { pause: WAITING };
  }
}

async function show(document) {
  if (!document.available) return showWaiting(document);
  if (!page.summary.mlflow_run_id) return location.replace(`/runs/${document.mlflow_run_id}/`);
  const first = !page.history;
  if (!first || page.summary.state !== "warm") await readSummary();
  page.history = document;
  showHead();
  if (first) build();
  update();
  if (document.resolution === "overview" && document.epochs_total <= Number(root.dataset.fullUpTo)) loadFull(false);
  return undefined;
}

async function readSummary() {
  const response = await fetch(root.dataset.api, { cache: "no-store" });
  if (response.ok) page.summary = await response.json();
}

function lost(message) {
  const line = document.getElementById("lost") ?? root.appendChild(el("p", { id: "lost", class: "toast", role: "status" }));
  line.textContent = message;
  line.hidden = !message;
}

function showWaiting(answer) {
  part("badges").replaceChildren(el("span", { class: `state state-${answer.state}` }, STATES[answer.state]));
  const id = answer.mlflow_run_id;
  part("facts").replaceChildren(...(id ? [el("span", {}, "run ", el("code", {}, id), copyButton(id))] : []));
  part("body").replaceChildren(
    el("section", { class: "notice waiting", "data-state": answer.state },
      el("h2", {}, STATES[answer.state]),
      el("p", { role: "status" }, answer.expect),
      answer.reason && el("pre", { class: "reason" }, answer.reason),
      answer.attempts ? el("p", { class: "muted" }, `Attempts so far: ${answer.attempts}.`) : null,
      el("p", { class: "muted" }, el("i", { class: "pulse", "aria-hidden": "true" }), "This page turns into the charts by itself.")),
  );
}

function showHead() {
  part("experiment").textContent = page.history.experiment_name;
  root.querySelector("h1").textContent = page.history.run_name || page.history.mlflow_run_id;
  part("badges").replaceChildren(...badges(page));
  part("facts").replaceChildren(...facts(page));
}

// ── what the page consists of; parts without content hide ──

function build() {
  const box = (label) => el("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": label });
  page.insights = new Insights(showInsight);
  page.parts = {
    tiles: el("dl", { class: "tiles" }),
    tools: tools(),
    grid: el("div", { class: "charts" }),
    more: el("p", { class: "more" }),
    histogram: el("div", { class: "hist-place" }),
    provenance: el("div"),
    final: box("Final metrics"),
    params: box("Parameters"),
    tags: box("Tags"),
  };
  const { tiles: top, grid, more, histogram, final, params, tags, provenance: way } = page.parts;
  page.sections = {
    insights: section("insights", "Insights", page.insights.list),
    training: section("training", "Training", grid, more),
    others: section("metrics", "Other metrics"),
    distributions: section("distributions", "Weights and gradients", histogram),
    final: section("final", "Final metrics", final),
    params: section("params", "Parameters", params),
    tags: section("tags", "Tags", tags),
  };
  const { final: one, params: two, tags: three, ...rest } = page.sections;
  part("body").replaceChildren(top, ...Object.values(rest), el("div", { class: "two" }, one, two, three), section("provenance", "Provenance", way));
}

function tools() {
  page.byTime = choice("Horizontal axis", [["step", "Step"], ["time", "Time"]], "step", (value) => view.set({ time: value === "time" }));
  page.shownEpochs = el("span", { class: "epochs" });
  return el("div", { class: "tools" },
    choice("Vertical axis", [["linear", "Linear"], ["log", "Log"]], "linear", (value) => view.set({ log: value === "log" })),
    page.byTime, page.shownEpochs, el("span", { class: "muted hint" }, "drag to zoom, double-click to reset"));
}

function update() {
  const { history, parts, sections } = page;
  const unit = unitOf(history);
  parts.tiles.replaceChildren(...tiles(history));
  parts.tiles.hidden = !parts.tiles.childElementCount;
  sections.insights.hidden = !page.insights.update(history.insights, unit);
  page.byTime.firstChild.textContent = unit === "epoch" ? "Epoch" : "Step";
  page.byTime.hidden = !(history.more_metrics || hasTimes(history));
  showEpochs(unit);
  showCharts();
  showOthers();
  showHistogram();
  for (const [name, content] of Object.entries(tables(history))) {
    parts[name].replaceChildren(...(content ? [content] : []));
    sections[name].hidden = !content;
  }
  parts.provenance.replaceChildren(...provenance(page));
}

function showEpochs(unit) {
  const { history, shownEpochs: place } = page;
  const [shown, total] = [history.epochs.length, history.epochs_total];
  place.hidden = !total;
  place.replaceChildren(el("span", { class: "tabular" }, `${count(shown)} of ${count(total)} ${unit}s`));
  const unmarked = history.non_finite_total - history.non_finite.length;
  if (unmarked > 0) place.append(el("span", { class: "muted" }, `; ${count(unmarked)} more values are not finite`));
  if (shown === total) return;
  place.append(
    el("span", { class: "muted" }, "; bands hold the extremes between"),
    el("button", { type: "button", class: "button small", onclick: (event) => ((event.currentTarget.disabled = true), loadFull(true)) }, `All ${unit}s`),
  );
}

// Every epoch from now on. `asked`: the viewer wants it for the histograms and the other metrics too.
function loadFull(asked) {
  page.asked ||= asked;
  page.resolution = "full";
  again();
}

function showCharts() {
  const { history, parts, sections } = page;
  const specs = chartSpecs(history);
  const before = new Map(page.charts.map((chart) => [chart.spec.title, chart]));
  const shown = page.allMetrics ? specs : specs.slice(0, METRICS_SHOWN);
  page.charts = shown.map((spec) => before.get(spec.title) ?? new LineChart(spec, history, view));
  shown.forEach((spec, i) => {
    const chart = page.charts[i];
    if (before.delete(spec.title)) chart.update(history, spec);
    // What is in its place stays there: an element that moves loses the focus.
    if (parts.grid.children[i] !== chart.element) parts.grid.insertBefore(chart.element, parts.grid.children[i] ?? null);
  });
  for (const gone of before.values()) gone.remove();
  for (const chart of page.charts) chart.u ?? chart.redraw();
  sections.training.hidden = !shown.length;
  const host = shown.length ? sections.training : sections.others;
  if (parts.tools.parentElement !== host) host.firstChild.after(parts.tools);
  const left = specs.length - shown.length;
  const finite = allFinite(history) ? [el("span", { class: "muted" }, "Every weight and every gradient was finite in every epoch. ")] : [];
  parts.more.replaceChildren(...finite, ...(left ? [el("button", { type: "button", class: "button", onclick: showAllCharts }, `${count(left)} more charts`)] : []));
}

function showAllCharts() {
  page.allMetrics = true;
  showCharts();
}

// Metrics that have no place among the history's epochs. Most runs of ours have none, so what shows them comes when needed.
async function showOthers() {
  const { history, sections } = page;
  sections.others.hidden = !history.more_metrics;
  sections.others.querySelector("h2").textContent = sections.training.hidden ? "Metrics" : "Other metrics";
  if (!history.more_metrics) return;
  if (page.metrics) return void (await page.metrics).refresh();
  page.metrics = import("./metrics.js").then(({ MetricBrowser }) => {
    const browser = new MetricBrowser({ source, api: root.dataset.api, view, resolution: () => (page.asked ? "full" : "overview") });
    sections.others.append(browser.element);
    return browser;
  });
}

function showHistogram() {
  const { history, parts, sections } = page;
  sections.distributions.hidden = !history.histogram_available;
  if (!history.histogram_available) return;
  if (page.histogram) return page.histogram.load(history);
  page.histogram = new HistogramView(source, histogramAddress, history);
  parts.histogram.replaceChildren(page.histogram.element);
}

// ── insights lead to their epochs ──

async function showInsight(insight, go) {
  if (!insight) return view.set({ mark: null });
  const chart = (await chartOf(insight.metric)) ?? page.charts[0];
  view.set({ mark: { from: insight.epochs[0], to: insight.epochs.at(-1), axis: chart?.spec.axis ?? EPOCHS } });
  if (!go) return undefined;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  (chart?.element ?? page.sections.final).scrollIntoView({ block: "center", behavior });
  if (chart) chart.said.textContent = `Marked: ${insight.text}`;
  return chart?.plot.focus({ preventScroll: true });
}

async function chartOf(key) {
  const find = () => page.charts.find((chart) => chart.series.some((series) => series.key === key));
  if (!key || find()) return find();
  if (key in page.history.metrics) showAllCharts();
  return find() ?? (page.metrics && (await page.metrics).reveal(key));
}

addEventListener("themechange", () => view.set({}));
if (page.summary.state === "warm") source.ahead(histogramAddress("weights", "query"));
const again = follow(step);
