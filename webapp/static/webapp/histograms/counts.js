// How high, or how dark, a count is drawn: 0 to 1.

import { evenTicks, powersOfTen } from "../charts/axis.js";
import { count } from "../page/format.js";

const LINEAR_SHARE = 1000; // a symmetric logarithm is linear up to the highest count over this

// `kind` is linear, log or symlog; `top` is the highest count. Returns {height(value), ticks(wanted): [[value, label],
// …]}.
export function countScale(kind, top) {
  if (kind === "log")
    return {
      height: (value) => (value >= 1 ? (1 + Math.log10(value)) / (1 + Math.log10(top)) : 0),
      ticks: () => powers(1, top),
    };
  if (kind === "symlog") {
    const least = Math.max(top / LINEAR_SHARE, 1);
    return {
      height: (value) => Math.log1p((value ?? 0) / least) / Math.log1p(top / least),
      ticks: () => [[0, "0"], ...powers(least, top)],
    };
  }
  return {
    height: (value) => (value ?? 0) / top,
    ticks: (wanted) =>
      evenTicks(0, top, wanted).map(([value, label]) => [value, value >= 1000 ? thousands(value) : label]),
  };
}

const powers = (low, high) =>
  powersOfTen(low, high).map((value) => [value, value >= 1000 ? thousands(value) : count(value)]);

const thousands = (value) => `${count(value / 1000)}k`;
