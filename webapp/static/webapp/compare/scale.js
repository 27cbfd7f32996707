// The axis of a field: from values to places, 0 to 1, and back. Values that are not finite are not on it.

import { evenTicks, powersOfTen } from "../charts/axis.js";
import { apart, byName } from "../page/format.js";

const SPAN_FOR_LOG = 100; // positive values that differ by this factor have a logarithmic axis by default
const DIGITS_IN_SPAN = 6; // of a place's value, by which the ends of an axis differ
const MOST_DIGITS = 17;

// The kinds of axis that suit the field, "linear", "log" or "category"; the default comes first.
export function kindsOf({ numeric, values }) {
  if (!numeric) return ["category"];
  const known = [...values.values()].filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (!(low > 0)) return ["linear"];
  return high / low >= SPAN_FOR_LOG ? ["log", "linear"] : ["linear", "log"];
}

export class Scale {
  constructor(field, kind) {
    this.field = field;
    this.kind = kindsOf(field).includes(kind) ? kind : kindsOf(field)[0];
    const values = [...new Set(field.values.values())];
    this.categories = this.kind === "category" ? values.filter((value) => value !== null).sort(byName) : null;
    const known = values.filter(Number.isFinite);
    [this.low, this.high] = this.categories
      ? [0, this.categories.length - 1]
      : [Math.min(...known), Math.max(...known)];
  }

  // null for a value that is not on the axis.
  position(value) {
    if (value === null || value === undefined) return null;
    const at = this.categories ? this.categories.indexOf(value) : value;
    if (this.categories ? at < 0 : !Number.isFinite(at)) return null;
    if (this.low === this.high) return 0.5;
    const [from, to] = this.#ends;
    return (this.#forward(at) - from) / (to - from);
  }

  // The value at a place, or the nearest category.
  at(position) {
    const [from, to] = this.#ends;
    if (this.categories) return this.categories[Math.round(from + (to - from) * position)];
    if (position <= 0 || position >= 1) return position <= 0 ? this.low : this.high;
    const value = this.#backward(from + (to - from) * position);
    return Number(value.toPrecision(Math.min(DIGITS_IN_SPAN + this.#shared, MOST_DIGITS)));
  }

  // The value at a place, told from the ends of the axis.
  text(position) {
    const value = this.at(position);
    return this.categories ? String(value ?? "") : apart([this.low, this.high, value]).get(value);
  }

  // [[place, label]], ascending.
  get ticks() {
    if (this.categories) return this.categories.map((value) => [this.position(value), value || "(empty)"]);
    const values = [...new Set([this.low, ...this.#between(), this.high])];
    const texts = apart(values);
    return values.map((value) => [this.position(value), texts.get(value)]);
  }

  #between() {
    if (this.low === this.high) return [];
    if (this.kind === "log") return powersOfTen(this.low, this.high);
    if (!Number.isFinite(this.high - this.low)) return [0];
    if (this.#shared > MOST_DIGITS - DIGITS_IN_SPAN) return []; // a step may be less than a number can tell
    return evenTicks(this.low, this.high, 4).map(([value]) => value);
  }

  // How many digits all places have in common.
  get #shared() {
    const size = Math.max(Math.abs(this.low), Math.abs(this.high));
    return Math.max(Math.ceil(Math.log10(size / (this.high - this.low))) || 0, 0);
  }

  get #ends() {
    return [this.#forward(this.low), this.#forward(this.high)];
  }

  // Halves, as the whole span may be more than a number can hold.
  #forward(value) {
    if (this.kind === "log") return Math.log10(value);
    return this.categories || Number.isFinite(this.high - this.low) ? value : value / 2;
  }

  #backward(place) {
    if (this.kind === "log") return 10 ** place;
    return Number.isFinite(this.high - this.low) ? place : place * 2;
  }
}

// The labels that have room, each at least `gap` (0 to 1) from those before; the two ends come first.
export function roomy(ticks, gap) {
  const kept = [];
  for (const tick of [ticks[0], ticks.at(-1), ...ticks.slice(1, -1)])
    if (tick && kept.every(([at]) => Math.abs(at - tick[0]) >= gap)) kept.push(tick);
  return kept;
}
