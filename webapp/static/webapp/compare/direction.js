// Whether lower or higher values of a metric are better. See docs/reference/compare.md.

const LOWER = [
  "loss",
  "error",
  "err",
  "mae",
  "mse",
  "rmse",
  "mape",
  "nll",
  "perplexity",
  "ppl",
  "wer",
  "cer",
  "fid",
  "latency",
  "nonfinite",
];
const HIGHER = [
  "recall",
  "precision",
  "accuracy",
  "acc",
  "auc",
  "f1",
  "ndcg",
  "mrr",
  "map",
  "hits",
  "iou",
  "dice",
  "bleu",
  "rouge",
  "r2",
  "score",
];

// −1: lower is better, 1: higher is better, 0: unknown. The words of the key decide, with or without the digits at
// their end; those in LOWER count first.
export function direction(key) {
  const words = key
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .flatMap((word) => [word, word.replace(/[0-9]+$/, "")]);
  const names = (list) => words.some((word) => list.includes(word));
  if (names(LOWER)) return -1;
  return names(HIGHER) ? 1 : 0;
}

// The best of these values; undefined if all are equal, fewer than two are known, or the direction is unknown.
export function best(values, way) {
  const known = values.filter(Number.isFinite);
  if (!way || known.length < 2) return undefined;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (low === high) return undefined;
  return way < 0 ? low : high;
}
