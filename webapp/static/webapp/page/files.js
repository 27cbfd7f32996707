// Saves files that the page makes. CSV has the rules of webapp/exports/cells.py, which writes the same text.

const TYPES = { csv: "text/csv;charset=utf-8", json: "application/json", png: "image/png", svg: "image/svg+xml" };
const READ_BY = 60000; // ms: the browser may still be reading
const BYTE_ORDER_MARK = "\ufeff"; // by which Excel knows the charset
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^(?:[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-Infinity)$/;
const [FIRST_TIME, LAST_TIME] = [-62135596800000, 253402300799999]; // ms: the years 1 to 9999

// RFC 4180. `rows` are arrays of texts and numbers, null where there is none.
export const csv = (rows) => BYTE_ORDER_MARK + rows.map(line).join("");

function line(row) {
  const cells = row.map(quoted);
  return `${row.length === 1 && !cells[0] ? '""' : cells.join(",")}\r\n`;
}

function quoted(value) {
  const text = typeof value === "number" ? digits(value) : safe(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// The shortest digits that read back as the same number, or a word if it is not finite.
export const digits = (value) => (Object.is(value, -0) ? "-0" : String(value));

// A spreadsheet would take some texts for formulas. A number may have a sign.
const safe = (text) => (FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text);

// A time in ISO 8601; empty for one beyond the calendar, which MLflow accepts.
export const isoTime = (ms) => (ms >= FIRST_TIME && ms <= LAST_TIME ? new Date(ms).toISOString() : "");

// `kind` is csv, json, png or svg.
export function saveFile(title, kind, content) {
  const address = URL.createObjectURL(new Blob([content], { type: TYPES[kind] }));
  const name = title.replace(/[^\p{L}\p{N}@._-]+/gu, "-").replace(/^-+|-+$/g, "");
  Object.assign(document.createElement("a"), { href: address, download: `${name}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), READ_BY);
}
