// The axis of a field: from values to places, 0 to 1, and back.

import { evenTicks, powersOfTen } from "../charts/axis.js";
import { byName, number } from "../page/format.js";

const SPAN_FOR_LOG = 100; // positive values that differ by this factor have a logarithmic axis by default

// The kinds of axis that suit the field, "linear", "log" or "category"; the default comes first.
export function kindsOf({ numeric, values }) {
  if (!numeric) return ["category"];
  const known = [...values.values()].filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (!(low > 0)) return ["linear"];
  return high / low >= SPAN_FOR_LOG ? ["log", "linear"] : ["linear", "log"];
}

export class Scale {
  constructor(field, kind) {
    this.field = field;
    this.kind = kindsOf(field).includes(kind) ? kind : kindsOf(field)[0];
    const known = [...new Set(field.values.values())].filter((value) => value !== null);
    this.categories = this.kind === "category" ? known.sort(byName) : null;
    [this.low, this.high] = this.categories
      ? [0, this.categories.length - 1]
      : [Math.min(...known), Math.max(...known)];
  }

  // null for a value that is not on the axis.
  position(value) {
    if (value === null || value === undefined) return null;
    const at = this.categories ? this.categories.indexOf(value) : value;
    if (this.categories && at < 0) return null;
    if (this.low === this.high) return 0.5;
    return (this.#forward(at) - this.#forward(this.low)) / (this.#forward(this.high) - this.#forward(this.low));
  }

  // The value at a place, or the nearest category.
  at(position) {
    const [from, to] = [this.#forward(this.low), this.#forward(this.high)];
    const value = from + (to - from) * position;
    if (this.categories) return this.categories[Math.round(value)];
    return Number((this.kind === "log" ? 10 ** value : value).toPrecision(6));
  }

  // [[place, label]], ascending.
  get ticks() {
    if (this.categories) return this.categories.map((value) => [this.position(value), value || "(empty)"]);
    if (this.low === this.high) return [[0.5, number(this.low)]];
    const values =
      this.kind === "log"
        ? powersOfTen(this.low, this.high)
        : evenTicks(this.low, this.high, 4).map(([value]) => value);
    return [...new Set([this.low, ...values, this.high])].map((value) => [this.position(value), number(value)]);
  }

  #forward(value) {
    return this.kind === "log" ? Math.log10(value) : value;
  }
}

// The labels that have room, each at least `gap` (0 to 1) from those before; the two ends come first.
export function roomy(ticks, gap) {
  const kept = [];
  for (const tick of [ticks[0], ticks.at(-1), ...ticks.slice(1, -1)])
    if (tick && kept.every(([at]) => Math.abs(at - tick[0]) >= gap)) kept.push(tick);
  return kept;
}
