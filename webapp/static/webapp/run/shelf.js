// Keeps the tiles of a page: it tells them when they come into view, and frees the canvases of those that left it.

import { Tile } from "./tile.js";

const DRAWN_OUT_OF_VIEW = 48; // charts that keep their canvases, for scrolling back
export const AHEAD = "400px"; // distance from the view at which a chart is made ready

export class Shelf {
  // `drawn(tile)` is called when a chart is drawn for the first time.
  constructor(page, curves, drawn) {
    Object.assign(this, { page, curves, drawn });
    this.tiles = new Map(); // id of a spec → Tile
    this.outOfView = new Set(); // tiles whose charts are still drawn, the oldest first
    this.cells = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) target.tile.look(isIntersecting);
      },
      { rootMargin: AHEAD },
    );
  }

  // The tile of this chart. Its element must be `watch`ed once it has its place.
  tile(spec) {
    const known = this.tiles.get(spec.id);
    if (known && known.spec.large === spec.large) {
      known.spec = spec;
      return known;
    }
    known?.chart?.remove();
    const made = new Tile(this, spec);
    this.tiles.set(spec.id, made);
    return made;
  }

  watch(tile) {
    this.cells.observe(tile.element);
  }

  unwatch(tile) {
    this.cells.unobserve(tile.element);
    tile.look(false);
  }

  // Reads again: the run or the resolution has changed.
  renew() {
    if (this.begun) this.curves.version += 1;
    this.begun = true;
    for (const tile of this.tiles.values()) tile.refresh();
  }

  // A tile calls this when it comes into view or leaves it.
  seen(tile, inView) {
    this.outOfView.delete(tile);
    if (inView) return tile.chart?.wake(true);
    this.outOfView.add(tile);
    for (const oldest of [...this.outOfView].slice(0, -DRAWN_OUT_OF_VIEW)) {
      this.outOfView.delete(oldest);
      oldest.chart?.wake(false);
    }
    return undefined;
  }
}
