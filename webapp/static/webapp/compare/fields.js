// The fields that runs are compared by: parameters, metrics that are one number, and facts of the run.

import { isStatistic, keyAt } from "../charts/catalogue.js";
import { byName, exact, number, seconds } from "../page/format.js";
import { direction } from "./direction.js";
import { lastOf } from "./metrics.js";
import { kindsOf } from "./scale.js";

export const GROUPS = { param: "Parameters", metric: "Metrics", run: "Run" };
const SHORT_ENOUGH = 40; // characters of a value that an axis can show
const [PARAMETERS_AT_FIRST, METRICS_AT_FIRST] = [5, 3];
const TELLING = ["final_", "test_", "best_"]; // prefixes of metrics, the most telling last

const FACTS = {
  status: ({ row }) => row.status?.toLowerCase(),
  epochs: ({ row, history }) => history?.epochs_total ?? row.epochs,
  best_epoch: ({ history }) => history?.best_epoch,
  seconds: ({ row }) => seconds(row.start_time, row.end_time),
  experiment: ({ row }) => row.experiment_name,
};

// A field is {id, group, name, direction, numeric, varies, values, raw}. `values` is run ID → number, text or null;
// `raw` is the same with numbers as they were logged.
export function fieldsOf(runs) {
  const keys = (read) => [...new Set(runs.flatMap((run) => [...read(run).keys()]))].sort(byName);
  const params = new Map(runs.map(({ id, row }) => [id, mapOf(row.params)]));
  const finals = new Map(runs.map((run) => [run.id, finalsOf(run)]));
  const each = (group, maps) =>
    keys(({ id }) => maps.get(id)).map((key) => field(group, key, runs, ({ id }) => maps.get(id).get(key)));
  return [
    ...each("param", params),
    ...each("metric", finals),
    ...Object.entries(FACTS).map(([key, read]) => field("run", key, runs, read)),
  ].filter(({ values }) => [...values.values()].some((value) => value !== null));
}

// A run's final metrics, and the last values of curves that no final metric covers.
function finalsOf({ row, history, curves }) {
  const finals = mapOf(row.final_metrics);
  for (const [key, values] of curves) {
    if (!finals.has(key) && !finals.has(`final_${key}`) && !isStatistic(key)) finals.set(key, lastOf(values));
  }
  const best = history?.best_epoch ?? null;
  const val = curves.get(keyAt("loss", "val"));
  if (best !== null && val) finals.set("best_val_loss", val[history.epochs.indexOf(best)] ?? null);
  return finals;
}

const mapOf = (named) => new Map(Object.entries(named ?? {}));

function field(group, name, runs, read) {
  const raw = new Map(runs.map((run) => [run.id, read(run) ?? null]));
  const known = [...raw.values()].filter((value) => value !== null);
  const numeric = known.every((value) => value !== "" && Number.isFinite(Number(value)));
  const values = new Map([...raw].map(([id, value]) => [id, value === null || !numeric ? value : Number(value)]));
  // A run that lacks a field differs from those that have it.
  const varies = new Set(values.values()).size > 1;
  return {
    id: `${group}.${name}`,
    group,
    name,
    numeric,
    varies,
    values,
    raw,
    direction: group === "metric" ? direction(name) : 0,
  };
}

// Fields that an axis can show.
export const axisFields = (fields) =>
  fields.filter(
    ({ numeric, values }) => numeric || [...values.values()].every((value) => (value ?? "").length <= SHORT_ENOUGH),
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
// ends of curves.
export function rankedMetrics(fields) {
  const sorted = ranked(fields, ({ varies, name, direction: way }) => [
    varies,
    way !== 0,
    TELLING.findLastIndex((start) => name.startsWith(start)),
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

export const textOf = (value) => (typeof value === "number" ? number(value) : exact(value));
