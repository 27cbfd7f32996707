// The word for the steps of runs, as the worker decided it for each.

import { unitOf } from "../charts/specs.js";

// "epoch" if all of these runs count epochs.
export const commonUnit = (runs) => (runs.every(({ history }) => unitOf(history) === "epoch") ? "epoch" : "step");

export const titled = (unit) => unit[0].toUpperCase() + unit.slice(1);
