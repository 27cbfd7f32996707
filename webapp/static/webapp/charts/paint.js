// Paints around and over the curves of a LineChart, on uPlot's canvas, in device pixels.

import { cssColor, pixelRatio as ratio, textStyle } from "./canvas.js";

const [MARK_ROWS, ROW] = [8, 10]; // rows for the marks of several curves, and their height

const rowOf = (i) => ROW * (i % MARK_ROWS);

// The steps of the marked insight, as a band; at least 6 px wide.
export function paintMark(u, { view, spec, axis }) {
  if (!view.mark || view.mark.axis !== spec.axis) return;
  const { ctx, bbox } = u;
  const clamp = (x) => Math.min(Math.max(x, bbox.left), bbox.left + bbox.width);
  const [first, last] = [view.mark.from, view.mark.to].map((epoch) => axis.at(epoch));
  if (last < u.scales.x.min || first > u.scales.x.max) return;
  const [from, to] = [first, last].map((place) => clamp(u.valToPos(place, "x", true)));
  const least = 6 * ratio();
  const left = to - from < least ? (from + to - least) / 2 : from;
  ctx.save();
  ctx.fillStyle = cssColor("accent");
  ctx.globalAlpha = 0.16;
  ctx.fillRect(left, bbox.top, Math.max(to - from, least), bbox.height);
  ctx.restore();
}

export function paintEnvelopes(u, chart) {
  const { data, series, colors, axis, view } = chart;
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.2;
  series.forEach((one, i) => {
    const envelope = data.envelope[one.key];
    if (!envelope || chart.hides(one)) return;
    ctx.fillStyle = colors[i];
    for (let j = 1; j < axis.x.length; j++) {
      const [low, high] = [envelope.min[j], envelope.max[j]];
      // One value between two kept steps has no extremes.
      if (low === null || high === null || low === high || (view.log && high <= 0)) continue;
      const [left, right] = [u.valToPos(axis.x[j - 1], "x", true), u.valToPos(axis.x[j], "x", true)];
      const top = u.valToPos(high, "y", true);
      const bottom = view.log && low <= 0 ? bbox.top + bbox.height : u.valToPos(low, "y", true);
      ctx.fillRect(Math.min(left, right), top, Math.abs(right - left), Math.max(bottom - top, 1));
    }
  });
  ctx.restore();
}

// The curves before their steps began again.
export function paintEarlier(u, chart) {
  const { series, colors, axis, data, view } = chart;
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.globalAlpha = 0.35;
  ctx.lineWidth = 1.25 * ratio();
  series.forEach((one, i) => {
    if (chart.hides(one)) return;
    ctx.strokeStyle = colors[i];
    for (const points of data.earlier?.[one.key] ?? []) strokePoints(u, axis.placesOf(points), points.values, view.log);
  });
  ctx.restore();
}

// A value that is not finite is a word, and breaks the line.
function strokePoints(u, places, values, log) {
  const { ctx } = u;
  let down = false;
  ctx.beginPath();
  for (const [j, value] of values.entries()) {
    const shown = typeof value === "number" && !(log && value <= 0);
    if (shown) ctx[down ? "lineTo" : "moveTo"](u.valToPos(places[j], "x", true), u.valToPos(value, "y", true));
    down = shown;
  }
  ctx.stroke();
}

export function paintBest(u, chart) {
  const { data, spec, axis } = chart;
  const epoch = data.best_epoch ?? null;
  if (epoch === null) return;
  const at = axis.at(epoch);
  if (at < u.scales.x.min || at > u.scales.x.max) return;
  const { ctx, bbox } = u;
  const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = cssColor("muted");
  ctx.globalAlpha = 0.8;
  ctx.setLineDash([2 * ratio(), 3 * ratio()]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  if (spec.best) {
    const right = x > bbox.left + bbox.width - 60 * ratio();
    textStyle(ctx, right ? "right" : "left", "top", undefined, ratio());
    ctx.fillText(`best ${epoch}`, x + (right ? -5 : 5) * ratio(), bbox.top + (2 + rowsOfMarks(chart)) * ratio());
  }
  ctx.restore();
}

// The height of all marks at the top.
function rowsOfMarks(chart) {
  const marked = chart.series.map((one, i) => {
    const isMarked = !chart.hides(one) && [...chart.gaps[i]].some(([, kind]) => kind !== "-Infinity");
    return isMarked ? rowOf(i) + ROW + 2 : 0;
  });
  return Math.max(0, ...marked);
}

// Every value that is not finite: a cross at the top, or at the bottom for −∞, in its curve's colour.
export function paintNonFinite(u, chart) {
  const { series, colors, axis, gaps } = chart;
  const { ctx, bbox } = u;
  const arm = 3.5 * ratio();
  ctx.save();
  ctx.lineWidth = 2 * ratio();
  series.forEach((one, i) => {
    if (chart.hides(one)) return;
    ctx.strokeStyle = colors[i];
    for (const [epoch, kind] of gaps[i]) {
      const at = axis.at(epoch);
      if (at < u.scales.x.min || at > u.scales.x.max) continue;
      const x = u.valToPos(at, "x", true);
      const y = kind === "-Infinity" ? bbox.top + bbox.height - 8 * ratio() : bbox.top + (8 + rowOf(i)) * ratio();
      ctx.beginPath();
      ctx.moveTo(x - arm, y - arm);
      ctx.lineTo(x + arm, y + arm);
      ctx.moveTo(x - arm, y + arm);
      ctx.lineTo(x + arm, y - arm);
      ctx.stroke();
    }
  });
  ctx.restore();
}
