// Lists and pairs of any texts as one value of an address.

const NOTHING = ","; // told from no choice at all, which is the usual one

export const pack = (texts) => texts.map(encodeURIComponent).join(",");
export const unpack = (text) => (text ? text.split(",").map(decoded) : []);

// What a chooser has chosen; null: the usual.
export const choiceOf = (chosen) => (chosen ? pack(chosen) || NOTHING : "");
export const chosenIn = (text) => (text ? unpack(text) : null);

// Pairs: {name: [text, …]}
export const packAll = (lists) =>
  Object.entries(lists)
    .map((pair) => pair.flat().map(encodeURIComponent).join(":"))
    .join(",");
export const unpackAll = (text) =>
  Object.fromEntries(
    (text ? text.split(",") : []).map((part) => part.split(":").map(decoded)).map(([name, ...texts]) => [name, texts]),
  );

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // a link that was broken on its way: nothing is called so
  }
}
