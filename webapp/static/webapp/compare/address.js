// Packs lists and maps of texts into one value of an address.

import { decoded } from "../page/permalink.js";

const NOTHING = ","; // an empty choice; an empty text means the default

export const pack = (texts) => texts.map(encodeURIComponent).join(",");
export const unpack = (text) => (text ? text.split(",").map((part) => decoded(part)) : []);

// A chooser's choice; null is the default.
export const choiceOf = (chosen) => (chosen ? pack(chosen) || NOTHING : "");
export const chosenIn = (text) => (text ? unpack(text) : null);

// A Map of name → [text, …].
export const packAll = (lists) =>
  [...lists].map(([name, texts]) => [name, ...texts].map(encodeURIComponent).join(":")).join(",");
export const unpackAll = (text) =>
  new Map(
    (text ? text.split(",") : [])
      .map((part) => part.split(":").map((one) => decoded(one)))
      .map(([name, ...texts]) => [name, texts]),
  );
