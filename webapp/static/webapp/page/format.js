// Numbers, times and names as texts.

import { digits } from "./files.js";

// Values that JSON has no number for, as documents name them.
export const KINDS = { __proto__: null, NaN: "NaN", Infinity: "∞", "-Infinity": "−∞" };
const MOST_DIGITS = 17; // that a number needs to be told from its neighbours

// With so many significant digits; by default three of them before an exponent.
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return KINDS[value] ?? value;
  if (!Number.isFinite(value)) return KINDS[value];
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= Math.max(1e6, 10 ** digits)))
    return value
      .toExponential(digits === 4 ? 2 : digits - 1)
      .replace("e+", "e")
      .replace("-", "−")
      .replace("e-", "e−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

// Number → its text. Different numbers have different texts, of as many digits as that takes.
export function apart(values) {
  const different = [...new Set(values)];
  let texts = [];
  for (let digits = 4; digits <= MOST_DIGITS; digits++) {
    texts = different.map((value) => number(value, digits));
    if (new Set(texts).size === different.length) break;
  }
  return new Map(different.map((value, i) => [value, texts[i]]));
}

// Labels of an axis, as short as possible, all different.
export function ticks(values) {
  let labels = [];
  for (let digits = 4; digits <= MOST_DIGITS; digits++) {
    labels = values.map((value) => (value === null ? "" : tick(value, digits)));
    if (new Set(labels).size === labels.length) break;
  }
  return labels;
}

function tick(value, digits) {
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(digits));
  const text =
    size === 0 || (size >= 1e-3 && size < 1e6) ? String(rounded) : rounded.toExponential().replace("e+", "e");
  return text.replaceAll("-", "−");
}

// All digits, as in the JSON.
export function exact(value) {
  if (value === null || value === undefined) return "";
  return KINDS[value] ?? (typeof value === "number" ? digits(value) : String(value));
}

// Makes an Intl object when it is first needed. The first one takes a new browser process 15 ms, each further one 1 ms,
// and most run pages need none to show their charts.
function made(Kind, language, options) {
  let one = null;
  return () => {
    one ??= new Kind(language, options);
    return one;
  };
}

// With commas between thousands, and at most three decimals.
export function count(value) {
  if (value === null || value === undefined) return "–";
  const [whole, decimals] = String(Math.round(value * 1000) / 1000).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (decimals ? `.${decimals}` : "");
}

// Compares names without case, and numbers in them by value.
export function byName(a, b) {
  const [one, other] = [a, b].map((name) =>
    String(name)
      .toLowerCase()
      .replace(/\d+/g, (digits) => digits.padStart(15, "0")),
  );
  return one < other ? -1 : Number(one > other);
}

// The text, cut to at most `most` characters.
export const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(2))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Number((seconds / 3600).toFixed(1))} h`;
  return `${Math.round(seconds / 86400)} days`;
}

const TEN_YEARS = 3652 * 86400; // seconds
// Between two times; null without one of them, or beyond ten years: a client's clock was wrong.
export function seconds(from, to) {
  const passed = from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : null;
  return passed === null || passed > TEN_YEARS ? null : passed;
}

const TIME = made(Intl.DateTimeFormat, undefined, { dateStyle: "medium", timeStyle: "medium" });
export const time = (text) => (text ? TIME().format(Date.parse(text)) : "–");

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const MOMENT = made(Intl.DateTimeFormat, "en", { month: "short", day: "numeric", ...CLOCK });
const SECOND = made(Intl.DateTimeFormat, "en", CLOCK);
export const moment = (ms) => MOMENT().format(ms);
// Without the date.
export const second = (ms) => SECOND().format(ms);

// The label of a tick on a time axis, as short as possible. Ticks are `increment` seconds apart.
export function clock(seconds, increment) {
  const at = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  if (increment >= 86400 || (increment >= 60 && at.getHours() + at.getMinutes() === 0))
    return at.toLocaleDateString("en", { month: "short", day: "numeric" });
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (increment >= 60) return minutes;
  return increment >= 1
    ? `${minutes}:${two(at.getSeconds())}`
    : `${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

// "3 min ago", or "in 1970" of a client's wrong clock, as the server says it.
export function ago(text) {
  const passed = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  if (passed > TEN_YEARS) return `in ${new Date(text).getUTCFullYear()}`;
  for (const [size, unit] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]) {
    if (passed >= size) return `${Math.floor(passed / size)} ${unit} ago`;
  }
  return "just now";
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
export function power(value) {
  if (value === 0) return "0";
  const exponent = Math.round(Math.log10(Math.abs(value)));
  const digits = [...String(exponent)].map((digit) => SUPERSCRIPT[digit]).join("");
  return `${value < 0 ? "−" : ""}${exponent === 0 ? "1" : `10${digits}`}`;
}
