// The runs of a comparison: what each is called, and the place that gives it its colour for as long as it is there.

import { curvesOf } from "./metrics.js";

export const COLORS = 10;
const DASHES = [null, [7, 4], [2, 3], [10, 3, 2, 3], [4, 2]]; // of the first ten places, the next ten, …
const SHORT = 8; // characters of a run ID that tell it from others of its name

// A run is {id, slot, color, dash, label, row, history, curves}: `row` is the API's, `history` null while it is not warm,
// `curves` its metrics by key.
export function runsOf(documents, slots) {
  const labels = labelsOf(documents);
  return documents.map(({ history, ...row }) => {
    const id = row.mlflow_run_id;
    const slot = slots.get(id);
    return {
      id,
      slot,
      row,
      history,
      label: labels.get(id),
      color: `run-${slot % COLORS}`,
      dash: DASHES[Math.floor(slot / COLORS) % DASHES.length],
      curves: history ? curvesOf(history) : new Map(),
    };
  });
}

// Run ID → place, of an address's `runs` and `slots`. Without the latter, or with one that does not fit, by order.
export function slotsOf(ids, text) {
  const named = text
    .split(",")
    .filter((part) => /^\d{1,3}$/.test(part))
    .map(Number);
  const fits = named.length === ids.length && new Set(named).size === ids.length;
  return new Map(ids.map((id, i) => [id, fits ? named[i] : i]));
}

// The least place that no run has.
export function freeSlot(slots) {
  const taken = new Set(slots.values());
  let slot = 0;
  while (taken.has(slot)) slot += 1;
  return slot;
}

// A run's name; where several have it, with as much of the ID as tells them apart.
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
