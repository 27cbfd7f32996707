// Smoothing of curves. Both kinds weigh by step, not by position: an overview and every step give the same curve.

export const NO_SMOOTHING = { kind: "ema", amount: 0 };
export const MOST = 0.99;
const KINDS = ["ema", "gaussian"];
const REACH = 3; // standard deviations of the Gaussian that count

// As an address has it: "ema-0.6", empty without smoothing.
export const smoothingText = ({ kind, amount }) => (amount ? `${kind}-${amount}` : "");

export function readSmoothing(text) {
  const [kind, amount] = text.split("-");
  return KINDS.includes(kind) && Number(amount) > 0 && Number(amount) <= MOST
    ? { kind, amount: Number(amount) }
    : NO_SMOOTHING;
}

// Returns what smooths one column over `steps`, of which `total` were logged from the first to the last. `amount` is the
// weight that a moment's value keeps one step later, 0 to 1. The Gaussian's standard deviation is the age in steps that
// the values of such an average have.
export function smoother({ kind, amount }, steps, total) {
  const step = (steps.at(-1) - steps[0]) / Math.max(total - 1, 1) || 1;
  return kind === "ema"
    ? (column) => average(column, steps, step, amount)
    : (column) => gaussian(column, steps, (step * amount) / (1 - amount));
}

// Exponential moving average, debiased: the first values don't lean towards zero.
function average(column, steps, step, amount) {
  let [sum, weight, before] = [0, 0, null];
  return column.map((value, i) => {
    if (!Number.isFinite(value)) return value;
    const kept = amount ** (before === null ? 1 : Math.max((steps[i] - before) / step, 0));
    before = steps[i];
    sum = kept * sum + (1 - kept) * value;
    weight = kept * weight + (1 - kept);
    return weight ? sum / weight : value;
  });
}

function gaussian(column, steps, deviation) {
  let from = 0;
  return column.map((value, i) => {
    if (!Number.isFinite(value)) return value;
    while (steps[from] < steps[i] - REACH * deviation) from += 1;
    let [sum, weight] = [0, 0];
    for (let j = from; j < steps.length && steps[j] <= steps[i] + REACH * deviation; j++) {
      if (!Number.isFinite(column[j])) continue;
      const share = Math.exp(-0.5 * ((steps[j] - steps[i]) / deviation) ** 2);
      sum += share * column[j];
      weight += share;
    }
    return sum / weight;
  });
}
