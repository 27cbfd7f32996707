// Zooming and panning by mouse, wheel, keyboard and the tool bar's buttons. Each changes the view's zoom of the chart's
// group, never a single chart.

const CLOSER = 0.5; // of the visible range, after zooming in by one step
const ASIDE = 0.25; // of the visible range, for panning by one step
const KEYS = {
  "+": (chart) => zoomBy(chart, CLOSER, chart.cursorShare()),
  "=": (chart) => zoomBy(chart, CLOSER, chart.cursorShare()),
  "-": (chart) => zoomBy(chart, 1 / CLOSER),
  0: (chart) => chart.view.zoom(chart.group, null),
  Escape: (chart) => chart.view.zoom(chart.group, null),
};
const WITH_SHIFT = { ArrowLeft: -ASIDE, ArrowRight: ASIDE };

// Zooms in (`factor` below 1) or out around a place, 0 at the left and 1 at the right.
export function zoomBy(chart, factor, around = 0.5) {
  const [low, high] = shown(chart);
  const pivot = low + (high - low) * around;
  show(chart, pivot - (pivot - low) * factor, pivot + (high - pivot) * factor);
}

// Pans by a share of the visible range, within the data.
export function panBy(chart, share) {
  const [low, high] = shown(chart);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const way = Math.min(Math.max((high - low) * share, least - low), most - high);
  if (way) show(chart, low + way, high + way);
}

// Moves what is at place `from` to place `to`, both 0 to 1, and makes the visible range `factor` times as wide.
export function carry(chart, factor, from, to) {
  const [low, high] = shown(chart);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const span = Math.min((high - low) * factor, most - least);
  const start = Math.min(Math.max(low + (high - low) * from - span * to, least), most - span);
  show(chart, start, start + span);
}

// Pans until this value is in view.
export function bringIntoView(chart, x) {
  const [low, high] = shown(chart);
  const place = chart.axis.forward(x);
  if (place < low) panBy(chart, (place - low) / (high - low) - ASIDE);
  if (place > high) panBy(chart, (place - high) / (high - low) + ASIDE);
}

// Pans until this range is in view, or leaves the zoom if the range is wider.
export function showRange(chart, from, to) {
  // The view's zoom, since a chart that was just made has not applied it yet.
  const [low, high] = (chart.view.zooms.get(chart.group) ?? chart.axis.extent).map(chart.axis.forward);
  const [start, end] = [from, to].map(chart.axis.forward);
  const span = high - low;
  if (start >= low && end <= high) return;
  if (end - start > span) return void chart.view.zoom(chart.group, null);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const first = Math.min(Math.max((start + end - span) / 2, least), most - span);
  show(chart, first, first + span);
}

// Does the same to every group, for the tool bar's buttons.
export function everyGroup(view, act) {
  const groups = new Map([...view.charts].filter((chart) => chart.u).map((chart) => [chart.group, chart]));
  for (const chart of groups.values()) act(chart);
}
export const closer = (chart) => zoomBy(chart, CLOSER);
export const away = (chart) => zoomBy(chart, 1 / CLOSER);
export const left = (chart) => panBy(chart, -ASIDE);
export const right = (chart) => panBy(chart, ASIDE);

// Handles the keys that zoom and pan. Whether this was one of them.
export function zoomKey(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.shiftKey && event.key in WITH_SHIFT) panBy(chart, WITH_SHIFT[event.key]);
  else if (event.key in KEYS) KEYS[event.key](chart);
  else return false;
  return true;
}

// For uPlot: dragging selects, Shift-dragging pans, a double click shows everything.
export function mouseBindings(chart) {
  return {
    mousedown: (_u, _over, select) => (event) => {
      if (event.button !== 0) return;
      chart.selects = !event.shiftKey;
      if (event.shiftKey) drag(chart, event);
      else select(event);
    },
    dblclick: () => () => chart.view.zoom(chart.group, null),
  };
}

// Zooms to what the mouse has selected. Charts that share the cursor select it too; they only clear it.
export function zoomToSelection(chart) {
  const { u } = chart;
  const { left: from, width } = u.select;
  for (const other of chart.view.charts) other.u?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (!chart.selects || width < 3) return;
  chart.selects = false;
  show(chart, ...[u.posToVal(from, "x"), u.posToVal(from + width, "x")].map(chart.axis.forward));
}

// Ctrl or ⌘ with the wheel, and pinching, zoom around the pointer; Shift with the wheel pans; otherwise the page
// scrolls.
export function onWheel(chart, event) {
  if (!chart.u || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
  event.preventDefault();
  const { left: start, width } = chart.u.over.getBoundingClientRect();
  const turned = (event.deltaY || event.deltaX) / 400;
  if (event.shiftKey) panBy(chart, turned);
  else zoomBy(chart, Math.exp(turned), Math.min(Math.max((event.clientX - start) / width, 0), 1));
}

function drag(chart, event) {
  const { width } = chart.u.over.getBoundingClientRect();
  let at = event.clientX;
  const stop = new AbortController();
  const move = ({ clientX }) => {
    panBy(chart, (at - clientX) / width);
    at = clientX;
  };
  document.addEventListener("mousemove", move, { signal: stop.signal });
  document.addEventListener("mouseup", () => stop.abort(), { signal: stop.signal });
}

const shown = (chart) => [chart.u.scales.x.min, chart.u.scales.x.max].map(chart.axis.forward);

// Zooms to these places on the axis; to everything means no zoom.
function show(chart, low, high) {
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  if (!(high > low)) return;
  const [from, to] = [Math.max(low, least), Math.min(high, most)];
  const whole = from <= least && to >= most;
  if (whole || to > from) chart.view.zoom(chart.group, whole ? null : [from, to].map(chart.axis.backward));
}
