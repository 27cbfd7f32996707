// Smoothing. Both kinds weigh by step, not by position, so that an overview gives the same curve as all steps.

export const NO_SMOOTHING = { kind: "ema", amount: 0 };
export const MOST = 0.99;
const KINDS = ["ema", "gaussian"];
const REACH = 3; // standard deviations; the Gaussian ends there

// For an address: "ema-0.6", empty without smoothing.
export const smoothingText = ({ kind, amount }) => (amount ? `${kind}-${amount}` : "");

export function readSmoothing(text) {
  const [kind, amount] = text.split("-");
  return KINDS.includes(kind) && Number(amount) > 0 && Number(amount) <= MOST
    ? { kind, amount: Number(amount) }
    : NO_SMOOTHING;
}

// Returns a function that smooths a column of values at `steps`; `total` steps were logged from the first to the last.
// `amount`, 0 to 1, is the weight that the average keeps from one step to the next. The Gaussian's standard deviation
// is the mean age in steps of the values in such an average.
export function smoother({ kind, amount }, steps, total) {
  const step = (steps.at(-1) - steps[0]) / Math.max(total - 1, 1) || 1;
  return kind === "ema"
    ? (column) => average(column, steps, step, amount)
    : (column) => gaussian(column, steps, (step * amount) / (1 - amount));
}

// Exponential moving average, debiased, so that the first values don't lean towards zero.
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
