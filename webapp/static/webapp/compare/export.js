// The whole comparison as a file: CSV and JSON of what the page has loaded.

import { csv, saveFile } from "../page/files.js";
import { exact } from "../page/format.js";

// One line for each run, with every field in MLflow's own digits.
export function saveCsv(runs, fields) {
  const head = ["run_id", "name", ...fields.map(({ id }) => id)];
  const lines = runs.map((run) => [run.id, run.row.name, ...fields.map(({ values }) => exact(values.get(run.id)))]);
  saveFile("comparison", "csv", csv([head, ...lines]));
}

// Runs as the API gives them.
export function saveJson(runs) {
  const content = JSON.stringify({ runs: runs.map(({ row, history }) => ({ ...row, history })) }, null, 1);
  saveFile("comparison", "json", content);
}
