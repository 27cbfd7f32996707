// Saves files that the page makes.

const TYPES = { csv: "text/csv", json: "application/json", png: "image/png", svg: "image/svg+xml" };
const READ_BY = 60000; // ms: the browser may still be reading

// RFC 4180. `rows` are arrays of texts and numbers, null where there is none.
export const csv = (rows) => rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");

function field(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// `kind` is csv, json, png or svg.
export function saveFile(title, kind, content) {
  const address = URL.createObjectURL(new Blob([content], { type: TYPES[kind] }));
  const name = title.replace(/[^\p{L}\p{N}@._-]+/gu, "-").replace(/^-+|-+$/g, "");
  Object.assign(document.createElement("a"), { href: address, download: `${name}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), READ_BY);
}
