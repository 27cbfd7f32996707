// The values of a chart's curves, and what may stand where there is none: a value that is not finite, a step that the
// metric lacks, or, in an overview, values logged between two steps that it keeps.

import { exact, number } from "../page/format.js";
import { valuesOf } from "./catalogue.js";

const KIND = { NaN: "NaN", Infinity: "∞", "-Infinity": "−∞" };

export class Columns {
  constructor(series, data) {
    this.series = series;
    this.data = data;
    // One map a curve: step → kind of a value that is not finite.
    this.gaps = series.map(
      ({ key }) =>
        new Map(data.non_finite.filter((mark) => mark.metric === key).map((mark) => [mark.epoch, mark.kind])),
    );
    this.values = series.map((one) => read(one, data));
    // As uPlot draws them: `null` breaks a curve, `undefined` is passed over.
    this.drawn = this.values.map((values, i) =>
      values.map((value, j) => value ?? (this.gaps[i].has(data.epochs[j]) ? null : this.between(i, j)?.middle)),
    );
  }

  // Whether the metric has anything to show.
  static has(one, data) {
    const { key } = one;
    const values = read(one, data);
    const some = (column) => Boolean(column?.some((value) => value !== null));
    return (
      Boolean(values) &&
      (some(values) || some(data.envelope[key]?.min) || data.non_finite.some((mark) => mark.metric === key))
    );
  }

  // What was logged after the kept step before this one; undefined where nothing was.
  between(i, j) {
    const envelope = this.data.envelope[this.series[i].key];
    if (envelope?.passing?.[j]) return undefined; // a step of another curve
    const [low, high] = [envelope?.min[j] ?? null, envelope?.max[j] ?? null];
    return low === null || high === null ? undefined : { low, high, middle: low + (high - low) / 2 };
  }

  // For people: the value, or the last one before.
  text(i, j) {
    const { epochs } = this.data;
    for (let at = j; at >= 0; at--) {
      const [value, kind] = [this.values[i][at], this.gaps[i].get(epochs[at])];
      const since = at === j ? "" : ` @${epochs[at]}`;
      if (value !== null) return number(value) + since;
      if (kind) return KIND[kind] + since;
      const between = this.between(i, at);
      if (between) return `≈ ${number(between.middle)}${since}`;
    }
    return "–";
  }

  // For exports: the value, or the kind of one that is not finite, or null.
  logged(i, j) {
    return this.values[i][j] ?? this.gaps[i].get(this.data.epochs[j]) ?? null;
  }

  // For tables: as the JSON has it.
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

// One sentence that says what a curve does.
export function describe(columns, i, { unit, plain }) {
  const { epochs } = columns.data;
  const name = plain ? "" : `${columns.series[i].label} `;
  const also = notFinite(columns.gaps[i].size);
  let [first, last, least, greatest, known] = [null, null, null, null, 0];
  columns.drawn[i].forEach((value, j) => {
    if (value === null || value === undefined) return;
    known += 1;
    last = { value, epoch: epochs[j] };
    first ??= last;
    if (!least || value < least.value) least = last;
    if (!greatest || value > greatest.value) greatest = last;
  });
  if (!known) return `${plain ? "No" : `${name.trim()}: no`} finite value.${also}`;
  if (known === 1) return `${name}${number(first.value)} at ${unit} ${first.epoch}.${also}`;
  const falls = last.value < first.value;
  const extreme = falls ? least : greatest;
  return `${name}${number(first.value)} → ${number(last.value)}, ${falls ? "least" : "greatest"} ${number(extreme.value)} at ${unit} ${extreme.epoch}.${also}`;
}
