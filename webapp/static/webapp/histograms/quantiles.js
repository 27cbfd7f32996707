// Quantiles over the epochs, computed from the bins, as a line chart with bands.

import { LineChart } from "../charts/line-chart.js";
import { EPOCHS } from "../charts/specs.js";
import { byName } from "../page/documents.js";

const SHARES = [0.05, 0.25, 0.5, 0.75, 0.95];
const MEDIAN = 2;

// A LineChart; `full()` resolves to the data of every epoch.
export function quantileChart({ title, type, tower, full }, data, view) {
  const series = SHARES.map((share, i) => {
    const id = `${tower} ${type} ${100 * share} %`;
    return {
      label: i === MEDIAN ? "median" : `${100 * share} %`,
      id,
      key: id,
      color: tower === "query" ? "teal" : "violet",
      width: i === MEDIAN ? 2.25 : 1,
      read: (data) => data.quantiles[i],
    };
  });
  return new LineChart(
    {
      title: `${title}: quantiles`,
      unit: "epoch",
      axis: EPOCHS,
      bands: [
        [0, 4],
        [1, 3],
      ],
      series,
      full,
    },
    data,
    view,
  );
}

// Data for a LineChart from a histogram's document; with the history's times, if the history has all its epochs.
export function quantileData(histogram, history) {
  const { epochs, epochs_total, counts, underflow, overflow, bin_edges_by_epoch: edges } = histogram;
  const at = new Map(history.epochs.map((epoch, i) => [epoch, history.timestamps?.[i]]));
  const timestamps = epochs.map((epoch) => at.get(epoch));
  const rows = epochs.map((_, i) => quantilesOf(edges[i], counts[i], underflow[i] ?? 0, overflow[i] ?? 0));
  return {
    epochs,
    epochs_total,
    start_time: history.start_time,
    best_epoch: history.best_epoch,
    envelope: byName([]),
    non_finite: [],
    timestamps: timestamps.every((time) => time !== undefined) ? timestamps : [],
    quantiles: SHARES.map((_, q) => rows.map((row) => row[q])),
  };
}

// Values are taken as evenly spread within a bin. A quantile outside the edges is given as the edge.
export function quantilesOf(edges, counts, underflow, overflow) {
  const total = counts.reduce((sum, value) => sum + (value ?? 0), underflow + overflow);
  if (!total) return SHARES.map(() => null);
  return SHARES.map((share) => {
    let left = share * total - underflow;
    if (left <= 0) return edges[0];
    for (const [bin, value] of counts.entries()) {
      if (value && left <= value) return edges[bin] + (left / value) * (edges[bin + 1] - edges[bin]);
      left -= value ?? 0;
    }
    return edges.at(-1);
  });
}
