// Paints the histograms of all epochs as a heatmap: a column for each epoch, a cell between the true edges for each
// bin. `panel` as in ridgeline.js.

import { evenTicks } from "../charts/axis.js";
import { BOTTOM, cssColor, LEFT, mix, RIGHT, textStyle } from "../charts/canvas.js";
import { count } from "../page/format.js";
import { binAt } from "./find.js";

const TOP = 34; // for the colour scale
const OUTSIDE = 8; // height of the strips for values below and above the edges
const SHADES = 64;
const SCALE_WIDTH = 120;

export const keys = { ArrowUp: { bin: 1 }, ArrowDown: { bin: -1 }, ArrowLeft: { epoch: -1 }, ArrowRight: { epoch: 1 } };
export const says =
  "The colour of a cell is the count in its bin; the strips at top and bottom are values outside the edges";

export function paintBack(panel, context) {
  const shape = geometry(panel);
  const { data, scale } = panel;
  const shades = ramp();
  let painted = -Infinity;
  data.epochs.forEach((_, index) => {
    const [left, right] = [shape.left(index), shape.left(index + 1)];
    if (right - painted < 0.5) return; // thinner than half a pixel
    const paint = (value, top, bottom) => {
      if (!value) return;
      context.fillStyle = shades[Math.max(1, Math.round(scale.height(value) * (SHADES - 1)))];
      context.fillRect(left, top, right - left + 0.3, bottom - top + 0.3);
    };
    const edges = data.bin_edges_by_epoch[index];
    for (const [bin, value] of data.counts[index].entries()) paint(value, shape.y(edges[bin + 1]), shape.y(edges[bin]));
    paint(data.overflow[index], shape.top - OUTSIDE - 2, shape.top - 2);
    paint(data.underflow[index], shape.bottom + 2, shape.bottom + 2 + OUTSIDE);
    painted = right;
  });
  paintAxes(context, panel, shape);
  paintScale(context, panel, shape, shades);
}

export function paintFront(panel, context) {
  const shape = geometry(panel);
  const { index, pointed } = panel;
  context.strokeStyle = cssColor("accent");
  context.lineWidth = 1.5;
  outline(context, shape.left(index), shape.left(index + 1), shape.top - OUTSIDE - 3, shape.bottom + OUTSIDE + 3);
  if (!pointed || pointed.inBars || pointed.bin === null) return;
  const [low, high] = between(panel, shape, pointed);
  context.strokeStyle = cssColor("ink");
  context.lineWidth = 2;
  outline(context, shape.left(pointed.index), shape.left(pointed.index + 1), high, low);
}

// {index, bin} at a place of the picture. The bin is −1 below the edges, and the number of bins above them.
export function find(panel, left, top) {
  const shape = geometry(panel);
  const index = panel.data.epochs.findIndex((_, i) => left < shape.left(i + 1));
  if (left < shape.left(0) || index < 0) return null;
  const bins = panel.data.counts[index].length;
  if (top < shape.top) return { index, bin: bins };
  if (top > shape.bottom) return { index, bin: -1 };
  return { index, bin: binAt(panel.data.bin_edges_by_epoch[index], (edge) => top > shape.y(edge)) };
}

// A column reaches half way to its neighbours, which shows unequal steps as such.
function geometry({ size: { width, height }, data: { epochs }, axis }) {
  const [top, bottom] = [TOP + OUTSIDE, height - BOTTOM - OUTSIDE - 2];
  const half = (i) =>
    epochs.length > 1 ? (epochs[Math.min(i + 1, epochs.length - 1)] - epochs[Math.min(i, epochs.length - 2)]) / 2 : 0.5;
  const border = (i) => {
    if (i === 0) return epochs[0] - half(0);
    if (i === epochs.length) return epochs.at(-1) + half(epochs.length - 2);
    return (epochs[i - 1] + epochs[i]) / 2;
  };
  const [from, to] = [border(0), border(epochs.length)];
  const x = (epoch) => LEFT + ((epoch - from) / (to - from)) * (width - LEFT - RIGHT);
  return {
    width,
    height,
    top,
    bottom,
    x,
    left: (i) => x(border(i)),
    y: (value) => bottom - axis.position(value) * (bottom - top),
  };
}

function between({ data }, { y, top, bottom }, { index, bin }) {
  const edges = data.bin_edges_by_epoch[index];
  if (bin < 0) return [bottom + 2 + OUTSIDE, bottom + 2];
  if (bin >= data.counts[index].length) return [top - 2, top - OUTSIDE - 2];
  return [y(edges[bin]), y(edges[bin + 1])];
}

function outline(context, left, right, top, bottom) {
  context.beginPath();
  context.rect(left - 0.5, top, Math.max(right - left, 1) + 1, bottom - top);
  context.stroke();
}

function paintAxes(context, { axis, data }, { x, y, top, bottom, width, height }) {
  textStyle(context, "right", "middle");
  let free = Infinity;
  for (const [value, label] of [...axis.ticks].sort((a, b) => a[0] - b[0])) {
    const at = y(value);
    if (at > free || at > bottom || at < top) continue;
    context.fillText(label, LEFT - 8, at);
    free = at - 14;
  }
  textStyle(context, "center", "top");
  for (const [epoch] of evenTicks(data.epochs[0], data.epochs.at(-1), width / 60)) {
    if (Number.isInteger(epoch)) context.fillText(count(epoch), x(epoch), height - BOTTOM + 8);
  }
}

function paintScale(context, { scale, top }, { width }, shades) {
  const start = width - RIGHT - SCALE_WIDTH;
  // The colours are even; the counts stand where the scale puts them.
  shades.forEach((shade, i) => {
    context.fillStyle = shade;
    context.fillRect(start + (i * SCALE_WIDTH) / SHADES, 2, SCALE_WIDTH / SHADES + 0.3, 7);
  });
  textStyle(context, "left", "top").fillText(count(0), start, 12);
  textStyle(context, "right", "top").fillText(count(top), start + scale.height(top) * SCALE_WIDTH, 12);
}

function ramp() {
  const stops = [0, 1, 2, 3].map((i) => cssColor(`heat-${i}`));
  return Array.from({ length: SHADES }, (_, i) => {
    const place = (i / (SHADES - 1)) * (stops.length - 1);
    const before = Math.min(Math.floor(place), stops.length - 2);
    return mix(stops[before], stops[before + 1], place - before);
  });
}
