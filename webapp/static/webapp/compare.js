// The comparison: reads all its runs in one request, shows them in several ways, stays up to date while runs train.

import "./base.js";
import { keyAt } from "./charts/catalogue.js";
import { copyLink, helpButton, linkButton } from "./charts/tools.js";
import { VIEW_DEFAULTS } from "./charts/view.js";
import { viewKeys } from "./charts/view-keys.js";
import { pack, unpack } from "./compare/address.js";
import { Curves } from "./compare/curves.js";
import { Emphasis } from "./compare/emphasis.js";
import { saveCsv, saveJson } from "./compare/export.js";
import { fieldsOf, VALUES } from "./compare/fields.js";
import { Histograms } from "./compare/histograms.js";
import { ParallelCoordinates } from "./compare/parallel.js";
import { RunPicker } from "./compare/picker.js";
import { freeSlot, runsOf, slotsOf } from "./compare/runs.js";
import { Scatter } from "./compare/scatter.js";
import { Summaries } from "./compare/summaries.js";
import { ComparisonTable } from "./compare/table.js";
import { read } from "./page/documents.js";
import { el } from "./page/dom.js";
import { Guard } from "./page/failures.js";
import { follow, Source } from "./page/follow.js";
import { count } from "./page/format.js";
import { Permalink } from "./page/permalink.js";
import { shortcuts } from "./page/shortcuts.js";
import { retrying, toast } from "./page/toast.js";

const WAITING = { first: 1000, most: 10000 };
const LIVE = { first: 2000, most: 10000 };
const UNSETTLED = ["pending", "warming", "rebuilding", "unknown"];
const DEFAULTS = {
  ...VIEW_DEFAULTS,
  runs: "",
  slots: "",
  hidden: "",
  metrics: "",
  shared: "1",
  detail: "",
  differences: "0",
  layout: "",
  find: "",
  sort: "",
  value: "last",
  baseline: "",
  axes: "",
  kinds: "",
  brush: "",
  across: "",
  up: "",
  "across-kind": "",
  "up-kind": "",
  of: "",
  what: "weights",
  tower: "query",
  bins: "each",
  counts: "linear",
  epoch: "",
};

const root = document.getElementById("compare");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const permalink = new Permalink(DEFAULTS);
const source = new Source();
const emphasis = new Emphasis(root, keepHidden);
const ids = unpack(permalink.get("runs"));
const page = { slots: slotsOf(ids, permalink.get("slots")), documents: new Map(), runs: [], fields: [], parts: null };

const picker = new RunPicker(emphasis, Number(root.dataset.most), { add, remove });
const guard = new Guard("This comparison", part("body"));
const waiting = el("div", { class: "not-warm" });
const whole = () => `/api/compare?runs=${[...page.slots.keys()].join(",")}`;
const address = () => `${whole()}&first=${root.dataset.first}`; // as the page preloads it
const summaries = new Summaries(
  () => guard.run(show),
  (error) => toast(root, `Some metrics can't be read: ${error.message}`),
);
const chosen = unpack(permalink.get("hidden"));
for (const [id, slot] of page.slots) if (chosen.includes(String(slot))) emphasis.hidden.add(id);

async function step() {
  if (page.slots.size < 2) return { pause: null };
  const asked = address();
  try {
    const { changed, document } = await source.read(asked);
    if (asked !== address()) return { pause: LIVE, changed: true }; // other runs come next
    if (changed) {
      page.documents = new Map(document.runs.map((run) => [run.mlflow_run_id, run]));
      summaries.take(document);
      await guard.run(show);
    }
    toast(root, "");
    if (
      page.runs.some(({ history, told, row }) =>
        history ? !told || isPartial(history) : UNSETTLED.includes(row.state),
      )
    )
      return { pause: WAITING, changed };
    return { pause: page.runs.some(({ row }) => row.status === "RUNNING") ? LIVE : null, changed };
  } catch (error) {
    source.forget(asked); // the answer may have come and not been understood
    toast(root, retrying(error));
    return { pause: WAITING };
  }
}

const isPartial = (history) => Boolean(history?.pending_metrics);

// ── which runs ──

function add(id) {
  page.slots.set(id, freeSlot(page.slots));
  changed();
}

function remove(id) {
  page.slots.delete(id);
  emphasis.hidden.delete(id);
  changed();
  picker.adding.firstChild.focus();
}

function changed() {
  const [names, slots] = [[...page.slots.keys()], [...page.slots.values()]];
  permalink.set({ runs: names.join(","), slots: slots.every((slot, i) => slot === i) ? "" : slots.join(",") });
  keepHidden();
  guard.run(show);
  source.forget(address()); // what an earlier answer had is no longer here
  again(); // the index of their metrics is another
}

function keepHidden() {
  permalink.set({
    hidden: pack([...page.slots].filter(([id]) => emphasis.hidden.has(id)).map(([, slot]) => String(slot))),
  });
}

// ── what is shown of them ──

function show() {
  const { size } = page.slots;
  const title = size < 2 ? "Compare runs" : `Compare ${size} runs`;
  root.querySelector("h1").textContent = title;
  document.title = `${title} · Warmboard`;
  const known = [...page.slots.keys()].map(
    (id) =>
      page.documents.get(id) ?? {
        mlflow_run_id: id,
        state: size < 2 ? "" : "reading",
        expect: "",
        reason: "",
        summaries: null,
        history: null,
      },
  );
  page.runs = runsOf(known, page.slots);
  page.fields = fieldsOf(page.runs, compared(), summaries);
  summaries.want([keyAt("loss", "val")]); // for the best epoch
  if (size >= 2 && !page.documents.size) return undefined; // not read yet
  picker.update(page.runs);
  if (size < 2) return showChoose(size);
  return showAll();
}

// Which value of every metric.
function compared() {
  const value = permalink.get("value");
  return value in VALUES ? value : "last";
}

function showChoose(size) {
  page.parts = null;
  part("actions").replaceChildren(helpButton(help));
  part("body").replaceChildren(
    el(
      "section",
      { class: "notice" },
      el("p", { class: "eyebrow" }, size ? "One run is chosen" : "Nothing to compare yet"),
      el("h2", {}, size ? "Choose one more run" : "Choose two or more runs"),
      el(
        "p",
        {},
        "“Add a run” above searches names, experiments, the beginnings of run IDs, and conditions such as ",
        `param.optimizer = adam. Compare up to ${root.dataset.most} runs: curves, parameters, metrics, histograms.`,
      ),
      el("p", {}, el("a", { class: "button", href: "/" }, "All runs")),
    ),
  );
}

// One part per frame, so that the top is drawn while the rest is built.
async function showAll() {
  page.parts ?? build();
  const { runs, fields, parts } = page;
  showWaiting(runs);
  for (const one of Object.values(parts)) {
    one.update(runs, fields);
    await new Promise(requestAnimationFrame);
    if (page.runs !== runs || page.parts !== parts) return; // outdated
  }
}

function build() {
  const parts = {
    curves: new Curves(permalink, emphasis, source, summaries),
    table: new ComparisonTable(permalink, emphasis, summaries, () => guard.run(show)),
    parallel: new ParallelCoordinates(permalink, emphasis, summaries),
    scatter: new Scatter(permalink, emphasis, summaries),
    histograms: new Histograms(permalink, emphasis, source),
  };
  page.parts = parts;
  part("body").replaceChildren(waiting, ...Object.values(parts).map(({ section }) => section));
  const file = (text, save) => {
    const press = () => save().catch((error) => toast(root, `The file can't be made: ${error.message}`));
    return el("button", { type: "button", class: "button", onclick: press }, text);
  };
  page.link = linkButton(permalink);
  part("actions").replaceChildren(
    page.link,
    file("CSV", async () => {
      const { runs, told } = await everything();
      saveCsv(runs, fieldsOf(runs, compared(), told));
    }),
    file("JSON", async () => saveJson((await everything()).runs)),
    helpButton(help),
  );
}

// The runs with the numbers of all metrics, for files: {runs, told: their Summaries}.
async function everything() {
  if (summaries.whole) return { runs: page.runs, told: summaries };
  const document = await read(whole());
  const told = new Summaries();
  told.take({ ...document, metrics: [...summaries.index.values()], metrics_total: summaries.total });
  return { runs: runsOf(document.runs, page.slots), told };
}

// Runs without charts, each with the reason and what to expect; those whose numbers are not known yet; and those with
// metrics that are still being fetched.
function showWaiting(runs) {
  const cold = runs.filter(({ history }) => !history);
  const untold = runs.filter(({ history, told }) => history && !told);
  const partial = runs.filter(({ history }) => isPartial(history));
  waiting.hidden = !cold.length && !untold.length && !partial.length;
  const warm = runs.length - cold.length;
  const title = warm
    ? `${count(cold.length)} of ${count(runs.length)} runs ${cold.length === 1 ? "is" : "are"} not warm`
    : "None of these runs is warm yet";
  const reasons = ({ row }) => [
    el("span", { class: "muted" }, row.expect || "Reading…"),
    row.reason && el("pre", { class: "reason" }, row.reason),
  ];
  const rebuilt = () => el("span", { class: "muted" }, "An earlier version has warmed it.");
  const missing = ({ history }) => el("span", { class: "muted" }, `${count(history.pending_metrics)} more metrics.`);
  waiting.replaceChildren(
    ...(cold.length ? [notice(title, cold, reasons, "They will appear here once they are warm.")] : []),
    ...(untold.length
      ? [
          notice(
            `The numbers of ${count(untold.length)} of ${count(runs.length)} runs are being rebuilt`,
            untold,
            rebuilt,
            "Their curves are here; their metrics will be in the table once a worker has counted all points.",
          ),
        ]
      : []),
    ...(partial.length
      ? [
          notice(
            `${count(partial.length)} of ${count(runs.length)} runs: only the first charts so far`,
            partial,
            missing,
            "The other metrics will appear here as soon as they are fetched.",
          ),
        ]
      : []),
  );
}

const notice = (title, runs, about, outlook) =>
  el(
    "section",
    { class: "notice small" },
    el("h2", {}, title),
    el(
      "ul",
      {},
      runs.map((run) =>
        el("li", { "data-state": run.row.state }, el("a", { href: `/runs/${run.id}/` }, run.label), about(run)),
      ),
    ),
    el("p", { class: "muted", role: "status" }, outlook),
  );

const help = shortcuts([
  ...viewKeys(() => page.parts?.curves.view, ["step", "relative"], "Steps or elapsed time"),
  ["d", "Only differences in the table, or everything", () => page.parts?.table.only.click()],
  ["c", "Copy the link to this view", () => page.parts && copyLink(page.link, permalink)],
]);

part("runs").replaceChildren(picker.element);
picker.adding.open = page.slots.size < 2;
guard.run(show);
const again = follow(step);
