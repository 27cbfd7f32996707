// What can be said of the times of points, which clients log as they like. In milliseconds since 1970; the limits are
// those of workers/insights/trend.py.

const [SECONDS, EARLIEST, LATEST] = [1e9, 946684800000, 4102444800000];
const WRONG = {
  seconds: "they are of 1970, as if logged in seconds",
  finer: "they are after 2099, as if logged in a finer unit",
};

// Why these axes can't be drawn, each an end of a sentence; empty if it can be. `first` and `last` are the least and
// the greatest time.
export function problemsOf(first, last) {
  if (last >= LATEST) return { time: WRONG.finer, relative: WRONG.finer };
  if (first >= SECONDS && first < EARLIEST) return { time: WRONG.seconds, relative: WRONG.seconds };
  return { time: first < EARLIEST ? "they count from a start of their own" : "", relative: "" };
}

// The same of a document with `timestamps`.
export function problemsIn({ epochs, timestamps }) {
  if (timestamps?.length !== epochs.length || !epochs.length)
    return { time: "there are none", relative: "there are none" };
  let [first, last] = [Infinity, -Infinity];
  for (const time of timestamps) {
    if (time < first) first = time;
    if (time > last) last = time;
  }
  if (first === last) return { time: "all are the same", relative: "all are the same" };
  return problemsOf(first, last);
}

// The same of a run, by the metrics with a curve, of all its points: the problems that all of them have.
export function problemsOfRun({ metrics, charts }) {
  const shown = charts.flatMap(({ metrics: keys }) => keys).filter((key) => metrics[key].count > 1);
  const found = shown.map((key) => {
    const times = [metrics[key].first.time, metrics[key].last.time];
    return problemsOf(Math.min(...times), Math.max(...times));
  });
  const common = (axis) => (found.length && found.every((one) => one[axis]) ? found[0][axis] : "");
  return { time: common("time"), relative: common("relative") };
}
