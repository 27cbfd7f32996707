// The word for the steps of runs, as the worker decided it for each.

import { unitOf } from "../charts/specs.js";

// The word of all these runs; "step" if they have several.
export function commonUnit(runs) {
  const units = new Set(runs.map(({ history }) => unitOf(history)));
  return units.size === 1 ? [...units][0] : "step";
}

export const titled = (unit) => unit[0].toUpperCase() + unit.slice(1);
