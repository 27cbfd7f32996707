// Paints the bins of several runs on one canvas.

import { BOTTOM, context2d, cssColor, paintValueTicks, textStyle } from "../charts/canvas.js";

const [LEFT, RIGHT, TITLE, GAP] = [8, 8, 18, 10];
const [ROW, WHOLE] = [96, 260];

// Where the bins of each run go: one below the other, or on top of each other.
export function stacked(runs) {
  return {
    height: runs * (TITLE + ROW + GAP) + BOTTOM,
    tall: ROW,
    base: (i) => (i + 1) * (TITLE + ROW) + i * GAP,
    titled: true,
  };
}

export function overlaid() {
  return { height: WHOLE + TITLE + BOTTOM, tall: WHOLE, base: () => WHOLE + TITLE, titled: false };
}

// A function (index of the run, count) → 0 to 1: the count's share of the run's values, relative to the highest one.
export function heightsOf(shown, log) {
  const totals = shown.map(
    ({ data, index }) => sum(data.counts[index]) + (data.underflow[index] ?? 0) + (data.overflow[index] ?? 0),
  );
  const size = (value, i) => (log ? Math.log10(1 + value) : value / (totals[i] || 1));
  const top =
    Math.max(...shown.flatMap(({ data, index }, i) => data.counts[index].map((value) => size(value ?? 0, i)))) || 1;
  return (i, value) => size(value ?? 0, i) / top;
}

export function drawHistograms(view) {
  const width = view.plot.clientWidth;
  paintHistograms(view, context2d(view.canvas, width, view.layout.height), width);
}

// On a canvas context or an SvgContext.
export function paintHistograms(view, context, width) {
  const { axis, layout, shown, emphasis } = view;
  view.x = (value) => LEFT + axis.position(value) * (width - LEFT - RIGHT);
  paintAxis(context, view, width);
  shown.forEach(({ run, data, index }, i) => {
    const base = layout.base(i);
    context.globalAlpha = Math.max(emphasis.alpha(run.id), 0.1);
    const color = cssColor(run.color);
    outline(context, data, index, view.x, (value) => base - view.height(i, value) * layout.tall);
    context.fillStyle = `color-mix(in srgb, ${color} ${layout.titled ? 32 : 12}%, transparent)`;
    context.fill();
    context.strokeStyle = color;
    context.lineWidth = 1.75;
    context.setLineDash(layout.titled ? [] : (run.dash ?? []));
    context.stroke();
    context.setLineDash([]);
    if (layout.titled) title(context, run.label, base - layout.tall - 6, color);
    context.globalAlpha = 1;
  });
}

// A step for each bin, between its true edges.
function outline(context, data, index, x, y) {
  const edges = data.bin_edges_by_epoch[index];
  context.beginPath();
  context.moveTo(x(edges[0]), y(0));
  data.counts[index].forEach((value, bin) => {
    context.lineTo(x(edges[bin]), y(value));
    context.lineTo(x(edges[bin + 1]), y(value));
  });
  context.lineTo(x(edges.at(-1)), y(0));
}

function title(context, text, y, color) {
  context.fillStyle = color;
  context.fillRect(LEFT, y - 8, 8, 8);
  textStyle(context, "left", "alphabetic", cssColor("ink")).fillText(text, LEFT + 14, y);
}

function paintAxis(context, { axis, x, layout, shown }, width) {
  paintValueTicks(context, axis.ticks, x, { from: 0, width, height: layout.height });
  context.fillStyle = cssColor("muted");
  for (const i of shown.keys()) context.fillRect(LEFT, layout.base(i), width - LEFT - RIGHT, 1);
}

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
