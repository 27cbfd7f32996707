// The runs of a comparison, each with its label, and its slot, which keeps its colour.

import { curvesOf } from "./metrics.js";

export const COLORS = 10;
const DASHES = [null, [7, 4], [2, 3], [10, 3, 2, 3], [4, 2]]; // of the first ten slots, the next ten, …
const SHORT = 4; // the fewest characters of a run ID in the label of runs with the same name

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

// A run's name; if several have it, with as much of the ID as tells them apart.
function labelsOf(documents) {
  const named = documents.map(({ name, mlflow_run_id: id }) => ({ id, name: name || id }));
  return new Map(
    named.map(({ id, name }) => {
      const others = named.filter((other) => other.name === name && other.id !== id).map((other) => other.id);
      let length = SHORT;
      while (length < id.length && others.some((other) => other.startsWith(id.slice(0, length)))) length += 1;
      return [id, others.length ? `${name} · ${id.slice(0, length)}` : name];
    }),
  );
}
