// Touch: two fingers zoom and pan a chart, one pans a zoomed chart or else reads its values. Vertically the page
// scrolls.

import { carry } from "./zoom.js";

export function followFingers(chart, place) {
  const fingers = new Map(); // pointer → its clientX
  place.addEventListener("pointerdown", ({ pointerType, pointerId, clientX }) => {
    if (pointerType !== "touch" || !chart.u) return;
    fingers.set(pointerId, clientX);
    place.setPointerCapture(pointerId); // the canvas may be replaced meanwhile
  });
  place.addEventListener("pointermove", ({ pointerId, clientX }) => {
    if (!fingers.has(pointerId) || !chart.u) return;
    const before = stretch(fingers);
    fingers.set(pointerId, clientX);
    move(chart, before, stretch(fingers));
  });
  for (const end of ["pointerup", "pointercancel"])
    place.addEventListener(end, ({ pointerId }) => fingers.delete(pointerId));
}

function stretch(fingers) {
  const [low, high] = [Math.min(...fingers.values()), Math.max(...fingers.values())];
  return { middle: (low + high) / 2, width: high - low };
}

function move(chart, before, after) {
  const { left, width } = chart.u.over.getBoundingClientRect();
  const factor = before.width && after.width ? before.width / after.width : 1;
  if (factor !== 1 || chart.view.zooms.has(chart.group))
    carry(chart, factor, (before.middle - left) / width, (after.middle - left) / width);
  else chart.u.setCursor({ left: after.middle - left, top: 0 }, true, true);
}
