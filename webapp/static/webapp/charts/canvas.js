// What the pictures of histograms have in common: margins, the value axis, colours.

import { cssColor } from "../page/dom.js";

export const FONT = "11px system-ui, sans-serif";
export const LEFT = 52;
export const RIGHT = 12;
export const BOTTOM = 26;

// The ticks of a value axis along the bottom, as many as have room, with lines up to the top.
export function paintValueTicks(context, ticks, x, { left = LEFT, width, height }) {
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "top";
  const [muted, grid] = [cssColor("muted"), cssColor("grid")];
  let free = -Infinity;
  for (const [value, label] of [...ticks].sort((a, b) => a[0] - b[0])) {
    const at = x(value);
    context.fillStyle = grid;
    context.fillRect(at, 0, 1, height - BOTTOM);
    const half = context.measureText(label).width / 2;
    if (at - half < Math.max(free, left - 20) || at + half > width) continue;
    free = at + half + 8;
    context.fillStyle = muted;
    context.fillText(label, at, height - BOTTOM + 8);
  }
}

// Indexes of so many of `length`, evenly spread, the first and the last among them.
export function spread(length, most) {
  const shown = Math.min(length, most);
  return [...new Set(Array.from({ length: shown }, (_, i) => Math.round((i * (length - 1)) / Math.max(shown - 1, 1))))];
}

// A colour between two, all written #rrggbb.
export function mix(a, b, share) {
  const parts = [1, 3, 5].map((i) => [a, b].map((color) => parseInt(color.slice(i, i + 2), 16)));
  return `#${parts
    .map(([from, to]) =>
      Math.round(from + (to - from) * share)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}
