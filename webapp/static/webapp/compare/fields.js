// The fields that runs are compared by: parameters, one value of every metric, and facts of the run. Numbers are those
// of the summaries, with MLflow's own digits.

import { isStatistic, keyAt } from "../charts/catalogue.js";
import { stepsOf, unitOf } from "../charts/specs.js";
import { apart, byName, seconds } from "../page/format.js";
import { direction } from "./direction.js";
import { SYSTEM, sectionOf, summaryOf } from "./metrics.js";
import { kindsOf } from "./scale.js";

export const GROUPS = { param: "Parameters", metric: "Metrics", run: "Run" };
// Which value of a metric is compared. The best is the min or the max, or the last where neither is known to be better.
export const VALUES = { last: "Last", best: "Best", min: "Min", max: "Max", first: "First" };
const SHORT_ENOUGH = 40; // characters of a value that an axis can show
const [PARAMETERS_AT_FIRST, METRICS_AT_FIRST] = [5, 3];
const TELLING = ["final_", "test_", "best_"]; // prefixes of metrics, the most telling last
const BEST = { "-1": "min", 0: "last", 1: "max" };
const WHOLE = /^[+-]?[0-9]+$/;

// A run counts epochs, steps or points; there is no number for all of them.
const FACTS = {
  status: ({ row }) => row.status?.toLowerCase(),
  epochs: (run) => (run.history ? counted(run, "epoch") : run.row.epochs),
  best_epoch: (run) => bestIn(run, "epoch"),
  steps: (run) => counted(run, "step"),
  best_step: (run) => bestIn(run, "step"),
  points: (run) => counted(run, "point"),
  seconds: ({ row }) => seconds(row.start_time, row.end_time),
  experiment: ({ row }) => row.experiment_name,
};

// `which` is one of VALUES, `summaries` the runs' Summaries. A field is {id, column, group, key, name, direction,
// numeric, varies, aside, known, values, raw, text(id)}. A metric's numbers may not be `known` yet. `values` is
// run ID → number, text or null; a metric's number may be NaN or infinite. `raw` has parameters as they were logged.
// `text(id)` is for people: different values of a field have different texts. `column` is its name in a file, and
// `name` that on the page; both say which value, unless it is the last. A metric of the machine is `aside`.
export function fieldsOf(runs, which, summaries) {
  const params = new Map(runs.map(({ id, row }) => [id, mapOf(row.params)]));
  const metrics = new Map(runs.map((run) => [run.id, metricsOf(run, which)]));
  const keysOf = (maps, more = []) =>
    [...new Set([...maps.values()].flatMap((map) => [...map.keys()]).concat(more))].sort(byName);
  const { index } = summaries;
  // The runs may differ in what is not known yet: the index tells.
  const indexed = (one) => {
    const known = summaries.has(one.key);
    const varies = known ? one.varies : index.get(one.key).differ.includes(memberOf(one.key, which));
    return { ...one, known, varies, aside: sectionOf(index, one.key) === SYSTEM };
  };
  const told = (one) => {
    const said = memberOf(one.key, which) === "last" ? "last" : which;
    return said === "last" ? one : { ...one, column: `${one.id}.${said}`, name: `${one.key} (${said})` };
  };
  const each = (group, keys, maps) => keys.map((key) => field(group, key, runs, ({ id }) => maps.get(id).get(key)));
  return [
    ...each("param", keysOf(params), params),
    ...each("metric", mainFirst(keysOf(metrics, [...index.keys()]), index), metrics).map((one) => told(indexed(one))),
    ...Object.entries(FACTS).map(([key, read]) => field("run", key, runs, read)),
  ].filter(({ known, values }) => !known || [...values.values()].some((value) => value !== null));
}

// One value of every metric; with the last ones, the best validation loss. While the summaries are being rebuilt, what
// the run's row has: metrics with a single value.
function metricsOf({ row, told }, which) {
  if (!told) return new Map(Object.entries(row.final_metrics ?? {}));
  const values = new Map();
  for (const [key, summary] of Object.entries(told.metrics)) {
    const point = summary[memberOf(key, which)];
    if (point) values.set(key, Number(point.value)); // no finite value, no min
  }
  if (which !== "last") return values;
  const best = told.metrics[keyAt("loss", "val")]?.min;
  if (best && !values.has("best_val_loss")) values.set("best_val_loss", best.value);
  return values;
}

// The member of a summary: the best is one of two, or the last where neither is known to be better.
const memberOf = (key, which) => (which === "best" ? BEST[direction(key)] : which);

// Main metrics, then statistics and others, then those of the machine.
function mainFirst(keys, index) {
  const place = (key) => Math.max(sectionOf(index, key), Number(isStatistic(key)));
  return keys.sort((a, b) => place(a) - place(b)); // sorting is stable
}

const counted = ({ history, told }, unit) => (history && unitOf(history) === unit ? stepsOf(history, told) : null);

function bestIn(run, unit) {
  if (!run.history || unitOf(run.history) !== unit) return null;
  return summaryOf(run, keyAt("loss", "val"))?.min?.step ?? run.history.best_epoch;
}

const mapOf = (named) => new Map(Object.entries(named ?? {}));

function field(group, name, runs, read) {
  const raw = new Map(runs.map((run) => [run.id, read(run) ?? null]));
  const known = [...raw.values()].filter((value) => value !== null);
  const numeric = group === "metric" || known.every(isNumber);
  const values = new Map([...raw].map(([id, value]) => [id, value === null || !numeric ? value : Number(value)]));
  let texts = null;
  const text = (id) => {
    const value = values.get(id);
    if (group === "param" || typeof value !== "number") return String(raw.get(id) ?? "");
    texts ??= apart([...values.values()].filter((one) => typeof one === "number"));
    return texts.get(value);
  };
  return {
    id: `${group}.${name}`,
    column: `${group}.${name}`,
    group,
    key: name,
    name,
    numeric,
    known: true,
    varies: new Set(values.values()).size > 1, // a run that lacks a field differs from those that have it
    values,
    raw,
    text,
    direction: group === "metric" ? direction(name) : 0,
  };
}

// Whether the value is a finite number that JavaScript's numbers have exactly, or as near as MLflow's own.
function isNumber(value) {
  const number = Number(value);
  if (String(value).trim() === "" || !Number.isFinite(number)) return false;
  return Number.isSafeInteger(number) || !WHOLE.test(value);
}

// Fields that an axis can show.
export const axisFields = (fields) =>
  fields.filter(({ numeric, known, values }) =>
    numeric
      ? !known || [...values.values()].some(Number.isFinite)
      : [...values.values()].every((value) => (value ?? "").length <= SHORT_ENOUGH),
  );

// The IDs of the default axes: parameters that vary, then metrics with a known direction.
export function usualAxes(fields) {
  const able = axisFields(fields);
  const of = (group) => able.filter((one) => one.group === group);
  const [parameters, metrics] = [rankedParameters(of("param")), rankedMetrics(of("metric"))];
  return [...parameters.slice(0, PARAMETERS_AT_FIRST), ...metrics.slice(0, METRICS_AT_FIRST)].map(({ id }) => id);
}

// Ranks fields that vary first; then numbers over decades, as searches draw them; then fields with many values.
export function rankedParameters(fields) {
  const known = ({ values }) => new Set([...values.values()].filter((value) => value !== null)).size;
  const rank = (one) => [one.varies, known(one) > 1, kindsOf(one)[0] === "log", one.numeric, known(one)];
  return ranked(fields, rank);
}

// Ranks one metric that is better when lower and one that is better when higher first; then final metrics before the
// ends of curves, and those of the machine last.
export function rankedMetrics(fields) {
  const sorted = ranked(fields, ({ aside, varies, key, direction: way }) => [
    !aside,
    varies,
    way !== 0,
    TELLING.findLastIndex((start) => key.startsWith(start)),
  ]);
  const firsts = [-1, 1].map((way) => sorted.find((one) => one.direction === way)).filter(Boolean);
  return [...new Set([...firsts, ...sorted])];
}

// Sorts by ranks, which are lists of numbers, the highest first.
function ranked(fields, rank) {
  const ranks = new Map(fields.map((one) => [one, rank(one).map(Number)]));
  const compare = (a, b) =>
    ranks
      .get(b)
      .map((value, i) => value - ranks.get(a)[i])
      .find(Boolean) ?? 0;
  return [...fields].sort(compare);
}
