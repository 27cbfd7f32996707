// When things are drawn: with the next frame, when they come into view, all after all are measured.

// Calls `act` once, when the element comes within `margin` of the view.
export function whenNear(element, margin, act) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      act();
    },
    { rootMargin: margin },
  );
  observer.observe(element);
}

// Returns a function that has `act` called with the next frame, once however often it is asked for.
export function inNextFrame(act) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      act();
    });
  };
}

// Measures all before it paints any: after each the browser would have to lay out the page again to measure the next.
export function drawAll(pictures) {
  const all = [...pictures];
  for (const picture of all) picture.measure();
  for (const picture of all) picture.paint();
}
