// The charts and histograms of a run, the most important first.

import { byName } from "../page/format.js";
import { keyAt } from "./catalogue.js";
import { Columns } from "./columns.js";

export const EPOCHS = "epochs"; // the axis that the charts of a history share
const RECALL = "Recall";
const NOT_FINITE = "Values not finite";
export const SYSTEM = /^system\//; // MLflow's system metrics
const COUNTER = /_nonfinite$/;
// Histograms are larger than curves. A short run's page reads every epoch at once; one of up to this many epochs when
// the viewer moves through them; a longer one when the viewer asks for all epochs.
export const HISTOGRAM_REFINED_UP_TO = 1000;
const NARROW = matchMedia("(max-width: 820px)");
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

export function chartSpecs(history) {
  const metrics = metricSpecs(history);
  const specs = [
    {
      title: "Loss",
      wide: true,
      best: true,
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
    ...metrics.filter((spec) => spec.title !== RECALL),
  ];
  const unit = unitOf(history);
  const telling = specs.filter(({ series }) => series.some((one) => Columns.has(one, history)));
  return telling.map((spec) => ({ ...spec, unit, axis: EPOCHS }));
}

// Runs with catalogued metrics, as Keras logs them, count epochs. Others count steps of their own kind.
export function unitOf({ loss, weight_norm, gradient_norm }) {
  const curves = [loss, weight_norm, gradient_norm].flatMap(Object.values);
  return curves.some((values) => values.some((value) => value !== null)) ? "epoch" : "step";
}

// Whether the run counted values that are not finite and found none. One sentence replaces their charts.
export function allFinite({ metrics }) {
  const counters = Object.keys(metrics).filter((key) => COUNTER.test(key));
  return counters.length > 0 && counters.every((key) => metrics[key].every((value) => !value));
}

// All recalls in one chart; each other metric with its training, validation and test values.
function metricSpecs({ metrics, epochs, final_metrics: finals }) {
  const groups = new Map();
  // The table of final metrics shows single values.
  const telling = Object.keys(metrics).filter((key) => !COUNTER.test(key) || !allFinite({ metrics }));
  const drawn = telling.filter(
    (key) =>
      epochs.length < 2 || !Object.hasOwn(finals, key) || metrics[key].filter((value) => value !== null).length > 1,
  );
  // MLflow's system metrics come last.
  for (const key of drawn.sort((a, b) => SYSTEM.test(a) - SYSTEM.test(b) || byName(a, b))) {
    const base = key.replace(/^(val|valid|validation|test|train|training|eval)[_/]/, "");
    const title = titleOf(base);
    groups.set(title, [...(groups.get(title) ?? []), key]);
  }
  return [...groups].map(([title, members]) => {
    const colors = colorsOf(title, members);
    const series = members.map((key, i) => ({
      label: title === RECALL ? key.replace(/_?recall_at_/, " @").trim() : key,
      key,
      color: colors[i],
      dash: i >= PALETTE.length,
    }));
    // A single metric is titled by its key and has no legend.
    const plain = members.length === 1 && title !== RECALL && title !== NOT_FINITE;
    return { title: plain ? members[0] : title, plain, series };
  });
}

function titleOf(base) {
  if (/recall/i.test(base)) return RECALL;
  return COUNTER.test(base) ? NOT_FINITE : base;
}

function roleColor(key) {
  if (/^e?val/.test(key)) return "blue";
  return /^test/.test(key) ? "teal" : "ember";
}

// Training and validation have the same colours as in the chart of the loss.
function colorsOf(title, members) {
  const byRole = members.map(roleColor);
  const roles =
    members.length > 1 && title !== RECALL && title !== NOT_FINITE && new Set(byRole).size === members.length;
  return roles ? byRole : members.map((_, i) => PALETTE[i % PALETTE.length]);
}
