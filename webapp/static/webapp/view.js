// How every chart of a page is drawn: {log, time, mark}. Charts register here, so that one switch reaches them all.

export class View {
  log = false;
  time = false; // by wall time instead of by step
  mark = null; // {from, to, axis}: the steps that an insight speaks of, on the charts of that axis
  charts = new Set();

  set(changes) {
    Object.assign(this, changes);
    for (const chart of this.charts) chart.redraw();
  }
}

// Where a chart's points lie. `data` is {epochs, timestamps, …} as the history has it.
export class HorizontalAxis {
  constructor(data, byTime) {
    this.epochs = data.epochs;
    this.byTime = byTime && hasTimes(data);
    this.x = this.byTime ? data.timestamps.map((ms) => ms / 1000) : data.epochs;
    // A run that was resumed at an earlier step has times that go back; uPlot wants its columns in order.
    const ascends = this.x.every((value, i) => i === 0 || value >= this.x[i - 1]);
    this.order = ascends ? null : this.x.map((_, i) => i).sort((a, b) => this.x[a] - this.x[b]);
  }

  // Whether everything happened on one day of the viewer's.
  get oneDay() {
    const [first, last] = [0, -1].map((i) => new Date(this.arrange(this.x).at(i) * 1000).toDateString());
    return first === last;
  }

  arrange(column) {
    return this.order ? this.order.map((i) => column[i]) : column;
  }

  // The position in the document of what uPlot calls `index`, and back.
  indexOf(drawn) {
    return this.order ? this.order[drawn] : drawn;
  }

  // Any step, also one that an overview leaves out: between its neighbours.
  at(epoch) {
    if (!this.byTime) return epoch;
    const { epochs, x } = this;
    let [low, high] = [0, epochs.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (epochs[middle] <= epoch) low = middle;
      else high = middle;
    }
    const span = epochs[high] - epochs[low] || 1;
    return x[low] + (x[high] - x[low]) * Math.min(Math.max((epoch - epochs[low]) / span, 0), 1);
  }
}

// Whether the points can be drawn by wall time: they have times, and not all the same one.
export function hasTimes({ epochs, timestamps }) {
  return timestamps?.length === epochs.length && timestamps.some((time) => time !== timestamps[0]);
}
