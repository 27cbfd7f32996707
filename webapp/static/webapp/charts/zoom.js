// How people zoom and pan charts: by mouse, by wheel, by keyboard, by the buttons of the tool bar. All of them change the
// view's zoom of the chart's group, never a single chart.

const CLOSER = 0.5; // the share of what is shown that stays after a step closer
const ASIDE = 0.25; // by how much of what is shown a step aside goes
const KEYS = {
  "+": (chart) => zoomBy(chart, CLOSER, chart.cursorShare()),
  "=": (chart) => zoomBy(chart, CLOSER, chart.cursorShare()),
  "-": (chart) => zoomBy(chart, 1 / CLOSER),
  0: (chart) => chart.view.zoom(chart.group, null),
  Escape: (chart) => chart.view.zoom(chart.group, null),
};
const WITH_SHIFT = { ArrowLeft: -ASIDE, ArrowRight: ASIDE };

// Goes closer (`factor` below 1) or away, around a place between 0, the left end, and 1.
export function zoomBy(chart, factor, around = 0.5) {
  const [low, high] = shown(chart);
  const pivot = low + (high - low) * around;
  show(chart, pivot - (pivot - low) * factor, pivot + (high - pivot) * factor);
}

// Goes aside by a share of what is shown, as far as there is something.
export function panBy(chart, share) {
  const [low, high] = shown(chart);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const way = Math.min(Math.max((high - low) * share, least - low), most - high);
  if (way) show(chart, low + way, high + way);
}

// Brings what is at one place, a share of the width, to another; `factor` times as much is shown then.
export function carry(chart, factor, from, to) {
  const [low, high] = shown(chart);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const span = Math.min((high - low) * factor, most - least);
  const start = Math.min(Math.max(low + (high - low) * from - span * to, least), most - span);
  show(chart, start, start + span);
}

// Pans as far as it takes to have this place in view.
export function bringIntoView(chart, x) {
  const [low, high] = shown(chart);
  const place = chart.axis.forward(x);
  if (place < low) panBy(chart, (place - low) / (high - low) - ASIDE);
  if (place > high) panBy(chart, (place - high) / (high - low) + ASIDE);
}

// Leaves the zoom, or goes aside within it, as far as it takes to have all of this stretch in view.
export function showStretch(chart, from, to) {
  // As the view has it: a chart that has just been made has not taken it yet.
  const [low, high] = (chart.view.zooms.get(chart.group) ?? chart.axis.extent).map(chart.axis.forward);
  const [start, end] = [from, to].map(chart.axis.forward);
  const span = high - low;
  if (start >= low && end <= high) return;
  if (end - start > span) return void chart.view.zoom(chart.group, null);
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  const first = Math.min(Math.max((start + end - span) / 2, least), most - span);
  show(chart, first, first + span);
}

// What the buttons of a tool bar do: the same to every group.
export function everyGroup(view, act) {
  const groups = new Map([...view.charts].filter((chart) => chart.u).map((chart) => [chart.group, chart]));
  for (const chart of groups.values()) act(chart);
}
export const closer = (chart) => zoomBy(chart, CLOSER);
export const away = (chart) => zoomBy(chart, 1 / CLOSER);
export const left = (chart) => panBy(chart, -ASIDE);
export const right = (chart) => panBy(chart, ASIDE);

// Whether the key was one of these.
export function zoomKey(chart, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.shiftKey && event.key in WITH_SHIFT) panBy(chart, WITH_SHIFT[event.key]);
  else if (event.key in KEYS) KEYS[event.key](chart);
  else return false;
  return true;
}

// For uPlot: what the mouse does over a chart. Dragging selects, with Shift it pans.
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

// The stretch that the mouse has selected; the charts that share the cursor select it too, and have no say.
export function zoomToSelection(chart) {
  const { u } = chart;
  const { left: from, width } = u.select;
  for (const other of chart.view.charts) other.u?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (!chart.selects || width < 3) return;
  chart.selects = false;
  show(chart, ...[u.posToVal(from, "x"), u.posToVal(from + width, "x")].map(chart.axis.forward));
}

// Ctrl or ⌘ with the wheel, and pinching, zoom around the pointer; Shift with the wheel pans; else the page scrolls.
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

// All that there is, is no zoom.
function show(chart, low, high) {
  const [least, most] = chart.view.extent(chart.group).map(chart.axis.forward);
  if (!(high > low)) return;
  const [from, to] = [Math.max(low, least), Math.min(high, most)];
  const whole = from <= least && to >= most;
  if (whole || to > from) chart.view.zoom(chart.group, whole ? null : [from, to].map(chart.axis.backward));
}
