// The charts and histograms of a run, the most important first.

import { byName } from "../page/format.js";
import { isStatistic, keyAt } from "./catalogue.js";
import { Columns } from "./columns.js";

export const EPOCHS = "epochs"; // the axis that the charts of a history share
const RECALL = "Recall";
const NOT_FINITE = "Values not finite";
const SYSTEM = /^system\//; // MLflow's system metrics
const COUNTER = /_nonfinite$/;
// Histograms are larger than curves. A short run's page reads every epoch at once; one of up to this many epochs when
// the viewer moves through them; a longer one when the viewer asks for all epochs.
export const HISTOGRAM_REFINED_UP_TO = 1000;
const NARROW = matchMedia("(max-width: 820px)");
const VALIDATION = new Set(["val", "valid", "validation", "eval", "dev"]);
const PALETTE = ["blue", "ember", "teal", "violet", "ink"];

export const TYPES = ["weights", "gradients"];
export const TOWERS = ["query", "candidate"];

// Defaults for the permalink of a page with histograms. A wide screen shows both towers.
export const HISTOGRAM_DEFAULTS = {
  histogram: "ridgeline",
  what: "weights",
  tower: NARROW.matches ? "query" : "both",
  counts: "linear",
  bars: "shared",
  epoch: "",
};

// The shown histograms, [[type, tower], …].
export function pairsOf(what, tower) {
  const chosen = (all, one) => all.filter((name) => one === "both" || one === name);
  return chosen(TYPES, what).flatMap((type) => chosen(TOWERS, tower).map((name) => [type, name]));
}

// The charts of a page by section: {training, other, system}, each a list of specs of LineChart, with an `id` and the
// chart's `keys`. The two-tower catalogue's charts come first in a run that has them, then those that the worker tells
// in its order. `shared`: all curves are in the history; else `axis` is what their steps count.
export function chartSpecs(history, told) {
  const catalogued = catalogueSpecs(history).filter((spec) => isWhole(spec, told.charts));
  const drawn = new Set(catalogued.flatMap(({ series }) => series.map(({ key }) => key)));
  const silent = allFinite(history) ? COUNTER : /^$/;
  const left = (key) => !drawn.has(key) && !isStatistic(key) && !silent.test(key);
  const sections = { training: catalogued.map((spec) => finished(spec, history, told)), other: [], system: [] };
  for (const { title, section, metrics } of told.charts) {
    const keys = metrics.filter(left);
    if (!keys.length) continue;
    const spec = { title: keys.length > 1 ? title : keys[0], plain: keys.length === 1, series: seriesOf(keys) };
    sections[section].push(finished(spec, history, told));
  }
  const [first] = sections.training;
  if (first) Object.assign(first, { wide: true, best: true });
  return sections;
}

function finished(spec, history, told) {
  const keys = spec.series.map(({ key }) => key);
  const shared = keys.every((key) => !Object.hasOwn(told.chunk_of, key));
  const apart = history.unit === "epoch" && keys.every((key) => Object.hasOwn(told.chunk_of, key));
  const own = apart || SYSTEM.test(keys[0]);
  return {
    ...spec,
    id: spec.id ?? keys[0],
    keys,
    shared,
    unit: own ? "step" : history.unit,
    axis: own ? `steps of ${keys[0].split("/")[0]}` : EPOCHS,
    series: spec.series.map((one) => ({ ...one, summary: told.metrics[one.key], replaced: told.replaced[one.key] })),
  };
}

// Whether no other metric belongs into the chart, by what the worker tells.
function isWhole({ title, series }, charts) {
  if (title === NOT_FINITE || title === RECALL) return true;
  const keys = new Set(series.map(({ key }) => key));
  return charts.every(({ metrics }) => !metrics.some((key) => keys.has(key)) || metrics.every((key) => keys.has(key)));
}

function catalogueSpecs(history) {
  const metrics = metricSpecs(history);
  const specs = [
    {
      title: "Loss",
      series: [
        { label: "train", key: keyAt("loss", "train"), color: "ember" },
        { label: "validation", key: keyAt("loss", "val"), color: "blue" },
      ],
    },
    ...metrics.filter((spec) => spec.title === RECALL),
    {
      title: "Total loss",
      series: [
        { label: "train", key: keyAt("loss", "total"), color: "ember" },
        { label: "validation", key: keyAt("loss", "val_total"), color: "blue" },
      ],
    },
    {
      title: "Regularization loss",
      series: [
        { label: "train", key: keyAt("loss", "regularization"), color: "ember" },
        { label: "validation", key: keyAt("loss", "val_regularization"), color: "blue", dash: true },
      ],
    },
    {
      title: "Gradient norms",
      series: [
        { label: "query", key: keyAt("gradient_norm", "query"), color: "teal" },
        { label: "candidate", key: keyAt("gradient_norm", "candidate"), color: "violet" },
      ],
    },
    {
      title: "Weight norms",
      series: [
        { label: "total", key: keyAt("weight_norm", "total"), color: "ink" },
        { label: "query", key: keyAt("weight_norm", "query"), color: "teal" },
        { label: "candidate", key: keyAt("weight_norm", "candidate"), color: "violet" },
      ],
    },
    ...metrics.filter((spec) => spec.title === NOT_FINITE),
  ];
  const telling = specs
    .map((spec) => ({
      ...spec,
      id: `catalogue ${spec.title}`,
      series: spec.series.filter((one) => Columns.has(one, history)),
    }))
    .filter(({ series }) => series.length);
  // Only a run with the catalogue's curves has one chart for all recalls.
  return telling.some(({ title }) => title !== RECALL && title !== NOT_FINITE) ? telling : [];
}

// The word for a run's steps.
export const unitOf = ({ unit }) => unit;

// How many steps the run has. One that counts steps has as many as its first chart has points, if the history lacks
// some of its metrics. `told` may be null.
export function stepsOf({ unit, epochs_total: total }, told) {
  if (unit === "epoch" || !told?.charts.length) return total;
  const { metrics, charts, chunk_of: chunks } = told;
  const apart = charts[0].metrics.filter((key) => Object.hasOwn(chunks, key));
  return Math.max(total, ...apart.map((key) => metrics[key].count));
}

// Whether the run counted values that are not finite and found none. One sentence replaces their charts.
export function allFinite({ metrics }) {
  const counters = Object.keys(metrics).filter((key) => COUNTER.test(key));
  return counters.length > 0 && counters.every((key) => metrics[key].every((value) => !value));
}

// All recalls in one chart, and all counters of values that are not finite.
function metricSpecs(history) {
  const keys = Object.keys(history.metrics).sort(byName);
  const found = [
    [RECALL, keys.filter((key) => /recall/i.test(key))],
    [NOT_FINITE, keys.filter((key) => COUNTER.test(key) && !allFinite(history))],
  ];
  return found.map(([title, members]) => ({
    title,
    series: members.map((key, i) => ({
      label: title === RECALL ? key.replace(/_?recall_at_/, " @").trim() : key,
      key,
      ...paletteAt(i),
    })),
  }));
}

const paletteAt = (i) => ({ color: PALETTE[i % PALETTE.length], dash: i >= PALETTE.length });

// Training and validation have the same colours as in the chart of the loss; of several such curves, the first.
function seriesOf(keys) {
  if (keys.length === 1) return [{ label: keys[0], key: keys[0], ...paletteAt(0) }];
  const firsts = keys.filter((key, i) => keys.findIndex((one) => roleColor(one) === roleColor(key)) === i);
  const rest = PALETTE.filter((color) => !firsts.some((key) => roleColor(key) === color));
  return keys.map((key) => {
    if (firsts.includes(key)) return { label: key, key, color: roleColor(key) };
    const i = keys.filter((one) => !firsts.includes(one)).indexOf(key);
    return { label: key, key, color: rest[i % rest.length], dash: i >= rest.length };
  });
}

function roleColor(key) {
  const words = key.toLowerCase().split(/[^a-z0-9]+/);
  if (words.some((word) => VALIDATION.has(word))) return "blue";
  return words.includes("test") ? "teal" : "ember";
}
