// One run's page: shows what the API answers, waits while the run is not warm, follows along while it trains.

import { allFinite, chartSpecs, LineChart } from "./charts.js";
import { choice, copyButton, el, table } from "./dom.js";
import { follow, Source } from "./follow.js";
import { ago, count, duration, exact, number, seconds, time } from "./format.js";
import { HistogramView } from "./histogram.js";

const WAITING = { first: 1000, most: 10000 };
const LIVE = { first: 2000, most: 10000 };
const HISTOGRAM_FULL_UP_TO = 100;
const METRICS_SHOWN = 12;
const LONG_VALUE = 60;
const STATES = { pending: "Waiting for a worker", warming: "Warming now", failed: "Warming failed", unknown: "Not announced yet" };

const root = document.getElementById("run");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const source = new Source();
const page = {
  resolution: root.dataset.resolution,
  summary: JSON.parse(document.getElementById("summary").textContent),
  history: null,
  log: false,
  charts: [],
  histogram: null,
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
  else update();
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

// ── not warm ──

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

// ── head ──

function showHead() {
  const { history, summary } = page;
  const status = history.status.toLowerCase();
  const passed = summary.timings.publish_to_warm_seconds;
  const warm = passed === null ? "warm" : `warm ${duration(passed)} after publish`;
  const id = history.mlflow_run_id;
  part("experiment").textContent = history.experiment_name;
  root.querySelector("h1").textContent = history.run_name || id;
  part("badges").replaceChildren(
    el("span", { class: `status status-${status}` }, history.status === "RUNNING" ? "running, live" : status),
    el("a", { class: "state state-warm", href: "#provenance" }, warm),
  );
  const took = seconds(history.start_time, history.end_time);
  part("facts").replaceChildren(
    el("span", {}, `${count(history.epochs_total)} epochs`),
    took === null ? "" : el("span", {}, `trained ${duration(took)}`),
    history.start_time ? el("span", { title: time(history.start_time) }, `started ${ago(history.start_time)}`) : "",
    ...(summary.quick_test_ids ?? []).map((test) => el("span", {}, `quick test ${test}`)),
    el("span", {}, "run ", el("code", {}, id), copyButton(id)),
  );
}

function tiles() {
  const { best_epoch: best, epochs, loss, final_metrics: final } = page.history;
  // A run without any validation is judged by its training loss.
  const [judged, curve] = loss.val.some((value) => value !== null) ? ["validation", loss.val] : ["training", loss.train];
  const wanted = best === null ? [] : [[`best ${judged} loss`, curve[epochs.indexOf(best)], `epoch ${best}`]];
  wanted.push([`last ${judged} loss`, curve.at(-1), `epoch ${epochs.at(-1)}`]);
  for (const at of [10, 100]) wanted.push([`recall@${at}`, final[`test_recall_at_${at}`], "test"]);
  wanted.push(["test loss", final.test_loss, "test"]);
  const shown = wanted.filter(([, value]) => (value ?? null) !== null);
  return shown.map(([name, value, where]) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, el("b", { class: "tabular" }, number(value)), el("span", { class: "muted" }, where))));
}

// ── charts ──

function build() {
  page.parts = {
    tiles: el("dl", { class: "tiles" }),
    epochs: el("span", { class: "epochs" }),
    grid: el("div", { class: "charts" }),
    more: el("p", { class: "more" }),
    histogram: el("div", { class: "hist-place" }),
    provenance: el("div"),
    metrics: el("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Final metrics" }),
    params: el("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Parameters" }),
  };
  const { tiles: top, epochs, grid, more, histogram, provenance, metrics, params } = page.parts;
  const scale = choice("Vertical axis", [["linear", "Linear"], ["log", "Log"]], "linear", (value) => {
    page.log = value === "log";
    for (const chart of page.charts) chart.setLog(page.log);
  });
  const section = (id, title, ...content) => el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), ...content);
  const hint = el("span", { class: "muted hint" }, "drag to zoom, double-click to reset");
  part("body").replaceChildren(
    top,
    section("training", "Training", el("div", { class: "tools" }, scale, epochs, hint), grid, more),
    section("distributions", "Weights and gradients", histogram),
    el("div", { class: "two" }, section("final", "Final metrics", metrics), section("params", "Parameters", params)),
    section("provenance", "Provenance", provenance),
  );
  update();
}

function update() {
  const { history, parts } = page;
  parts.tiles.replaceChildren(...tiles());
  showEpochs();
  showCharts();
  showHistogram();
  const finals = Object.entries(history.final_metrics).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
  parts.metrics.replaceChildren(table("Final metrics", ["metric", "value"], finals.map(([name, value]) => [name, value === null ? "not finite" : exact(value)]), "pairs"));
  const params = Object.entries(history.params).sort(([a], [b]) => a.localeCompare(b)).map(([name, value]) => [name, folded(value)]);
  parts.params.replaceChildren(table("Parameters", ["parameter", "value"], params, "pairs"));
  showProvenance();
}

// A long value, such as 26 edges, in one line that unfolds while it has the focus.
function folded(value) {
  return value.length <= LONG_VALUE ? value : el("span", { class: "long", tabindex: "0", title: "Select to read all of it" }, value);
}

function showEpochs() {
  const { history, parts } = page;
  const shown = history.epochs.length;
  const all = shown === history.epochs_total;
  const text = el("span", { class: "tabular" }, `${count(shown)} of ${count(history.epochs_total)} epochs`);
  parts.epochs.replaceChildren(text);
  const unmarked = history.non_finite_total - history.non_finite.length;
  if (unmarked > 0) parts.epochs.append(el("span", { class: "muted" }, `; ${count(unmarked)} more values are not finite`));
  if (all) return;
  parts.epochs.append(
    el("span", { class: "muted" }, "; bands hold the extremes between"),
    el("button", { type: "button", class: "button small", onclick: (event) => ((event.currentTarget.disabled = true), loadFull(true)) }, "All epochs"),
  );
}

// Every epoch from now on. `asked`: the viewer wants it for the histograms too.
function loadFull(asked) {
  page.asked ||= asked;
  page.resolution = "full";
  again();
}

function showCharts() {
  const { history, parts } = page;
  const specs = chartSpecs(history);
  const missing = specs.filter((spec) => !page.charts.some((chart) => chart.spec.title === spec.title));
  for (const chart of page.charts) chart.update(history);
  const room = page.allMetrics ? missing.length : Math.max(0, METRICS_SHOWN - page.charts.length);
  const added = missing.slice(0, room).map((spec) => new LineChart(spec, history, page.log));
  page.charts.push(...added);
  parts.grid.append(...added.map((chart) => chart.element));
  for (const chart of added) chart.redraw();
  const left = missing.length - Math.min(room, missing.length);
  const finite = allFinite(history) ? [el("span", { class: "muted" }, "Every weight and every gradient was finite in every epoch. ")] : [];
  parts.more.replaceChildren(...finite, ...(left ? [el("button", { type: "button", class: "button", onclick: () => ((page.allMetrics = true), showCharts()) }, `${count(left)} more charts`)] : []));
}

function showHistogram() {
  const { history, parts } = page;
  if (!history.histogram_available) {
    parts.histogram.replaceChildren(el("p", { class: "notice small" }, "This run has logged no histograms."));
  } else if (page.histogram) {
    page.histogram.load(history);
  } else {
    page.histogram = new HistogramView(source, histogramAddress, history);
    parts.histogram.replaceChildren(page.histogram.element);
  }
}

// ── provenance ──

function showProvenance() {
  const { timings, attempts, reason, events = [], tracking_server: server } = page.summary;
  const stages = [["event", timings.event_time], ["published", timings.published_at], ["received", timings.received_at], ["warm", timings.warmed_at]];
  const strip = stages.map(([name, at], i) => {
    const passed = i ? seconds(stages[i - 1][1], at) : null;
    return el("li", {}, el("span", { class: "gap tabular" }, passed === null ? "" : `+ ${duration(Math.max(passed, 0))}`), el("b", {}, name), el("time", { class: "muted tabular", datetime: at ?? "" }, time(at)));
  });
  const total = timings.publish_to_warm_seconds;
  const facts = [
    ["publish to warm", duration(total)],
    ["attempts", String(attempts ?? 0)],
    ["tracking server", server ?? "–"],
    ["data as of", time(page.history.cached_at)],
  ];
  const rows = events.map((event) => [event.type || "unreadable", event.state, time(event.published_at), String(event.attempts), event.reason]);
  page.parts.provenance.replaceChildren(
    el("ol", { class: "strip" }, strip),
    el("dl", { class: "statistics" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { class: "tabular" }, value)))),
    reason ? el("pre", { class: "reason" }, reason) : "",
    el("details", {}, el("summary", {}, `Events (${events.length})`), el("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Events" }, table("Events", ["type", "state", "published", "attempts", "reason"], rows))),
  );
}

addEventListener("themechange", () => page.charts.forEach((chart) => chart.redraw()));
if (page.summary.state === "warm") source.ahead(histogramAddress("weights", "query"));
const again = follow(step);
