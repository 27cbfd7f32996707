// Exports the drawn parts of a comparison as they are on the page. Loaded when first needed.

import { cssColor } from "../charts/canvas.js";
import { savePicture, saveTable } from "../charts/export.js";
import { shortened } from "../page/format.js";
import { rowsOf } from "./export.js";

const ABOVE = 22; // pixels, for titles over the drawing
const LETTER = 7; // pixels

// `drawing` is an SVG element of paths, circles, rectangles and texts; `titles` are [[x, text]] above it, each at most
// `room` wide.
export function saveDrawing(title, kind, { drawing, runs, emphasis, titles = [], room = 0 }) {
  const [width, height] = ["width", "height"].map((name) => Number(drawing.getAttribute(name)));
  const above = titles.length ? ABOVE : 0;
  const paint = (context) => {
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = cssColor("ink");
    for (const [x, text] of titles) context.fillText(shortened(text, Math.floor(room / LETTER)), x, 8);
    context.translate(0, above);
    paintElement(context, drawing);
  };
  return savePicture(title, kind, { width, height: height + above, legend: legendOf(runs, emphasis), paint });
}

// Saves the values of these fields, for each run.
export function saveFields(title, kind, runs, fields) {
  const valuesOf = (run) =>
    Object.fromEntries(fields.map(({ column, values }) => [column, strict(values.get(run.id))]));
  const named = runs.map((run) => ({ run_id: run.id, name: run.row.name ?? "", values: valuesOf(run) }));
  saveTable(title, kind, rowsOf(runs, fields), { title, runs: named });
}

// JSON has no number for it.
const strict = (value) => (typeof value === "number" && !Number.isFinite(value) ? String(value) : value);

// Saves the bins of each run at the shown place. `shown` is [{run, data, index}], `unit` the word for its steps.
export function saveBins(title, kind, shown, unit) {
  const rows = shown.flatMap(({ run, data, index }) => {
    const [edges, counts] = [data.bin_edges_by_epoch[index], data.counts[index]];
    const line = (...cells) => [run.id, run.row.name, data.epochs[index], ...cells];
    return [
      line("below", null, edges[0], data.underflow[index]),
      ...counts.map((value, bin) => line(bin, edges[bin], edges[bin + 1], value)),
      line("above", edges.at(-1), null, data.overflow[index]),
    ];
  });
  const runs = shown.map(({ run, data, index }) => ({
    run_id: run.id,
    name: run.row.name ?? "",
    [unit]: data.epochs[index],
    bin_edges: data.bin_edges_by_epoch[index],
    counts: data.counts[index],
    underflow: data.underflow[index],
    overflow: data.overflow[index],
  }));
  saveTable(title, kind, [["run_id", "name", unit, "bin", "from", "to", "count"], ...rows], { title, runs });
}

export const legendOf = (runs, emphasis) =>
  runs.filter(({ id }) => !emphasis.hidden.has(id)).map(({ label, color }) => [label, cssColor(color)]);

function paintElement(context, element) {
  const style = getComputedStyle(element);
  if (style.display === "none" || element.classList.contains("hit")) return;
  context.save();
  const moved = element.transform?.baseVal[0]?.matrix;
  if (moved) context.translate(moved.e, moved.f);
  context.globalAlpha *= Number(style.opacity);
  const paint = { path: paintShape, circle: paintShape, rect: paintShape, text: paintText }[element.tagName];
  if (paint) paint(context, element, style);
  else for (const child of element.children) paintElement(context, child);
  context.restore();
}

function paintShape(context, element, style) {
  const value = (name) => Number(element.getAttribute(name));
  context.beginPath();
  if (element.tagName === "circle") context.arc(value("cx"), value("cy"), value("r"), 0, 2 * Math.PI);
  else if (element.tagName === "rect") context.rect(value("x"), value("y"), value("width"), value("height"));
  else trace(context, element.getAttribute("d"));
  const alpha = context.globalAlpha;
  if (style.fill !== "none") {
    context.globalAlpha = alpha * Number(style.fillOpacity);
    context.fillStyle = style.fill;
    context.fill();
  }
  context.globalAlpha = alpha;
  if (style.stroke === "none") return;
  context.strokeStyle = style.stroke;
  context.lineWidth = parseFloat(style.strokeWidth);
  context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat));
  context.stroke();
  context.setLineDash([]);
}

// Straight lines only.
function trace(context, path) {
  let [x, y] = [0, 0];
  for (const [, command, rest] of path.matchAll(/([MLHVZ])([^MLHVZ]*)/g)) {
    const numbers = (rest.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
    if (command === "Z") context.closePath();
    else {
      [x, y] = { H: [numbers[0], y], V: [x, numbers[0]] }[command] ?? numbers;
      if (command === "M") context.moveTo(x, y);
      else context.lineTo(x, y);
    }
  }
}

function paintText(context, element, style) {
  const [x, y] = ["x", "y"].map((name) => Number(element.getAttribute(name)));
  context.font = `${style.fontSize} ${style.fontFamily}`;
  context.textBaseline = "alphabetic";
  context.textAlign = { middle: "center", end: "right" }[style.textAnchor] ?? "left";
  if (style.stroke !== "none") {
    // A background keeps the text readable over lines.
    const { width } = context.measureText(element.textContent);
    const alpha = context.globalAlpha;
    context.globalAlpha = 0.75;
    context.fillStyle = style.stroke;
    context.fillRect(x - 2, y - 10, width + 4, 13);
    context.globalAlpha = alpha;
  }
  context.fillStyle = style.fill;
  context.fillText(element.textContent, x, y);
}
