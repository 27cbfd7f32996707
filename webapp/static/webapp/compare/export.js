// What the page has loaded, as files.

import { el } from "../page/dom.js";
import { exact } from "../page/format.js";

// A run per line; every field, in MLflow's own digits. RFC 4180.
export function asCsv(runs, fields) {
  const head = ["run_id", "name", ...fields.map(({ id }) => id)];
  const lines = runs.map((run) => [run.id, run.row.name, ...fields.map(({ values }) => exact(values.get(run.id)))]);
  return [head, ...lines].map((cells) => `${cells.map(quoted).join(",")}\r\n`).join("");
}

// Runs as the API gives them.
export function asJson(runs) {
  return JSON.stringify({ runs: runs.map(({ row, history }) => ({ ...row, history })) }, null, 1);
}

export function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

const quoted = (text) => (/[",\r\n]/.test(text ?? "") ? `"${text.replaceAll('"', '""')}"` : (text ?? ""));
