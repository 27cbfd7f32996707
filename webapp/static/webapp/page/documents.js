// Reads JSON; no other module does. Objects keyed by users' names (metrics, parameters, tags) lose their prototype, so
// that a metric called `constructor` is in one only if it was logged.

const NAMED_BY_USERS = [
  "chunk_of",
  "clock_of",
  "cut",
  "earlier",
  "envelope",
  "final_metrics",
  "metrics",
  "params",
  "replaced",
  "tags",
];

export const parsed = (text) => withoutPrototypes(JSON.parse(text));

export const documentOf = async (response) => withoutPrototypes(await response.json());

// The answer's document. Throws on any status but those of success.
export async function read(address, options) {
  const response = await fetch(address, options);
  if (!response.ok)
    throw Object.assign(new Error(`The server answered ${response.status}.`), { status: response.status });
  return documentOf(response);
}

// An object without a prototype, of [[key, value], …].
export function byName(entries) {
  const object = Object.create(null);
  for (const [key, value] of entries) object[key] = value;
  return object;
}

// In the document itself, in each of its runs, and in a run's summaries and history.
function withoutPrototypes(document) {
  for (const name of NAMED_BY_USERS) {
    const member = document[name];
    if (member && !Array.isArray(member)) Object.setPrototypeOf(member, null);
  }
  for (const part of [document.summaries, document.history, ...(document.runs ?? [])])
    if (part) withoutPrototypes(part);
  return document;
}
