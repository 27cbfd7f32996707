// The metrics of histories by their MLflow keys, and those that are compared when nobody has chosen any.

const LOSSES = {
  train: "loss",
  val: "val_loss",
  regularization: "regularization_loss",
  val_regularization: "val_regularization_loss",
  total: "total_loss",
  val_total: "val_total_loss",
};
const NORMS = { total: "weight_norm", query: "query_weight_norm", candidate: "candidate_weight_norm" };
const USUAL = [/^val_loss$/, /^loss$/, /recall/i, /^(query|candidate)_grad_norm$/, /^weight_norm$/];
const AT_FIRST = 8;

// Key → values, one per epoch of the history; without those that the run has never logged.
export function curvesOf(history) {
  const {
    loss,
    weight_norm: norms,
    gradient_norm: gradients,
    weight_stats: weights,
    gradient_stats: statistics,
    metrics,
  } = history;
  const found = [
    ...Object.entries(LOSSES).map(([name, key]) => [key, loss[name]]),
    ...Object.entries(metrics),
    ...Object.entries(gradients).map(([tower, values]) => [`${tower}_grad_norm`, values]),
    ...Object.entries(NORMS).map(([name, key]) => [key, norms[name]]),
    ...ofTowers(weights, "weights"),
    ...ofTowers(statistics, "grad"),
  ];
  const logged = ([key, values]) =>
    values?.some((value) => value !== null) || history.non_finite.some((mark) => mark.metric === key);
  return new Map(found.filter(logged));
}

const ofTowers = (statistics, what) =>
  Object.entries(statistics).flatMap(([tower, series]) =>
    Object.entries(series).map(([name, values]) => [`${tower}_${what}_${name}`, values]),
  );

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
