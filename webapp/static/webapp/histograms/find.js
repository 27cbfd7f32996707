// Finds places in a histogram's document.

// The index of the kept epoch that is nearest to this one.
export const nearest = (epochs, epoch) =>
  epochs.reduce((best, kept, i) => (Math.abs(kept - epoch) < Math.abs(epochs[best] - epoch) ? i : best), 0);

// The bin with the highest count.
export const fullest = (row) => row.reduce((best, value, bin) => ((value ?? -1) > (row[best] ?? -1) ? bin : best), 0);

// The bin in which a place lies; null outside the edges. `before(edge)`: whether the place comes before this edge.
export function binAt(edges, before) {
  const next = edges.findIndex(before);
  return next > 0 ? next - 1 : null;
}
