// A run's page: shows the API's documents, waits while the run is not warm, stays up to date while it trains.

import "./base.js";
import { HISTOGRAM_DEFAULTS, pairsOf } from "./charts/specs.js";
import { copyLink } from "./charts/tools.js";
import { VIEW_DEFAULTS, View } from "./charts/view.js";
import { viewKeys } from "./charts/view-keys.js";
import { byName, documentOf, parsed } from "./page/documents.js";
import { Guard } from "./page/failures.js";
import { follow, Source } from "./page/follow.js";
import { Permalink } from "./page/permalink.js";
import { shortcuts } from "./page/shortcuts.js";
import { retrying, toast } from "./page/toast.js";
import { RunBody } from "./run/body.js";
import { badges, facts } from "./run/head.js";

const WAITING = { first: 1000, most: 10000 };
const LIVE = { first: 2000, most: 10000 };
const SOON = 50; // ms
const LIVE_FULL_UP_TO = 2000; // epochs; of a longer run in progress a zoom does not read every epoch again and again

const UNTOLD = {
  metrics: byName([]),
  charts: [],
  chunk_of: byName([]),
  replaced: byName([]),
};

const root = document.getElementById("run");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const source = new Source();
const permalink = new Permalink({
  ...VIEW_DEFAULTS,
  ...HISTOGRAM_DEFAULTS,
  resolution: "overview",
  search: "",
  groups: "",
  insight: "",
});
const page = {
  source,
  permalink,
  view: new View(permalink),
  api: root.dataset.api,
  resolution: root.dataset.resolution,
  asked: permalink.get("resolution") === "full", // every epoch, also of histograms and other metrics
  summary: parsed(document.getElementById("summary").textContent),
  history: null,
  told: UNTOLD,
  about: null,
  mlflow: root.dataset.mlflow,
  historyAddress: (resolution = page.resolution) => `${page.api}training-history/?resolution=${resolution}`,
  histogramAddress,
  loadFull,
  showHelp: () => help(),
};
const toldAddress = `${page.api}summaries/`;
const aboutAddress = `${page.api}about/`;
let body = null;
const guard = new Guard("This run", part("body"));
const firstChunk = `${page.api}metrics/0/?resolution=overview`;
let ahead = []; // promises of histograms; drawing them together with the curves is faster

function histogramAddress(type, tower, wanted = null) {
  const full =
    page.asked || (page.history?.epochs_total ?? page.summary.epochs) <= Number(root.dataset.histogramFullUpTo);
  return `${page.api}histogram-data/?type=${type}&tower=${tower}&resolution=${wanted ?? (full ? "full" : "overview")}`;
}

// Takes the document that the page carries for this address, null without one. It is only for the first view: later it
// would be stale.
function take(address) {
  const carried = document.querySelector(`script[data-address="${address}"]`);
  if (!carried) return null;
  const content = parsed(carried.textContent);
  source.give(address, content, carried.dataset.etag);
  return content;
}

async function step() {
  const address = page.historyAddress();
  try {
    const { changed, document } = await source.read(address);
    await Promise.race([Promise.allSettled(ahead), new Promise((resolve) => setTimeout(resolve, SOON))]);
    if (address !== page.historyAddress()) return { pause: null }; // another resolution comes next
    if (changed && document.available) await Promise.all([readTold(), readAbout()]);
    if (changed) await guard.run(() => show(document));
    toast(root, "");
    if (!page.history) return { pause: WAITING };
    if (page.history.pending_metrics) {
      if (!changed) await readSummary(); // the fetch of the other metrics may have failed
      body.showPending();
      return { pause: WAITING, changed };
    }
    return { pause: page.history.status === "RUNNING" ? LIVE : null, changed };
  } catch (error) {
    toast(root, retrying(error));
    return { pause: WAITING };
  }
}

async function show(document) {
  if (!document.available) return fill((await import("./run/waiting.js")).waiting(document));
  if (!page.summary.mlflow_run_id) return location.replace(`/runs/${document.mlflow_run_id}/`);
  if (page.history || page.summary.state !== "warm") await readSummary();
  page.history = document;
  part("experiment").textContent = document.experiment_name;
  root.querySelector("h1").textContent = document.run_name || document.mlflow_run_id;
  fill({ badges: badges(page), facts: facts(page) });
  body ??= new RunBody(page, part("body"));
  body.update();
  if (document.resolution === "overview" && (page.asked || document.epochs_total <= Number(root.dataset.fullUpTo)))
    loadFull(page.asked);
  return undefined;
}

async function readTold() {
  const { changed, document } = await source.read(toldAddress);
  if (changed) page.told = document.available ? document : UNTOLD;
}

async function readAbout() {
  const { changed, document } = await source.read(aboutAddress);
  if (changed) page.about = document.available ? document : null;
}

function fill(parts) {
  for (const [name, content] of Object.entries(parts)) part(name).replaceChildren(...content);
}

async function readSummary() {
  const response = await fetch(page.api, { cache: "no-store" });
  if (response.ok) page.summary = await documentOf(response);
}

// Reads every epoch from now on; if `asked`, also of histograms and other metrics.
function loadFull(asked = false) {
  if (asked) permalink.set({ resolution: "full" });
  else if (page.history.status === "RUNNING" && page.history.epochs_total > LIVE_FULL_UP_TO) return undefined;
  if (page.resolution === "full" && page.asked === (page.asked || asked)) return undefined;
  page.asked ||= asked;
  if (page.resolution === "full") return body.update(); // the curves are there
  page.resolution = "full";
  return again();
}

// ── keys ──

const { view } = page;
const help = shortcuts(
  [
    ["1", "Go to the first section; 2, 3, … to the others", () => body?.nav.go(0)],
    ...viewKeys(() => view, ["step", "time", "relative"], "Steps, clock or elapsed time"),
    ["h", "Ridgeline, heatmap or quantiles", () => body?.histogram?.showNext()],
    ["p", "Play or pause the epochs", () => body?.histogram?.player.toggle()],
    ["/", "Search the other metrics", () => body?.focusSearch()],
    ["c", "Copy the link to this view", () => body && copyLink(body.link, permalink)],
  ],
  (key) => /^[2-9]$/.test(key) && body?.nav.go(Number(key) - 1),
);

addEventListener("themechange", () => view.set({}));
if (page.summary.state === "warm") {
  const histograms = pairsOf(permalink.get("what"), permalink.get("tower")).map((pair) => histogramAddress(...pair));
  const history = take(page.historyAddress());
  const told = take(toldAddress);
  take(aboutAddress);
  // A chunk that is read later would be stale.
  const main = told?.charts.filter(({ section }) => section === "training") ?? [];
  if (main.some(({ metrics }) => metrics.some((key) => told.chunk_of[key] === 0))) take(firstChunk);
  histograms.forEach(take);
  if (history?.histogram_available !== false) ahead = histograms.map((address) => source.ahead(address));
}
const again = follow(step);
