// The value axis of histograms: linear, or symmetric-log if the edges span decades on both sides of zero.

import { number, power } from "../page/format.js";

const DECADES_THAT_NEED_LOG = 3;

// {position(value) → 0…1, ticks: [[value, label]], symlog}
export function valueAxis(edgesByEpoch) {
  const first = edgesByEpoch[0];
  const low = Math.min(...edgesByEpoch.map((edges) => edges[0]));
  const high = Math.max(...edgesByEpoch.map((edges) => edges.at(-1)));
  const sizes = first.filter((edge) => edge !== 0).map(Math.abs);
  const least = Math.min(...sizes);
  const decades = Math.log10(Math.max(...sizes) / least);
  const gaps = first.slice(1).map((edge, i) => edge - first[i]);
  // Of equal bins an edge may be near zero by chance; the bins of a symmetric-log axis differ in width by decades.
  const uneven = Math.max(...gaps) / Math.min(...gaps) > 10 ** DECADES_THAT_NEED_LOG;
  return decades > DECADES_THAT_NEED_LOG && uneven ? symlog(low, high, least, first) : linear(low, high);
}

function linear(low, high) {
  const span = high - low || 1;
  return { position: (value) => (value - low) / span, ticks: evenTicks(low, high), symlog: false };
}

// Linear within ±`least`, logarithmic outside. The linear part is as wide as one bin beside it.
function symlog(low, high, least, edges) {
  const outer = edges.filter((edge) => edge >= least);
  const middle = outer.length > 1 ? Math.log10(outer[1] / outer[0]) / 2 : 0.5;
  const forward = (value) =>
    Math.abs(value) <= least
      ? (value / least) * middle
      : Math.sign(value) * (middle + Math.log10(Math.abs(value) / least));
  const [from, to] = [forward(low), forward(high)];
  const ticks = [];
  const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))) + 1e-9);
  for (let exponent = top; exponent >= Math.log10(least) - 1e-9; exponent -= 2) {
    for (const value of [-(10 ** exponent), 10 ** exponent])
      if (value >= low * (1 + 1e-9) && value <= high * (1 + 1e-9)) ticks.push([value, power(value)]);
  }
  if (low < 0 && high > 0) ticks.push([0, "0"]);
  return { position: (value) => (forward(value) - from) / (to - from), ticks, symlog: true };
}

// 10, 100, … within these values, both of them positive.
export function powersOfTen(low, high) {
  const [first, last] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => 10 ** (first + i));
}

export function evenTicks(low, high, wanted = 6) {
  const raw = (high - low) / wanted || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= raw);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    const value = Number((i * step).toPrecision(12));
    ticks.push([value, number(value)]);
  }
  return ticks;
}
