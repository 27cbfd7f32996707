// uPlot's options for a LineChart: axes, scales, curves, and what is painted around them.

import { clock, count, duration, ticks } from "../page/format.js";
import { cssColor, FONT } from "./canvas.js";
import { paintBest, paintEarlier, paintEnvelopes, paintMark, paintNonFinite } from "./paint.js";
import { mouseBindings, zoomToSelection } from "./zoom.js";

const LONELY_AT_MOST = 300;
const FEW_POINTS = 30; // up to so many are drawn as points too
const FAINT = "59"; // hexadecimal opacity of raw curves behind smoothed ones
const AIR = 0.06;
const TINY = 1e-30;
const WHOLE = [1, 2, 5]
  .flatMap((factor) => Array.from({ length: 15 }, (_, i) => factor * 10 ** i))
  .sort((a, b) => a - b);
const SPANS = [
  1,
  2,
  5,
  10,
  15,
  30,
  60,
  120,
  300,
  600,
  900,
  1800,
  3600,
  7200,
  10800,
  21600,
  43200,
  ...WHOLE.map((days) => days * 86400),
];

export function plotOptions(chart, width, height) {
  const { axis: horizontal, view, spec } = chart;
  const style = { stroke: cssColor("muted"), font: FONT, ticks: { show: false } };
  const grid = { stroke: cssColor("grid"), width: 1 };
  return {
    width,
    height,
    legend: { show: false },
    cursor: {
      sync: { key: chart.group, scales: ["x", null] },
      y: false,
      points: { size: 6, show: (_, i) => i > chart.raws },
      drag: { x: true, y: false, setScale: false },
      bind: mouseBindings(chart),
    },
    scales: {
      x: {
        time: horizontal.mode === "time",
        ...(horizontal.log ? { distr: 100, fwd: horizontal.forward, bwd: horizontal.backward } : {}),
        range: () => horizontalRange(chart),
      },
      y: { distr: view.log ? 3 : 1, range: (u) => verticalRange(chart, u) },
    },
    axes: [
      { ...style, grid: { show: false }, size: 26, ...horizontalTicks(horizontal) },
      {
        ...style,
        grid,
        size: (_, labels) => Math.max(50, 12 + 7 * Math.max(0, ...(labels ?? []).map((label) => label.length))),
        space: 34,
        splits: verticalSplits(chart),
        filter: (_, splits) => splits,
        values: (_, splits) => ticks(splits),
      },
    ],
    series: [{}, ...curves(chart)],
    bands: (spec.bands ?? []).map(([low, high]) => ({
      series: [high, low].map((i) => chart.raws + 1 + i),
      fill: `${chart.colors[low]}26`,
    })),
    hooks: {
      drawAxes: [paintMark, paintBest, paintEarlier, paintEnvelopes].map((paint) => (u) => paint(u, chart)),
      draw: [(u) => paintNonFinite(u, chart)],
      setCursor: [(u) => chart.showValues(u.cursor.idx)],
      setSelect: [() => zoomToSelection(chart)],
    },
  };
}

function horizontalTicks({ mode, log, forward, backward }) {
  if (log)
    return {
      splits: (u) => logarithmicSteps(u.scales.x, forward, backward),
      filter: (_, splits) => splits,
      values: (_, splits) => splits.map(mode === "relative" ? duration : count),
    };
  if (mode === "time")
    return { space: 64, values: (_u, splits, _i, _space, increment) => splits.map((at) => clock(at, increment)) };
  if (mode === "relative")
    return { incrs: [0.001, 0.01, 0.1, ...SPANS], space: 74, values: (_, splits) => splits.map(duration) };
  return {
    incrs: WHOLE,
    space: (u) => Math.max(44, 7 * count(u.scales.x.max).length + 8), // a narrow chart has two labels at least
    values: (_, splits) => splits.map((value) => count(value)),
  };
}

// Smoothed curves are drawn over their faint raw ones.
function curves(chart) {
  const smoothed = chart.series.map((series, i) => curve(chart, series, chart.colors[i]));
  const raw = chart.series.map((series, i) => ({ ...curve(chart, series, chart.colors[i] + FAINT), width: 1 }));
  return chart.raws ? [...raw, ...smoothed.map((one) => ({ ...one, points: { show: false } }))] : smoothed;
}

function curve(chart, series, stroke) {
  const few = chart.data.epochs.length <= FEW_POINTS;
  return {
    stroke,
    width: series.width ?? 1.75,
    dash: series.dash === true ? [5, 4] : series.dash || undefined,
    show: !chart.hides(series),
    // A value between two gaps is a point, as are those of a metric that is logged rarely.
    points: { show: few, size: 4, fill: stroke, filter: few ? undefined : lonely },
    spanGaps: false,
  };
}

function horizontalRange({ view, group, axis }) {
  const [low, high] = view.zooms.get(group) ?? axis.extent;
  // Half a step is nothing beside a step of 10^18.
  const air = Math.max(0.5, Math.abs(low) * 2 ** -44);
  return low === high ? [low - air, high + air] : [low, high];
}

// Min and max of what is shown, envelopes included, with a margin.
function verticalRange(chart, u) {
  const { axis, data, view } = chart;
  const seen = { low: Infinity, high: -Infinity };
  const take = (value) => {
    if (value === null || value === undefined || (view.log && value <= 0)) return;
    seen.low = Math.min(seen.low, value);
    seen.high = Math.max(seen.high, value);
  };
  const edges = horizontalRange(chart);
  chart.series.forEach((series, i) => {
    if (chart.hides(series)) return;
    const drawn = [u.data[i + 1], ...(chart.raws ? [u.data[chart.raws + i + 1]] : [])];
    takeInView(u.data[0], edges, drawn, data.envelope[series.key], axis, take);
    for (const points of data.earlier?.[series.key] ?? []) takeEarlier(points, edges, axis, take);
  });
  return view.log ? withLogAir(seen) : withAir(seen);
}

// Calls `take` with every value of a curve in view, of its envelope, and where its lines cross the edges of the view.
function takeInView(xs, [left, right], drawn, envelope, axis, take) {
  const from = firstFrom(xs, left);
  const to = firstFrom(xs, right, true) - 1;
  const extremes = envelope ? [envelope.min, envelope.max] : [];
  for (let j = from; j <= to; j++) {
    for (const column of drawn) take(column[j]);
    for (const column of extremes) take(column[axis.indexOf(j)]);
  }
  for (const column of drawn) {
    take(crossing(xs, column, from, left));
    take(crossing(xs, column, to + 1, right));
  }
}

function takeEarlier(points, [left, right], axis, take) {
  for (const [j, place] of axis.placesOf(points).entries()) {
    const value = points.values[j];
    if (place >= left && place <= right && typeof value === "number") take(value);
  }
}

function withLogAir({ low, high }) {
  if (low > high) return [0.1, 1];
  const factor = low === high ? 2 : (high / low) ** AIR;
  return [low / factor, high * factor];
}

function withAir({ low, high }) {
  if (low > high) return [0, 1];
  const air = (high - low || Math.abs(high) || 1) * AIR;
  return [low >= 0 && low - air < 0 ? 0 : low - air, high + air];
}

// The index of the first point at `place` or after it; if `beyond`, after it.
function firstFrom(xs, place, beyond = false) {
  let [low, high] = [0, xs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < place || (beyond && xs[middle] === place)) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The height of the line from point j − 1 to point j at `place`; null if there is no line.
function crossing(xs, column, j, place) {
  const [before, after] = [column[j - 1] ?? null, column[j] ?? null];
  if (before === null || after === null) return null;
  return before + ((after - before) * (place - xs[j - 1])) / (xs[j] - xs[j - 1] || 1);
}

// Undefined leaves them to uPlot, whose steps end at 10^-32.
function verticalSplits({ view, columns }) {
  if (view.log) return (u) => logSplits(u.scales.y.min, u.scales.y.max);
  const tiny = columns.drawn.every((column) => column.every((value) => !(Math.abs(value) >= TINY)));
  const some = tiny && columns.drawn.some((column) => column.some(Boolean));
  return some ? (u) => evenSplits(u.scales.y.min, u.scales.y.max) : undefined;
}

// 1, 2 and 5 of each decade, fewer over many decades; even steps over less than one.
function logSplits(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 1) return evenSplits(low, high);
  const splits = [];
  const every = Math.ceil(decades / 6);
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent += every) {
    for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) splits.push(factor * 10 ** exponent);
  }
  return splits.filter((value) => value >= low && value <= high);
}

function evenSplits(low, high) {
  const raw = (high - low) / 4;
  const unit = Math.max(10 ** Math.floor(Math.log10(raw)), Number.MIN_VALUE);
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((size) => size >= raw);
  const splits = Math.floor(high / step) - Math.ceil(low / step) + 1;
  return Array.from({ length: splits }, (_, i) => Number(((Math.ceil(low / step) + i) * step).toPrecision(12)));
}

// Those of 0, 1, 2, 5, 10, … that have room.
function logarithmicSteps({ min, max }, forward, backward) {
  const wanted = [0, ...WHOLE].filter((value) => value >= min && value <= max);
  if (wanted.length < 3)
    return [
      ...new Set(
        [0, 1, 2, 3, 4].map((i) => Math.round(backward(forward(min) + ((forward(max) - forward(min)) * i) / 4))),
      ),
    ].filter((value) => value >= min && value <= max);
  const room = (forward(max) - forward(min)) / 8;
  const splits = [];
  for (const value of wanted) if (!splits.length || forward(value) - forward(splits.at(-1)) >= room) splits.push(value);
  return splits;
}

// Indexes of points without a neighbour; none if there are too many of them.
function lonely(u, index) {
  const column = u.data[index];
  const [from, to] = u.series[0].idxs ?? [0, column.length - 1];
  const found = [];
  for (let i = from; i <= to; i++) {
    if (column[i] != null && column[i - 1] == null && column[i + 1] == null) found.push(i);
  }
  return found.length > LONELY_AT_MOST ? [] : found;
}
