// What the drawn parts of the page share: SVG elements, a run's line, a table of some fields.

import { el, svg, table } from "../page/dom.js";
import { textOf } from "./fields.js";

const [LONG_NAME, TAIL] = [16, 8]; // characters

// A short piece of a run's line, for eyes only.
export function swatch({ color, dash }) {
  return svg(
    "svg",
    { class: "line-swatch", width: 22, height: 8, "aria-hidden": "true", "data-color": color },
    svg("path", { d: "M0 4H22", "stroke-dasharray": dash?.join(" ") }),
  );
}

// A name that is cut in its middle where there is no room for it: names of runs that were made by one program differ at
// their ends.
export function nameOf(label) {
  const tail = label.length > LONG_NAME ? label.slice(-TAIL) : "";
  return el(
    "span",
    { class: "cut", title: label },
    el("span", {}, tail ? label.slice(0, -TAIL) : label),
    tail && el("span", {}, tail),
  );
}

export function fieldTable(caption, runs, fields) {
  return table(
    caption,
    ["run", ...fields.map(({ name }) => name)],
    runs.map((run) => [run.label, ...fields.map(({ values }) => textOf(values.get(run.id)))]),
  );
}

// Puts new content in place; what had the focus has it again, known by its `data-key`.
export function replace(box, ...content) {
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  box.replaceChildren(...content);
  if (key !== undefined)
    [...box.querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === key)?.focus({ preventScroll: true });
}
