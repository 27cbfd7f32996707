// The metrics of histories by their MLflow keys, and the default choice among them.

import { allValues } from "../charts/catalogue.js";

const USUAL = [/^val_loss$/, /^loss$/, /recall/i, /^(query|candidate)_grad_norm$/, /^weight_norm$/];
const AT_FIRST = 8;

// Key → values, one for each epoch of the history, without metrics that the run has never logged.
export function curvesOf(history) {
  const logged = ([key, values]) =>
    values?.some((value) => value !== null) || history.non_finite.some((mark) => mark.metric === key);
  return new Map(allValues(history).filter(logged));
}

// Key → how many runs have it, in the order in which runs have them. `keysOf(run)` are one run's keys.
export function metricCounts(runs, keysOf) {
  const counts = new Map();
  for (const run of runs) for (const key of keysOf(run)) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

// The default choice among these keys.
export function usualMetrics(keys) {
  const usual = USUAL.flatMap((pattern) => keys.filter((key) => pattern.test(key)));
  return [...new Set(usual.length ? usual : keys)].slice(0, AT_FIRST);
}

// The last finite value of a curve, or null.
export const lastOf = (values) => values.findLast((value) => value !== null) ?? null;
