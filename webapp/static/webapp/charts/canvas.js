// What everything painted on a canvas shares: pixels, the theme's colours, texts, the value axis, margins.

export const LEFT = 52;
export const RIGHT = 12;
export const BOTTOM = 26;
export const FONT = font();

// The font of axes and labels; `scale` is 1 in CSS pixels, or the pixel ratio on a canvas that counts device pixels.
export function font(scale = 1) {
  return `${11 * scale}px system-ui, sans-serif`;
}

export const pixelRatio = () => devicePixelRatio || 1;

// A canvas context in CSS pixels, cleared, sharp on any screen.
export function context2d(canvas, width, height, ratio = pixelRatio()) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

// Colours of the theme. Reading one while the page changes would make the browser compute all styles again.
const palette = new Map();
addEventListener("themechange", () => palette.clear());

export function cssColor(name) {
  if (!palette.has(name))
    palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return palette.get(name);
}

// How the next texts look. Returns the context.
export function textStyle(context, align, baseline, color = cssColor("muted"), scale = 1) {
  context.font = font(scale);
  context.textAlign = align;
  context.textBaseline = baseline;
  context.fillStyle = color;
  return context;
}

// The ticks of a value axis along the bottom, with grid lines up to the top. Labels without room between `from` and the
// right edge, or too close to the one before, are left out.
export function paintValueTicks(context, ticks, x, { from = LEFT - 20, width, height }) {
  textStyle(context, "center", "top");
  const [muted, grid] = [cssColor("muted"), cssColor("grid")];
  let free = from;
  for (const [value, label] of [...ticks].sort((a, b) => a[0] - b[0])) {
    const at = x(value);
    context.fillStyle = grid;
    context.fillRect(Math.round(at), 0, 1, height - BOTTOM);
    const half = context.measureText(label).width / 2;
    if (at - half < free || at + half > width) continue;
    free = at + half + 8;
    context.fillStyle = muted;
    context.fillText(label, at, height - BOTTOM + 8);
  }
}

// At most `most` indexes of `length`, evenly spread, with the first and the last.
export function spread(length, most) {
  const shown = Math.min(length, most);
  return [...new Set(Array.from({ length: shown }, (_, i) => Math.round((i * (length - 1)) / Math.max(shown - 1, 1))))];
}

// A colour between two, all written #rrggbb.
export function mix(a, b, share) {
  const parts = [1, 3, 5].map((i) => [a, b].map((color) => parseInt(color.slice(i, i + 2), 16)));
  const mixed = parts.map(([from, to]) => Math.round(from + (to - from) * share));
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
