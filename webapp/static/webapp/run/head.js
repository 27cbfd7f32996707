// The top of a run's page (state, facts, main figures) and its tables of single values.

import { SYSTEM, unitOf } from "../charts/specs.js";
import { copyButton, el, table } from "../page/dom.js";
import { ago, byName, count, duration, exact, number, seconds, time } from "../page/format.js";

const TILES_AT_MOST = 5;
const LONG_VALUE = 60;
const FILES = [
  ["csv", "CSV"],
  ["json", "JSON"],
  ["parquet", "Parquet"],
];
const OWN_TAG = /^mlflow\./; // MLflow's own tags; the page shows what matters of them elsewhere

export function badges({ history, summary }) {
  const status = history.status.toLowerCase();
  const passed = summary.timings.publish_to_warm_seconds;
  const warm = passed === null ? "warm" : `warm ${duration(passed)} after publish`;
  return [
    el("span", { class: `status status-${status}` }, history.status === "RUNNING" ? "running, live" : status),
    el("a", { class: "state state-warm", href: "#provenance" }, warm),
  ];
}

export function facts({ history, summary }) {
  const id = history.mlflow_run_id;
  const took = seconds(history.start_time, history.end_time);
  const steps = history.epochs_total;
  return [
    (steps > 0 || history.status === "RUNNING") &&
      el("span", {}, `${count(steps)} ${steps ? unitOf(history) : "epoch"}${steps === 1 ? "" : "s"}`),
    took === null ? null : el("span", {}, `trained ${duration(took)}`),
    history.start_time &&
      el(
        "span",
        {
          onpointerenter: ({ currentTarget }) => {
            currentTarget.title = time(history.start_time);
          },
        },
        `started ${ago(history.start_time)}`,
      ),
    ...(summary.quick_test_ids ?? []).map((test) => el("span", {}, `quick test ${test}`)),
    el("span", {}, "run ", el("code", {}, id), copyButton(id)),
    el(
      "span",
      {},
      "export ",
      FILES.flatMap(([suffix, name], i) => [
        i ? ", " : "",
        el("a", { href: `/api/runs/${id}/export.${suffix}`, download: "" }, name),
      ]),
    ),
  ].filter(Boolean);
}

export function tiles(history) {
  const catalogued = unitOf(history) === "epoch" ? catalogueTiles(history) : [];
  const known = catalogued.length ? catalogued : otherTiles(history);
  // A run that has just begun has placeholders.
  const shown =
    known.length || history.status !== "RUNNING"
      ? known
      : [
          ["best validation loss", null, "epoch –"],
          ["last validation loss", null, "epoch –"],
        ];
  return shown.map(([name, value, where]) =>
    el(
      "div",
      { class: "tile" },
      el("dt", { title: name }, name),
      el("dd", {}, el("b", { class: "tabular" }, number(value)), el("span", { class: "muted" }, where)),
    ),
  );
}

function catalogueTiles({ best_epoch: best, epochs, loss, final_metrics: final }) {
  // A run without validation is judged by its training loss.
  const [judged, curve] = loss.val.some((value) => value !== null)
    ? ["validation", loss.val]
    : ["training", loss.train];
  const wanted = best === null ? [] : [[`best ${judged} loss`, curve[epochs.indexOf(best)], `epoch ${best}`]];
  wanted.push([`last ${judged} loss`, curve.at(-1), `epoch ${epochs.at(-1)}`]);
  for (const at of [10, 100]) wanted.push([`recall@${at}`, final[`test_recall_at_${at}`], "test"]);
  wanted.push(["test loss", final.test_loss, "test"]);
  return wanted.filter(([, value]) => (value ?? null) !== null);
}

// For runs of other kinds: single values, then the last values of curves; system metrics come last.
function otherTiles({ epochs, metrics, final_metrics: finals }) {
  const single = Object.entries(finals)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name, value, ""]);
  const ends = Object.entries(metrics).map(([name, values]) => {
    const at = values.findLastIndex((value) => value !== null);
    return [name, values[at], `step ${epochs[at]}`];
  });
  const known = [...single, ...ends.filter(([, value]) => value !== undefined)];
  return [...known.filter(([name]) => !SYSTEM.test(name)), ...known.filter(([name]) => SYSTEM.test(name))].slice(
    0,
    TILES_AT_MOST,
  );
}

const ownTags = (tags) => Object.entries(tags ?? {}).filter(([name]) => !OWN_TAG.test(name));

export const hasTables = ({ final_metrics, params, tags }) =>
  [final_metrics ?? {}, params ?? {}].some((values) => Object.keys(values).length) || ownTags(tags).length > 0;

// {final, params, tags}: a table each, or null.
export function tables({ final_metrics, params, tags }) {
  const byNames = (pairs) => pairs.sort(([a], [b]) => byName(a, b));
  const sorted = (values) => byNames(Object.entries(values ?? {}));
  const pairs = (caption, name, rows) => (rows.length ? table(caption, [name, "value"], rows, "pairs") : null);
  const finals = sorted(final_metrics).map(([name, value]) => [name, value === null ? "not finite" : exact(value)]);
  const own = byNames(ownTags(tags));
  return {
    final: pairs("Final metrics", "metric", finals),
    params: pairs(
      "Parameters",
      "parameter",
      sorted(params).map(([name, value]) => [name, folded(value)]),
    ),
    tags: pairs(
      "Tags",
      "tag",
      own.map(([name, value]) => [name, folded(value)]),
    ),
  };
}

// A long value, such as 26 edges, takes one line and unfolds on focus.
function folded(value) {
  return value.length <= LONG_VALUE
    ? value
    : el("span", { class: "long", tabindex: "0", title: "Select to read all of it" }, value);
}
