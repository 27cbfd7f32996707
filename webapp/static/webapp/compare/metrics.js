// The metrics of runs: the curves of histories, the numbers of summaries, and the default choice of curves.

import { allValues } from "../charts/catalogue.js";

const USUAL = [/^val_loss$/, /^loss$/, /recall/i, /^(query|candidate)_grad_norm$/, /^weight_norm$/];
const OURS = /^((query|candidate)_grad|weight)_norm$/; // of the two-tower catalogue alone
const AT_FIRST = 8;
const SECTIONS = ["training", "other", "system"];
export const SYSTEM = SECTIONS.indexOf("system");

// Key → values, one for each epoch of the history, without metrics that the run has never logged.
export function curvesOf(history) {
  const logged = ([key, values]) =>
    values?.some((value) => value !== null) || history.non_finite.some((mark) => mark.metric === key);
  return new Map(allValues(history).filter(logged));
}

// Key → its summary, or null without one. `told` are the run's summaries, null while they are being rebuilt.
export const summaryOf = ({ told }, key) => told?.metrics[key] ?? null;

// Key → how many runs have a curve of it, in the order of the workers' charts. Parts of histograms are none of these.
export function curveCounts(runs, index) {
  const counts = new Map([...index.values()].filter(({ curves }) => curves).map(({ key, curves }) => [key, curves]));
  for (const { told, curves } of runs) {
    if (told) continue;
    for (const key of curves.keys()) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

// The place of a metric's section on a run's page, 0 for single values and main charts. The last are of the machine.
export const sectionOf = (index, key) => Math.max(SECTIONS.indexOf(index.get(key)?.section), 0);

// The default choice among these keys: those that tell most of two-tower runs; of others, and beside them, the main
// ones in the order of the charts.
export function usualMetrics(keys, runs, index) {
  const usual = keys.some((key) => OURS.test(key))
    ? USUAL.flatMap((pattern) => keys.filter((key) => pattern.test(key)))
    : [];
  const has = ({ told, curves }, key) => curves.has(key) || Object.hasOwn(told?.metrics ?? {}, key);
  const isEnough = usual.length > 0 && runs.every((run) => usual.some((key) => has(run, key)));
  const main = isEnough ? [] : keys.filter((key) => sectionOf(index, key) === 0);
  const chosen = [...new Set([...usual, ...main])];
  return (chosen.length ? chosen : keys).slice(0, AT_FIRST);
}
