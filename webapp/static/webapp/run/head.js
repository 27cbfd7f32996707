// The top of a run's page (state, facts, main figures) and its tables of single values.

import { stepsOf, unitOf } from "../charts/specs.js";
import { direction } from "../compare/direction.js";
import { copyButton, el, table } from "../page/dom.js";
import { ago, byName, count, duration, exact, number, seconds, time } from "../page/format.js";
import { folded, givenTags, mlflowLink, runLink, tagTable } from "./about.js";

const TILES_AT_MOST = 5;
const QUIET_MS = 600_000; // as QUIET in webapp/run/words.py
const VALIDATION = /(^|[^a-z0-9])(val|valid|validation|eval|dev)([^a-z0-9]|$)/i;
const FILES = [
  ["csv", "CSV"],
  ["json", "JSON"],
  ["parquet", "Parquet"],
];

export function badges({ history, summary }) {
  const status = history.status.toLowerCase();
  const { announced, publish_to_warm_seconds: passed } = summary.timings;
  const since = announced === false ? "it was found" : "publish";
  const warm = passed === null ? "warm" : `warm ${duration(passed)} after ${since}`;
  return [
    el("span", { class: `status status-${status}` }, history.status === "RUNNING" ? running(summary) : status),
    summary.deleted_at && el("span", { class: "status status-failed", title: "Deleted in MLflow" }, "deleted"),
    history.pending_metrics && el("span", { class: "state" }, "first charts"),
    !history.pending_metrics && el("a", { class: "state state-warm", href: "#provenance" }, warm),
  ].filter(Boolean);
}

// A run may be marked RUNNING long after its program has ended.
function running({ newest_at: newest }) {
  const quiet = newest && Date.now() - Date.parse(newest) > QUIET_MS;
  return quiet ? `running, last value ${ago(newest)}` : "running, live";
}

export function facts(page) {
  const { history, told, summary } = page;
  const id = history.mlflow_run_id;
  const { parent, children_total: children } = summary;
  const took = seconds(history.start_time, history.end_time);
  const steps = stepsOf(history, told);
  return [
    (steps > 0 || history.status === "RUNNING") &&
      el("span", {}, `${count(steps)} ${unitOf(history)}${steps === 1 ? "" : "s"}`),
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
    parent && el("span", {}, "nested in ", runLink(parent)),
    children > 0 && el("a", { href: "#about" }, `${count(children)} nested ${children === 1 ? "run" : "runs"}`),
    el("span", {}, "run ", el("code", {}, id), copyButton(id)),
    mlflowLink(page),
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

export function tiles(history, told) {
  const catalogued = unitOf(history) === "epoch" ? catalogueTiles(told.metrics) : [];
  const known = catalogued.length
    ? [...catalogued, ...scoreTiles(history, told)].slice(0, TILES_AT_MOST)
    : otherTiles(history, told);
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
      el(
        "dd",
        {},
        el("b", { class: "tabular", title: exact(value) }, number(value)),
        el("span", { class: "muted" }, where),
      ),
    ),
  );
}

function catalogueTiles(metrics) {
  // A run without validation is judged by its training loss.
  const [judged, summary] = metrics.val_loss?.min ? ["validation", metrics.val_loss] : ["training", metrics.loss];
  if (!summary || summary.count < 2) return [];
  const { min, last } = summary;
  const wanted = min ? [[`best ${judged} loss`, min.value, `epoch ${min.step}`]] : [];
  wanted.push([`last ${judged} loss`, last.value, `epoch ${last.step}`]);
  for (const at of [10, 100]) wanted.push([`recall@${at}`, metrics[`test_recall_at_${at}`]?.last.value, "test"]);
  wanted.push(["test loss", metrics.test_loss?.last.value, "test"]);
  return wanted.filter(([, value]) => value !== undefined);
}

// The best and the last of the leading score.
function scoreTiles({ unit }, { metrics, charts }) {
  const score = charts.find(({ section, metrics: [key] }) => section === "training" && direction(key) && !isLoss(key));
  return score ? tilesOf(score.metrics, metrics, unit) : [];
}

// For runs of other kinds: the leading loss and the leading score, then what else is judged, then single values.
function otherTiles({ unit }, { metrics, charts }) {
  const main = charts.filter(({ section, metrics: [key] }) => section === "training" && direction(key));
  const score = main.find(({ metrics: [key] }) => !isLoss(key));
  const leading = [main[0], score, ...main].filter(Boolean);
  const curves = [...new Set(leading)].flatMap(({ metrics: keys }) => tilesOf(keys, metrics, unit));
  const drawn = new Set(charts.flatMap(({ metrics: keys }) => keys));
  const single = Object.keys(metrics).filter((key) => !drawn.has(key) && metrics[key].count === 1);
  const ordered = single.sort((a, b) => Boolean(direction(b)) - Boolean(direction(a)) || byName(a, b));
  const singles = ordered.map((key) => [key, metrics[key].last.value, ""]);
  const known = [...curves, ...singles];
  if (known.length) return known.slice(0, TILES_AT_MOST);
  return charts
    .filter(({ section }) => section !== "system")
    .slice(0, TILES_AT_MOST)
    .map(({ metrics: [key] }) => [key, metrics[key].last.value, placeOf(unit, metrics[key], metrics[key].last)]);
}

// The best and the last value of a chart's validation, or of its only side, and the last of training.
function tilesOf(keys, metrics, unit) {
  const judged = keys.find((key) => VALIDATION.test(key)) ?? keys[0];
  return [judged, ...keys.filter((key) => key !== judged).slice(0, 1)].flatMap((key) => {
    const { min, max, last } = metrics[key];
    const best = direction(key) < 0 ? min : max;
    const at = (point) => placeOf(unit, metrics[key], point);
    return [
      ...(key === judged && best ? [[`best ${key}`, best.value, at(best)]] : []),
      [`last ${key}`, last.value, at(last)],
    ];
  });
}

// Nothing for one of several points of one step.
const placeOf = (unit, { count: many, first, last }, { step }) =>
  many > 1 && first.step === last.step ? "" : `${unit} ${step}`;

const isLoss = (key) => /loss/i.test(key);

export const hasTables = ({ final_metrics, params, tags }) =>
  [final_metrics ?? {}, params ?? {}].some((values) => Object.keys(values).length) || givenTags(tags).length > 0;

// {final, params, tags}: a table each, or null.
export function tables({ history: { final_metrics, params, tags }, told, about }) {
  const byNames = (pairs) => pairs.sort(([a], [b]) => byName(a, b));
  const sorted = (values) => byNames(Object.entries(values ?? {}));
  const pairs = (caption, name, rows) => (rows.length ? table(caption, [name, "value"], rows, "pairs") : null);
  const finals = sorted(final_metrics).map(([name, value]) => [name, exact(told.metrics[name]?.last.value ?? value)]);
  return {
    final: pairs("Final metrics", "metric", finals),
    params: pairs(
      "Parameters",
      "parameter",
      sorted(params).map(([name, value]) => [name, folded(value)]),
    ),
    // The history has no long tags.
    tags: tagTable("Tags", givenTags(about?.tags ?? tags), about?.cut),
  };
}
