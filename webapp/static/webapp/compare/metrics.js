// The metrics of runs: the curves of histories, the numbers of summaries, and the default choice of curves.

import { allValues } from "../charts/catalogue.js";

const USUAL = [/^val_loss$/, /^loss$/, /recall/i, /^(query|candidate)_grad_norm$/, /^weight_norm$/];
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
export function curveCounts(runs) {
  const counts = new Map();
  for (const { told, curves } of runs) {
    const keys = told ? told.charts.flatMap(({ metrics }) => metrics) : curves.keys();
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

// Key → the place of its section on a run's page, 0 for single values and main charts. The last are of the machine.
export function sectionOrder(runs) {
  const order = new Map();
  for (const { told } of runs)
    for (const { section, metrics } of told?.charts ?? [])
      for (const key of metrics) order.set(key, Math.min(SECTIONS.indexOf(section), order.get(key) ?? SECTIONS.length));
  return order;
}

// The default choice among these keys.
export function usualMetrics(keys, runs) {
  const usual = USUAL.flatMap((pattern) => keys.filter((key) => pattern.test(key)));
  if (usual.length) return [...new Set(usual)].slice(0, AT_FIRST);
  const order = sectionOrder(runs);
  const main = keys.filter((key) => order.get(key) === 0);
  return (main.length ? main : keys).slice(0, AT_FIRST);
}
