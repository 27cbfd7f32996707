// Paints the histograms of all epochs as ridges, one behind the other. `panel` is {data, axis, scale, index, pointed,
// size}.

import { BOTTOM, cssColor, LEFT, mix, paintValueTicks, RIGHT, spread, textStyle } from "../charts/canvas.js";
import { binAt } from "./find.js";

const RIDGES_AT_MOST = 60;

// The steps of the arrow keys, in epochs or bins.
export const keys = { ArrowUp: { epoch: -1 }, ArrowDown: { epoch: 1 }, ArrowLeft: { bin: -1 }, ArrowRight: { bin: 1 } };
export const says = "The height of a ridge is the count in each bin";

export function paintBack(panel, context) {
  const shape = geometry(panel);
  const { epochs } = panel.data;
  const [cool, warm, ground] = [cssColor("cool"), cssColor("ember"), cssColor("panel")];
  paintValueTicks(context, panel.axis.ticks, shape.x, shape);
  for (const index of spread(epochs.length, RIDGES_AT_MOST)) {
    ridge(context, panel, shape, index);
    context.globalAlpha = 0.82;
    context.fillStyle = ground;
    context.fill();
    context.globalAlpha = 1;
    const share = epochs.length > 1 ? (epochs[index] - epochs[0]) / (epochs.at(-1) - epochs[0]) : 1;
    context.strokeStyle = mix(cool, warm, share);
    context.lineWidth = 1.25;
    context.stroke();
    paintOutside(context, panel, shape, index);
  }
}

// The chosen epoch, and what is under the pointer.
export function paintFront(panel, context) {
  const shape = geometry(panel);
  const { pointed, index } = panel;
  const accent = cssColor("accent");
  paintEpochs(context, panel, shape);
  const hover = pointed && !pointed.inBars && pointed.bin !== null ? pointed : null;
  if (hover && hover.index !== index) {
    ridge(context, panel, shape, hover.index);
    context.strokeStyle = cssColor("ink");
    context.lineWidth = 1.25;
    context.stroke();
  }
  ridge(context, panel, shape, index);
  context.globalAlpha = 0.3;
  context.fillStyle = accent;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = accent;
  context.lineWidth = 2.25;
  context.stroke();
  if (hover) paintPoint(context, panel, shape, hover);
}

// {index, bin} at a place of the picture; the bin is null outside the edges.
export function find(panel, left, top) {
  const shape = geometry(panel);
  const distance = (index) => Math.abs(shape.baseline(index) - top - 3);
  const index = spread(panel.data.epochs.length, RIDGES_AT_MOST).reduce((a, b) => (distance(b) < distance(a) ? b : a));
  return { index, bin: binAt(panel.data.bin_edges_by_epoch[index], (edge) => left < shape.x(edge)) };
}

// Baselines are placed by epoch, which shows unequal steps as such.
function geometry({ size: { width, height }, data: { epochs }, axis }) {
  const tall = Math.min(120, height * 0.28);
  const [from, to] = [tall + 6, height - BOTTOM];
  const span = epochs.at(-1) - epochs[0] || 1;
  const baseline = (index) => (epochs.length === 1 ? to : from + ((epochs[index] - epochs[0]) / span) * (to - from));
  return { width, height, tall, baseline, x: (value) => LEFT + axis.position(value) * (width - LEFT - RIGHT) };
}

function ridge(context, { data, scale }, { baseline, x, tall }, index) {
  const edges = data.bin_edges_by_epoch[index];
  const base = baseline(index);
  context.beginPath();
  context.moveTo(x(edges[0]), base);
  for (const [bin, value] of data.counts[index].entries())
    context.lineTo((x(edges[bin]) + x(edges[bin + 1])) / 2, base - scale.height(value) * tall);
  context.lineTo(x(edges.at(-1)), base);
}

// Epochs at the left, as many as have room next to the chosen one.
function paintEpochs(context, { data, index: chosen }, { baseline }) {
  const label = (index, color) =>
    textStyle(context, "right", "middle", color).fillText(String(data.epochs[index]), LEFT - 16, baseline(index) - 1);
  let free = -Infinity;
  for (const index of spread(data.epochs.length, RIDGES_AT_MOST)) {
    const y = baseline(index);
    if (y < free || Math.abs(y - baseline(chosen)) < 14) continue;
    label(index, cssColor("muted"));
    free = y + 18;
  }
  label(chosen, cssColor("accent"));
}

// Small arrows for values outside the edges.
function paintOutside(context, { data }, { baseline, width }, index) {
  const base = baseline(index);
  context.fillStyle = cssColor("muted");
  for (const [value, x, way] of [
    [data.underflow[index], LEFT - 4, -1],
    [data.overflow[index], width - 8, 1],
  ]) {
    if (!value) continue;
    context.beginPath();
    context.moveTo(x, base - 5);
    context.lineTo(x + 4 * way, base - 2.5);
    context.lineTo(x, base);
    context.fill();
  }
}

function paintPoint(context, { data, scale }, { baseline, x, tall }, { index, bin }) {
  const edges = data.bin_edges_by_epoch[index];
  const value = data.counts[index][bin];
  if (value === undefined) return; // below or above the edges
  context.fillStyle = cssColor("ink");
  context.beginPath();
  context.arc(
    (x(edges[bin]) + x(edges[bin + 1])) / 2,
    baseline(index) - scale.height(value) * tall,
    3.5,
    0,
    2 * Math.PI,
  );
  context.fill();
}
