// What runs are compared by, besides curves: parameters, metrics that are one number, and facts of the run.

import { isStatistic, keyAt } from "../charts/catalogue.js";
import { byName, exact, number, seconds } from "../page/format.js";
import { direction } from "./direction.js";
import { lastOf } from "./metrics.js";
import { kindsOf } from "./scale.js";

export const GROUPS = { param: "Parameters", metric: "Metrics", run: "Run" };
const SHORT_ENOUGH = 40; // characters of a value that an axis can show
const [PARAMETERS_AT_FIRST, METRICS_AT_FIRST] = [5, 3];
const TELLING = ["final_", "test_", "best_"]; // ever more

const FACTS = {
  status: ({ row }) => row.status?.toLowerCase(),
  epochs: ({ row, history }) => history?.epochs_total ?? row.epochs,
  best_epoch: ({ history }) => history?.best_epoch,
  seconds: ({ row }) => seconds(row.start_time, row.end_time),
  experiment: ({ row }) => row.experiment_name,
};

// A field is {id, group, name, direction, numeric, varies, values, raw}: `values` is run ID → number, text or null; `raw`
// has numbers as they were logged.
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

// What the run ended with, and where its curves ended that nothing of the former tells.
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

// The IDs of the fields that tell runs apart best: varied parameters, then metrics that have a better and a worse.
export function usualAxes(fields) {
  const able = axisFields(fields);
  const of = (group) => able.filter((one) => one.group === group);
  const [parameters, metrics] = [rankedParameters(of("param")), rankedMetrics(of("metric"))];
  return [...parameters.slice(0, PARAMETERS_AT_FIRST), ...metrics.slice(0, METRICS_AT_FIRST)].map(({ id }) => id);
}

// Numbers over decades are what a search is about; then whatever has most values. All that differ come before the rest.
export function rankedParameters(fields) {
  const known = ({ values }) => new Set([...values.values()].filter((value) => value !== null)).size;
  const rank = (one) => [one.varies, known(one) > 1, kindsOf(one)[0] === "log", one.numeric, known(one)];
  return ranked(fields, rank);
}

// One where less is better, one where more is, then the others; what tells of the whole run before what a curve ends with.
export function rankedMetrics(fields) {
  const sorted = ranked(fields, ({ varies, name, direction: way }) => [
    varies,
    way !== 0,
    TELLING.findLastIndex((start) => name.startsWith(start)),
  ]);
  const firsts = [-1, 1].map((way) => sorted.find((one) => one.direction === way)).filter(Boolean);
  return [...new Set([...firsts, ...sorted])];
}

// The greatest first, by the first number that differs.
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
