// When to draw: in the next frame, on coming into view, or after everything is measured.

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

// Returns a function that calls `act` in the next frame, once for any number of calls before.
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

// Measures everything before painting anything, so that the browser computes the layout once.
export function drawAll(pictures) {
  const all = [...pictures];
  for (const picture of all) picture.measure();
  for (const picture of all) picture.paint();
}
