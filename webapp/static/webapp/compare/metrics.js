// The metrics of histories by their MLflow keys, and those that are compared when nobody has chosen any.

import { allValues } from "../charts/catalogue.js";

const USUAL = [/^val_loss$/, /^loss$/, /recall/i, /^(query|candidate)_grad_norm$/, /^weight_norm$/];
const AT_FIRST = 8;

// Key → values, one for each epoch of the history; without those that the run has never logged.
export function curvesOf(history) {
  const logged = ([key, values]) =>
    values?.some((value) => value !== null) || history.non_finite.some((mark) => mark.metric === key);
  return new Map(allValues(history).filter(logged));
}

// Key → how many of the runs have it, in the order of the first run that does. `keysOf(run)` are those of one.
export function metricCounts(runs, keysOf) {
  const counts = new Map();
  for (const run of runs) for (const key of keysOf(run)) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

// `keys` are those on offer.
export function usualMetrics(keys) {
  const usual = USUAL.flatMap((pattern) => keys.filter((key) => pattern.test(key)));
  return [...new Set(usual.length ? usual : keys)].slice(0, AT_FIRST);
}

// The last finite value of a curve; null without any.
export const lastOf = (values) => values.findLast((value) => value !== null) ?? null;
