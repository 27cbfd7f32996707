// Runs before any page's own scripts, in the scope of `drawn(within, inView)`, which is asked at every frame; what it
// sees is on the screen with the next one. Vitals as browsers report them: https://web.dev/articles/vitals

const vitals = { lcp: 0, cls: 0, inp: 0 };
window.__vitals = vitals;
let tell;
const drawnAt = new Promise((resolve) => {
  tell = resolve;
});

// Milliseconds from the page's request until its charts were drawn; null after `patience` ms.
window.__drawn = (patience) => Promise.race([drawnAt, new Promise((resolve) => setTimeout(resolve, patience, null))]);

// Elements by a path of selectors, each within the shadow roots of the last.
const within = (...path) =>
  path.reduce(
    (roots, selector) => roots.flatMap((root) => [...(root.shadowRoot ?? root).querySelectorAll(selector)]),
    [document],
  );

const inView = (...path) =>
  within(...path).filter((element) => {
    const { top, bottom, width } = element.getBoundingClientRect();
    return width > 0 && bottom > 0 && top < innerHeight;
  });

function look() {
  const found = document.body && drawn(within, inView);
  requestAnimationFrame(found ? () => tell(performance.now()) : look);
}

function watch(type, see, more = {}) {
  new PerformanceObserver((list) => list.getEntries().forEach(see)).observe({ type, buffered: true, ...more });
}

requestAnimationFrame(look);
watch("largest-contentful-paint", ({ startTime }) => {
  vitals.lcp = startTime;
});
watch("layout-shift", ({ hadRecentInput, value }) => {
  if (!hadRecentInput) vitals.cls += value;
});
const keepLongest = (entry) => {
  if (entry.interactionId) vitals.inp = Math.max(vitals.inp, entry.duration);
};
watch("event", keepLongest, { durationThreshold: 16 });
