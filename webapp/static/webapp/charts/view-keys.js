// The keys of a page with line charts, for shortcuts.js. Each changes the view of all charts.

import { away, closer, everyGroup } from "./zoom.js";

const SMOOTHER = [0, 0.6, 0.9, 0.97];

// `view()` is the page's view, undefined before there is one; `axes` are the horizontal axes, `said` describes them.
export function viewKeys(view, axes, said) {
  const set = (change) => view()?.set(change(view()));
  const next = ({ amount }) => SMOOTHER[(SMOOTHER.findLastIndex((one) => one <= amount) + 1) % SMOOTHER.length];
  return [
    ["y", "Logarithmic or linear vertical axes", () => set(({ log }) => ({ log: !log }))],
    ["x", "Logarithmic or linear horizontal axes", () => set(({ xLog }) => ({ xLog: !xLog }))],
    ["t", said, () => set(({ x }) => ({ x: axes[(axes.indexOf(x) + 1) % axes.length] }))],
    ["s", "More smoothing, then none", () => set(({ smooth }) => ({ smooth: { ...smooth, amount: next(smooth) } }))],
    ["+", "Zoom in", () => view() && everyGroup(view(), closer)],
    ["-", "Zoom out", () => view() && everyGroup(view(), away)],
    ["0", "Show everything", () => view()?.unzoom()],
  ];
}
