// What the parts of the comparison share: a run's line and name, a table of fields, keeping the focus.

import { el, svg, table } from "../page/dom.js";

const [LONG_NAME, TAIL] = [12, 8]; // characters; the tail has room for a short ID and what is before it

// A short decorative piece of a run's line.
export function swatch({ color, dash }) {
  return svg(
    "svg",
    { class: "line-swatch", width: 22, height: 8, "aria-hidden": "true", "data-color": color },
    svg("path", { d: "M0 4H22", "stroke-dasharray": dash?.join(" ") }),
  );
}

// A name that is cut in the middle without enough room, since names made by one program differ at their ends.
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
    runs.map((run) => [run.label, ...fields.map((field) => field.text(run.id))]),
  );
}

// Replaces the content. The element with the same `data-key` gets the focus back.
export function replace(box, ...content) {
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  box.replaceChildren(...content);
  if (key !== undefined)
    [...box.querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === key)?.focus({ preventScroll: true });
}
