// Draws a line chart again from its data, on another canvas context or an SvgContext. See export.js.

import { cssColor, pixelRatio, textStyle } from "./canvas.js";
import { paintBest, paintEarlier, paintEnvelopes, paintMark, paintNonFinite } from "./paint.js";

// In CSS pixels, with the range and ticks that are on the screen.
export function chartPicture(chart, context) {
  const { u } = chart;
  const ratio = pixelRatio();
  const on = Object.create(u, { ctx: { value: context } }); // the painters use device pixels
  context.save();
  context.scale(1 / ratio, 1 / ratio);
  paintMark(on, chart);
  paintGrid(on, ratio);
  paintBest(on, chart);
  paintEarlier(on, chart);
  paintEnvelopes(on, chart);
  context.save();
  context.beginPath();
  context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  context.clip();
  for (const [low, high] of chart.spec.bands ?? [])
    paintBand(on, [chart.raws + 1 + high, chart.raws + 1 + low], chart.colors[low]);
  for (const [i, { show }] of u.series.entries()) if (i && show) paintCurve(on, i, ratio);
  context.restore();
  paintNonFinite(on, chart);
  context.restore();
}

function paintGrid(u, ratio) {
  const { ctx, bbox, axes } = u;
  const labels = ({ _splits: splits, _values: values }, scale) =>
    splits.map((split, i) => [u.valToPos(split, scale, true), values[i]]);
  textStyle(ctx, "center", "top", cssColor("muted"), ratio);
  for (const [x, text] of labels(axes[0], "x")) if (text) ctx.fillText(text, x, bbox.top + bbox.height + 8 * ratio);
  for (const [y, text] of labels(axes[1], "y")) {
    ctx.fillStyle = cssColor("grid");
    ctx.fillRect(bbox.left, y, bbox.width, ratio);
    textStyle(ctx, "right", "middle", cssColor("muted"), ratio);
    if (text) ctx.fillText(text, bbox.left - 8 * ratio, y);
  }
}

function paintCurve(u, i, ratio) {
  const { ctx } = u;
  const { stroke, width, dash } = u.series[i];
  const points = places(u, i);
  ctx.strokeStyle = ctx.fillStyle = stroke(u, i);
  ctx.lineWidth = width * ratio;
  ctx.setLineDash((dash ?? []).map((length) => length * ratio));
  ctx.beginPath();
  let down = false;
  for (const point of points) {
    if (point) ctx[down ? "lineTo" : "moveTo"](...point);
    down = Boolean(point);
  }
  ctx.stroke();
  ctx.setLineDash([]);
  points.forEach((point, j) => {
    if (!point || points[j - 1] || points[j + 1]) return; // lines show the others
    ctx.beginPath();
    ctx.arc(...point, 2 * ratio, 0, 2 * Math.PI);
    ctx.fill();
  });
}

function paintBand(u, [high, low], fill) {
  const { ctx } = u;
  const edge = [...places(u, high), ...places(u, low).reverse()].filter(Boolean);
  if (!edge.length) return;
  ctx.beginPath();
  for (const [i, point] of edge.entries()) ctx[i ? "lineTo" : "moveTo"](...point);
  ctx.closePath();
  ctx.fillStyle = fill;
  ctx.globalAlpha = 0.15;
  ctx.fill();
  ctx.globalAlpha = 1;
}

// The points of a curve, in device pixels; null where it breaks.
function places(u, i) {
  return u.data[i].flatMap((value, j) => {
    if (value === undefined) return []; // passed over
    return [value === null ? null : [u.valToPos(u.data[0][j], "x", true), u.valToPos(value, "y", true)]];
  });
}
