// The whole comparison as a file: CSV and JSON of what the page has loaded.

import { csv, saveFile } from "../page/files.js";

// For a CSV: a line for each run, with these fields. Parameters are as they were logged.
export function rowsOf(runs, fields) {
  const value = ({ group, values, raw }, id) => (group === "param" ? raw : values).get(id);
  return [
    ["run_id", "name", ...fields.map(({ column }) => column)],
    ...runs.map(({ id, row }) => [id, row.name, ...fields.map((field) => value(field, id))]),
  ];
}

export const saveCsv = (runs, fields) => saveFile("comparison", "csv", csv(rowsOf(runs, fields)));

// Runs as the API gives them.
export function saveJson(runs) {
  const documents = runs.map(({ row, told, history }) => ({ ...row, summaries: told, history }));
  saveFile("comparison", "json", JSON.stringify({ runs: documents }, null, 1));
}
