// The values of a chart's curves. A step without one has a value that is not finite, or none of this metric; in an
// overview there may be values between two kept steps.

import { apart, count, exact, KINDS, number } from "../page/format.js";
import { valuesOf } from "./catalogue.js";

export class Columns {
  constructor(series, data) {
    this.series = series;
    this.data = data;
    // For each curve: step → kind of a value that is not finite.
    this.gaps = series.map(
      ({ key }) =>
        new Map(data.non_finite.filter((mark) => mark.metric === key).map((mark) => [mark.epoch, mark.kind])),
    );
    this.values = series.map((one) => read(one, data));
    // As uPlot takes them: `null` breaks the curve, `undefined` does not.
    this.drawn = this.values.map((values, i) =>
      values.map((value, j) => value ?? (this.gaps[i].has(data.epochs[j]) ? null : this.between(i, j)?.middle)),
    );
  }

  // Last value → its text, for all curves with a summary: different values have different texts.
  get lasts() {
    this.lastTexts ??= apart(this.series.map(({ summary }) => Number(summary?.last.value ?? 0)));
    return this.lastTexts;
  }

  // Whether there is anything to show for this series.
  static has(one, data) {
    const { key } = one;
    const values = read(one, data);
    const some = (column) => Boolean(column?.some((value) => value !== null));
    return (
      Boolean(values) &&
      (some(values) || some(data.envelope[key]?.min) || data.non_finite.some((mark) => mark.metric === key))
    );
  }

  // {low, high, middle} of what was logged since the kept step before; undefined if nothing was.
  between(i, j) {
    const envelope = this.data.envelope[this.series[i].key];
    if (envelope?.passing?.[j]) return undefined; // a step of another curve
    const [low, high] = [envelope?.min[j] ?? null, envelope?.max[j] ?? null];
    return low === null || high === null ? undefined : { low, high, middle: low + (high - low) / 2 };
  }

  // The value as text, or the last one before with its step.
  text(i, j) {
    const { epochs } = this.data;
    for (let at = j; at >= 0; at--) {
      const [value, kind] = [this.values[i][at], this.gaps[i].get(epochs[at])];
      const since = at === j ? "" : ` @${epochs[at]}`;
      if (value !== null) return number(value) + since;
      if (kind) return KINDS[kind] + since;
      const between = this.between(i, at);
      if (between) return `≈ ${number(between.middle)}${since}`;
    }
    return "–";
  }

  // For exports: the value, or the kind of one that is not finite, or null.
  logged(i, j) {
    return this.values[i][j] ?? this.gaps[i].get(this.data.epochs[j]) ?? null;
  }

  // For tables: all digits.
  exact(i, j) {
    const value = this.values[i][j];
    if (value !== null) return exact(value);
    const kind = this.gaps[i].get(this.data.epochs[j]);
    const between = kind ? undefined : this.between(i, j);
    if (!between) return kind ?? "";
    return between.low === between.high ? `≈ ${between.low}` : `${between.low} … ${between.high}`;
  }
}

const read = (one, data) => (one.read ? one.read(data) : valuesOf(data, one.key));

// A sentence that follows another.
export const notFinite = (many) => (many ? ` ${many} ${many === 1 ? "value is" : "values are"} not finite.` : "");

// How many points of a metric are not finite.
export const gapsOf = ({ nan, infinity, minus_infinity: minus }) => nan + infinity + minus;

// The value at rest: the metric's last one, with its step if that is not the chart's last.
export function lastText(columns, i) {
  const { data, series } = columns;
  const { summary } = series[i];
  const end = data.epochs.length - 1;
  if (summary === null) return "…";
  if (!summary) return columns.text(i, end);
  const { value, step } = summary.last;
  return (
    columns.lasts.get(Number(value)) + (data.counted || data.elapsed || step === data.epochs[end] ? "" : ` @${step}`)
  );
}

// Sentences about a curve: its first and last value, its min or max, and what of it is not drawn as the others.
export function describe(columns, i, spec) {
  const one = columns.series[i];
  if (one.summary === null) return `${one.label}: numbers are being rebuilt.`;
  return one.summary ? toldOf(one, columns.data, spec) : seenOf(columns, i, spec);
}

function toldOf({ label, key, summary, replaced }, { earlier, counted }, { unit: axis, stepUnit: unit = axis, plain }) {
  const name = plain ? "" : `${label} `;
  const { first, last, min, max } = summary;
  const at = ({ step }) => (counted ? "" : ` at ${unit} ${step}`);
  const also =
    notFinite(gapsOf(summary)) +
    again(earlier?.[key]?.length ?? 0, unit) +
    (replaced ? ` ${count(replaced)} ${replaced === 1 ? "point is" : "points are"} not drawn: replaced later.` : "") +
    (counted ? ` All points are of step ${last.step}, drawn by time.` : merged(summary, unit));
  if (!min) return `${plain ? "No" : `${name.trim()}: no`} finite value.${also}`;
  const far = Number.isFinite(max.value - min.value) ? "" : " Its values lie too far apart for a browser to draw.";
  if (summary.count === 1) return `${name}${number(last.value)}${at(last)}.${also}`;
  const [word, extreme] = Number(last.value) < Number(first.value) ? ["min", min] : ["max", max];
  const [from, to, most] = [first, last, extreme].map(({ value }) => Number(value));
  const texts = apart([from, to, most]);
  return `${name}${texts.get(from)} → ${texts.get(to)}, ${word} ${texts.get(most)}${at(extreme)}.${also}${far}`;
}

// Numbers in JavaScript have 53 bits.
const merged = ({ first, last }, unit) =>
  Math.max(-first.step, last.step) > Number.MAX_SAFE_INTEGER
    ? ` A browser can't tell all ${unit}s of this size apart: some neighbours are drawn as one. Files have them all.`
    : "";

const again = (segments, unit) =>
  segments
    ? ` Its ${unit}s began again: ${segments === 1 ? "an earlier part is" : `${segments} earlier parts are`} faint.`
    : "";

// The same of the drawn values, for curves without a summary.
function seenOf(columns, i, { unit, plain }) {
  const { epochs } = columns.data;
  const name = plain ? "" : `${columns.series[i].label} `;
  const also = notFinite(columns.gaps[i].size);
  let [first, last, min, max, known] = [null, null, null, null, 0];
  columns.drawn[i].forEach((value, j) => {
    if (value === null || value === undefined) return;
    known += 1;
    last = { value, epoch: epochs[j] };
    first ??= last;
    if (!min || value < min.value) min = last;
    if (!max || value > max.value) max = last;
  });
  if (!known) return `${plain ? "No" : `${name.trim()}: no`} finite value.${also}`;
  if (known === 1) return `${name}${number(first.value)} at ${unit} ${first.epoch}.${also}`;
  const [word, extreme] = last.value < first.value ? ["min", min] : ["max", max];
  const range = `${number(first.value)} → ${number(last.value)}`;
  return `${name}${range}, ${word} ${number(extreme.value)} at ${unit} ${extreme.epoch}.${also}`;
}
