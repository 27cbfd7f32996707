// Lists and pairs of any texts as one value of an address.

import { decoded } from "../page/permalink.js";

const NOTHING = ","; // told from no choice at all, which is the usual one

export const pack = (texts) => texts.map(encodeURIComponent).join(",");
export const unpack = (text) => (text ? text.split(",").map((part) => decoded(part)) : []);

// What a chooser has chosen; null: the usual.
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
