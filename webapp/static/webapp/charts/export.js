// Exports a chart: every step as CSV or JSON, the picture as PNG or SVG. Loaded when first needed.

import { csv, isoTime, saveFile } from "../page/files.js";
import { context2d, cssColor, FONT, pixelRatio, textStyle } from "./canvas.js";
import { Columns } from "./columns.js";
import { chartPicture } from "./picture.js";
import { SvgContext } from "./svg.js";

const HEAD = 46; // pixels above the curves, for title and legend
const PADDING = 12;
const ROW = 16; // pixels, for each further row of the legend

// `kind` is csv, json, png or svg. Hidden curves are left out.
export async function exportChart(chart, kind) {
  const data = kind === "png" || kind === "svg" ? null : ((await chart.spec.full?.()) ?? chart.data);
  const shown = chart.series.filter((series) => !chart.hides(series));
  if (data) return save(chart.spec.title, kind, (kind === "csv" ? chartCsv : chartJson)(chart.spec, shown, data));
  if (!chart.u) throw new Error("the chart has not been drawn.");
  const { width, height } = chart.u;
  return savePicture(chart.spec.title, kind, {
    width,
    height,
    legend: shown.map(({ label, color }) => [label, cssColor(color)]),
    paint: (context) => chartPicture(chart, context),
  });
}

// `rows` are those of the CSV, `document` the JSON.
export function saveTable(title, kind, rows, document) {
  save(title, kind, kind === "csv" ? csv(rows) : JSON.stringify(document));
}

// The bins of every epoch. `document` is the API's, at full resolution.
export function exportHistogram(title, kind, document) {
  save(title, kind, kind === "csv" ? histogramCsv(document) : JSON.stringify(document));
}

// `paint(context)` draws in CSS pixels, on a canvas context or an SvgContext.
export async function savePicture(title, kind, { width, height, legend = [], paint }) {
  const entries = placed(legend, width);
  const head = HEAD + ROW * (entries.at(-1)?.row ?? 0);
  const whole = { width: width + 2 * PADDING, height: height + head + PADDING };
  const compose = (context) => {
    context.fillStyle = cssColor("panel");
    context.fillRect(0, 0, whole.width, whole.height);
    headline(context, title, entries);
    context.save();
    context.translate(PADDING, head);
    paint(context);
    context.restore();
  };
  if (kind === "svg") {
    const context = new SvgContext(whole.width, whole.height, title);
    compose(context);
    return save(title, kind, context.text());
  }
  const canvas = document.createElement("canvas");
  compose(context2d(canvas, whole.width, whole.height, Math.max(pixelRatio(), 2)));
  // toBlob would wait until the browser is idle.
  const [, base64] = canvas.toDataURL("image/png").split(",");
  return save(
    title,
    kind,
    Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)),
  );
}

// The legend's entries with their places, in as many rows as needed.
function placed(legend, width) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = FONT;
  let [x, row] = [0, 0];
  return legend.map(([label, color]) => {
    const wide = 20 + context.measureText(label).width;
    if (x > 0 && x + wide > width) [x, row] = [0, row + 1];
    const entry = { label, color, x: PADDING + x, row };
    x += wide + 16;
    return entry;
  });
}

function headline(context, title, entries) {
  textStyle(context, "left", "middle", cssColor("ink"));
  context.font = "600 13px system-ui, sans-serif";
  context.fillText(title, PADDING, 16);
  context.font = FONT;
  for (const { label, color, x, row } of entries) {
    const y = 34 + ROW * row;
    context.fillStyle = color;
    context.fillRect(x, y - 1, 14, 2);
    context.fillStyle = cssColor("ink");
    context.fillText(label, x + 20, y);
  }
}

function chartCsv({ unit }, shown, data) {
  const columns = new Columns(shown, data);
  const timed = data.timestamps?.length === data.epochs.length;
  const rows = data.epochs.map((epoch, j) => [
    epoch,
    ...(timed ? [isoTime(data.timestamps[j])] : []),
    ...shown.map((_, i) => columns.logged(i, j)),
  ]);
  return csv([[unit, ...(timed ? ["time"] : []), ...shown.map(({ column, id, key }) => column ?? id ?? key)], ...rows]);
}

function chartJson({ title, unit }, shown, data) {
  const columns = new Columns(shown, data);
  const series = Object.fromEntries(
    shown.map(({ id, key }, i) => [id ?? key, data.epochs.map((_, j) => columns.logged(i, j))]),
  );
  return JSON.stringify({ title, unit, steps: data.epochs, timestamps: data.timestamps ?? [], series });
}

function histogramCsv({ epochs, counts, underflow, overflow, bin_edges_by_epoch: edges }) {
  const rows = epochs.flatMap((epoch, i) => [
    [epoch, "below", null, edges[i][0], underflow[i]],
    ...counts[i].map((value, bin) => [epoch, bin, edges[i][bin], edges[i][bin + 1], value]),
    [epoch, "above", edges[i].at(-1), null, overflow[i]],
  ]);
  return csv([["epoch", "bin", "from", "to", "count"], ...rows]);
}

// The file's name begins with that of the run, or of the comparison.
function save(title, kind, content) {
  saveFile(`${document.querySelector("h1").textContent} ${title}`, kind, content);
}
