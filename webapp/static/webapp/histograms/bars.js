// Paints the bins of the chosen epoch as bars. `panel` as in ridgeline.js, with {barSize}; `fit`: whether the bars have
// their own value axis instead of that of all epochs.

import { valueAxis } from "../charts/axis.js";
import { BOTTOM, cssColor, LEFT, paintValueTicks, textStyle } from "../charts/canvas.js";
import { binAt } from "./find.js";

const GUTTER = 16; // on both sides of the bars, for values outside the edges

export function paintBars(panel, context) {
  const { data, index, pointed, scale } = panel;
  const { width, height, edges, axis, x, base, tall } = geometry(panel);
  const hovered = pointed?.inBars ? pointed.bin : null;
  paintCounts(context, scale, width, base, tall);
  paintValueTicks(context, axis.ticks, x, { from: LEFT + GUTTER - 20, width, height });
  const bar = (left, right, value, color) => {
    context.fillStyle = color;
    const size = value ? Math.max(scale.height(value) * tall, 1) : 0;
    context.fillRect(left, base - size, Math.max(right - left, 1), size);
  };
  const [accent, muted] = [cssColor("accent"), cssColor("muted")];
  data.counts[index].forEach((value, bin) => {
    const [from, to] = [x(edges[bin]), x(edges[bin + 1])];
    const gap = to - from > 4 ? 1 : 0;
    bar(from, to - gap, value, bin === hovered ? cssColor("ink") : accent);
  });
  bar(LEFT + 2, LEFT + GUTTER - 4, data.underflow[index], muted);
  bar(width - GUTTER - 2, width - 8, data.overflow[index], muted);
  context.fillStyle = muted;
  context.fillRect(LEFT, base, width - LEFT - 4, 1);
}

export function findBar(panel, left) {
  const { edges, x } = geometry(panel);
  return { index: panel.index, bin: binAt(edges, (edge) => left < x(edge)), inBars: true };
}

function geometry({ barSize: { width, height }, data, index, fit, axis: shared }) {
  const edges = data.bin_edges_by_epoch[index];
  const axis = fit ? valueAxis([edges]) : shared;
  const left = LEFT + GUTTER;
  return {
    width,
    height,
    edges,
    axis,
    x: (value) => left + axis.position(value) * (width - left - GUTTER - 8),
    base: height - BOTTOM,
    tall: height - BOTTOM - 12,
  };
}

function paintCounts(context, scale, width, base, tall) {
  const [muted, grid] = [cssColor("muted"), cssColor("grid")];
  textStyle(context, "right", "middle");
  let free = Infinity;
  for (const [value, label] of scale.ticks(4)) {
    const y = base - scale.height(value) * tall;
    context.fillStyle = grid;
    context.fillRect(LEFT, Math.round(y), width - LEFT - 4, 1);
    if (y > free) continue;
    free = y - 13;
    context.fillStyle = muted;
    context.fillText(label, LEFT - 6, y);
  }
}
