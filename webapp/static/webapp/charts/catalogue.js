// Where a run's document has each metric of the two-tower catalogue: `loss.train` is the metric `loss`. The same as
// warmboard/contract/catalogue.py; tests/webapp/assets/test_catalogue.py compares them. Every other metric is under its
// own key in `metrics`.

// [key, …place]. JSON, but for the commas at the ends.
const PLACES = [
  ["loss", "loss", "train"],
  ["val_loss", "loss", "val"],
  ["regularization_loss", "loss", "regularization"],
  ["val_regularization_loss", "loss", "val_regularization"],
  ["total_loss", "loss", "total"],
  ["val_total_loss", "loss", "val_total"],
  ["query_grad_norm", "gradient_norm", "query"],
  ["candidate_grad_norm", "gradient_norm", "candidate"],
  ["weight_norm", "weight_norm", "total"],
  ["query_weight_norm", "weight_norm", "query"],
  ["candidate_weight_norm", "weight_norm", "candidate"],
  ["query_weights_mean", "weight_stats", "query", "mean"],
  ["query_weights_std", "weight_stats", "query", "std"],
  ["query_weights_min", "weight_stats", "query", "min"],
  ["query_weights_max", "weight_stats", "query", "max"],
  ["candidate_weights_mean", "weight_stats", "candidate", "mean"],
  ["candidate_weights_std", "weight_stats", "candidate", "std"],
  ["candidate_weights_min", "weight_stats", "candidate", "min"],
  ["candidate_weights_max", "weight_stats", "candidate", "max"],
  ["query_grad_mean", "gradient_stats", "query", "mean"],
  ["query_grad_std", "gradient_stats", "query", "std"],
  ["query_grad_min", "gradient_stats", "query", "min"],
  ["query_grad_max", "gradient_stats", "query", "max"],
  ["query_grad_norm", "gradient_stats", "query", "norm"],
  ["candidate_grad_mean", "gradient_stats", "candidate", "mean"],
  ["candidate_grad_std", "gradient_stats", "candidate", "std"],
  ["candidate_grad_min", "gradient_stats", "candidate", "min"],
  ["candidate_grad_max", "gradient_stats", "candidate", "max"],
  ["candidate_grad_norm", "gradient_stats", "candidate", "norm"],
];
// A gradient norm has two places; the first of them counts.
const PLACE_OF = new Map(PLACES.map(([key, ...place]) => [key, place]).reverse());
const STATISTICS = new Set(PLACES.filter(([, member]) => /_stats$/.test(member)).map(([key]) => key));
const KEY_AT = new Map(PLACES.map(([key, ...place]) => [place.join("."), key]));

// The metric at a place: `keyAt("loss", "train")` is "loss".
export const keyAt = (...place) => KEY_AT.get(place.join("."));

// A metric's values, one for each epoch of the history; undefined where the document has no such metric.
export function valuesOf(history, key) {
  const place = PLACE_OF.get(key);
  return place ? at(history, place) : history.metrics[key];
}

// [key, values] of every metric of a history: the losses, its own, then norms and statistics.
export function allValues(history) {
  const catalogued = PLACES.map(([key, ...place]) => [key, at(history, place)]);
  const isLoss = ([key]) => PLACE_OF.get(key)[0] === "loss";
  return [
    ...catalogued.filter(isLoss),
    ...Object.entries(history.metrics),
    ...catalogued.filter((entry) => !isLoss(entry)),
  ];
}

// {mean, std, …} of a tower's weights or gradients, each with a value for each epoch.
export const statisticsOf = (history, type, tower) =>
  history[type === "weights" ? "weight_stats" : "gradient_stats"][tower] ?? {};

// Whether the metric is a statistic of weights or gradients.
export const isStatistic = (key) => STATISTICS.has(key);

const at = (history, place) => place.reduce((part, name) => part?.[name], history);
