// Merges curves of several runs into one document for a LineChart, on the union of their steps.

import { byName } from "../page/documents.js";

// `curves` is [{key, metric, run}] of runs that have the metric; `key` names the curve. `byTime`: on the seconds since
// each run's start instead of its steps.
export function merged(curves, byTime) {
  const placed = curves.map(({ run }) => (byTime ? elapsed(run) : run.history.epochs));
  const epochs = [...new Set(placed.flat())].sort((a, b) => a - b);
  const index = new Map(epochs.map((x, i) => [x, i]));
  const total = Math.max(...curves.map(({ run }) => run.history.epochs_total));
  const document = {
    epochs,
    epochs_total: total,
    timestamps: [],
    best_epoch: null,
    envelope: byName([]),
    non_finite: [],
    elapsed: byTime,
    curves: byName([]),
  };
  curves.forEach(({ key, metric, run }, i) => {
    const at = placed[i].map((x) => index.get(x));
    document.curves[key] = spread(run.curves.get(metric), at, epochs.length);
    const envelope = run.history.envelope[metric];
    if (envelope) document.envelope[key] = stretched(envelope, at, epochs.length);
    document.non_finite.push(...marks(run.history, metric, placed[i]).map((mark) => ({ ...mark, metric: key })));
  });
  return document;
}

// Seconds since the start of the run, one for each epoch.
export function elapsed({ history: { timestamps, start_time: start } }) {
  const zero = Math.min(start ? Date.parse(start) : Infinity, timestamps[0]); // a client's clock may be another
  return timestamps.map((ms) => Number(((ms - zero) / 1000).toFixed(3)));
}

function spread(values, at, length) {
  const column = Array(length).fill(null);
  for (const [j, value] of values.entries()) column[at[j]] = value;
  return column;
}

// Repeats an envelope between two of the run's steps at all steps of the union that lie between them.
function stretched({ min, max }, at, length) {
  const column = () => Array(length).fill(null);
  const wide = { min: column(), max: column(), passing: Array(length).fill(true) };
  at.forEach((place, j) => {
    wide.passing[place] = false;
    for (let i = j ? at[j - 1] + 1 : place; i <= place; i++) [wide.min[i], wide.max[i]] = [min[j], max[j]];
  });
  return wide;
}

// The marks of values that are not finite; by time, at the first kept step that is not before their own.
function marks({ epochs, non_finite: found }, metric, placed) {
  const ours = found.filter((mark) => mark.metric === metric);
  if (placed === epochs) return ours;
  return ours.map((mark) => ({ ...mark, epoch: placed[epochs.findIndex((epoch) => epoch >= mark.epoch)] }));
}
