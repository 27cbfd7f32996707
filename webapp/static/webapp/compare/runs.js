// The runs of a comparison, each with its label, and its slot, which keeps its colour.

import { curvesOf } from "./metrics.js";

export const COLORS = 10;
const DASHES = [null, [7, 4], [2, 3], [10, 3, 2, 3], [4, 2]]; // of the first ten slots, the next ten, …
const SHORT = 8; // characters of a run ID in the label of runs with the same name

// A run is {id, slot, color, dash, label, row, told, history, curves}. `row` is the API's; `history` is null while it
// is not warm; `told` are its summaries, null also if an older worker has warmed it; `curves` is key → values.
export function runsOf(documents, slots) {
  const labels = labelsOf(documents);
  return documents.map(({ history, summaries: told = null, ...row }) => {
    const id = row.mlflow_run_id;
    const slot = slots.get(id);
    return {
      id,
      slot,
      row,
      told,
      history,
      label: labels.get(id),
      color: `run-${slot % COLORS}`,
      dash: DASHES[Math.floor(slot / COLORS) % DASHES.length],
      curves: history ? curvesOf(history) : new Map(),
    };
  });
}

// Run ID → slot, from an address's `runs` and `slots`; by order, if `slots` is missing or does not fit.
export function slotsOf(ids, text) {
  const named = text
    .split(",")
    .filter((part) => /^\d{1,3}$/.test(part))
    .map(Number);
  const fits = named.length === ids.length && new Set(named).size === ids.length;
  return new Map(ids.map((id, i) => [id, fits ? named[i] : i]));
}

// The lowest slot that no run has.
export function freeSlot(slots) {
  const taken = new Set(slots.values());
  let slot = 0;
  while (taken.has(slot)) slot += 1;
  return slot;
}

// A run's name; if several have it, with enough of the ID to tell them apart.
function labelsOf(documents) {
  const names = documents.map(({ name, mlflow_run_id: id }) => name || id);
  const short = documents.map(({ mlflow_run_id: id }, i) => `${names[i]} · ${id.slice(0, SHORT)}`);
  const once = (list, text) => list.indexOf(text) === list.lastIndexOf(text);
  const label = (id, i) => {
    if (once(names, names[i])) return names[i];
    return once(short, short[i]) ? short[i] : `${names[i]} · ${id}`;
  };
  return new Map(documents.map(({ mlflow_run_id: id }, i) => [id, label(id, i)]));
}
