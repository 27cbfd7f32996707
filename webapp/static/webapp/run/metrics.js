// All other metrics of a run: in groups, searchable, each chart read and drawn when it comes into view.

import { el } from "../page/dom.js";
import { count } from "../page/format.js";
import { whenNear } from "../page/frames.js";
import { decoded } from "../page/permalink.js";
import { placeholder, Tile } from "./tile.js";

const AT_ONCE = 24; // charts that a group shows at first, and that all groups opened at first have together
const GROUPS_AT_ONCE = 40;
const FEW_IN_GROUP = 4;
const FEW = 6; // up to so many metrics there is no search
const CHUNKS_KEPT = 24;
const DRAWN_OUT_OF_VIEW = 48; // charts that keep their canvases, for scrolling back
const AHEAD = "400px"; // distance from the view at which a chart is made ready

export class MetricBrowser {
  // `page` is that of run.js.
  constructor(page) {
    const { source, api, view, permalink } = page;
    Object.assign(this, { page, source, api, view, permalink });
    this.index = null;
    this.version = 0; // of the run; documents of earlier versions are read again
    this.chunks = new Map(); // address → {version, document: promise}
    this.tiles = new Map(); // key → Tile
    this.asked = new Map(); // group, or text of a search → how many charts to show
    this.outOfView = new Set(); // tiles whose charts are still drawn, the oldest first
    this.opened = readOpened(permalink.get("groups")); // group → whether the viewer opened or closed it
    this.groupsShown = GROUPS_AT_ONCE;
    this.search = el("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Search these metrics",
      value: permalink.get("search"),
      oninput: () => this.#searchSoon(),
    });
    const more = page.history.more_metrics;
    this.said = el("span", { class: "muted tabular", role: "status" }, metricCount(more));
    const cells = Array.from({ length: Math.min(more, AT_ONCE) }, () => placeholder());
    this.groups = el(
      "div",
      { class: "groups" },
      el("div", {}, el("div", { class: "metric-grid", "aria-hidden": "true" }, cells)),
    );
    this.filter = el("label", { class: "filter" }, el("span", { class: "sr" }, "Search these metrics"), this.search);
    this.filter.hidden = more <= FEW;
    this.element = el("div", { class: "metrics" }, el("div", { class: "tools" }, this.filter, this.said), this.groups);
    this.cells = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) target.tile.look(isIntersecting);
      },
      { rootMargin: AHEAD },
    );
    whenNear(this.element, AHEAD, () => this.load());
  }

  // Reads the index, once.
  load() {
    this.loading ??= this.#readIndex();
    return this.loading;
  }

  // Reads again: the run or the resolution has changed.
  async refresh() {
    if (!this.loading) return;
    await this.loading;
    this.version += 1;
    this.loading = this.#readIndex();
    await this.loading;
    for (const tile of this.tiles.values()) tile.refresh();
  }

  // The resolution of the charts.
  get resolution() {
    return this.page.asked ? "full" : "overview";
  }

  // Shows the chart of this metric and resolves to it, or to null without one.
  async reveal(key) {
    await this.load();
    if (!this.#all().some((metric) => metric.key === key)) return null;
    if (!this.tiles.get(key)?.cell.isConnected) {
      this.search.value = this.only = key;
      this.permalink.set({ search: key });
      this.#render();
    }
    const tile = this.tiles.get(key);
    tile.cell.closest("details")?.setAttribute("open", "");
    tile.look(true);
    await tile.ready;
    return tile.chart;
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

  async chunk(number_, resolution) {
    const address = `${this.api}metrics/${number_}/?resolution=${resolution}`;
    const known = this.chunks.get(address);
    if (known?.version === this.version) return known.document;
    const document = this.#read(address, known?.document);
    this.chunks.delete(address); // the newest come last
    this.chunks.set(address, { version: this.version, document });
    for (const old of [...this.chunks.keys()].slice(0, -CHUNKS_KEPT)) {
      this.chunks.delete(old);
      this.source.forget(old);
    }
    return document;
  }

  async #read(address, before) {
    try {
      const { changed, document } = await this.source.read(address);
      return changed ? document : await before;
    } catch (error) {
      this.chunks.delete(address);
      throw error;
    }
  }

  async #readIndex() {
    try {
      const { changed, document } = await this.source.read(`${this.api}metrics/`);
      if (!changed) return;
      const before = this.#signature();
      this.index = document.available ? document : null;
      for (const metric of this.#all()) if (this.tiles.has(metric.key)) this.tiles.get(metric.key).metric = metric;
      if (before !== this.#signature()) this.#render();
    } catch (error) {
      this.loading = null;
      this.said.textContent = `The metrics can't be read: ${error.message}`;
      this.groups.replaceChildren(
        el("button", { type: "button", class: "button", onclick: () => this.load() }, "Retry"),
      );
    }
  }

  #all() {
    return this.index?.groups.flatMap((group) => group.metrics) ?? [];
  }

  // Changes when metrics come or move to another chunk.
  #signature() {
    return this.#all()
      .map((metric) => metric.key + metric.chunk)
      .join();
  }

  #searchSoon() {
    this.only = null; // the key of a metric that `reveal` shows alone
    this.permalink.set({ search: this.search.value });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#render(), 120);
  }

  #render() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (metric) =>
      this.only ? metric.key === this.only : words.every((word) => metric.key.toLowerCase().includes(word));
    const groups = (this.index?.groups ?? [])
      .map(({ name, metrics }) => ({ name, metrics: metrics.filter(matches) }))
      .filter(({ metrics }) => metrics.length);
    const all = this.#all().length;
    const found = groups.reduce((total, { metrics }) => total + metrics.length, 0);
    this.said.textContent = words.length
      ? `${count(found)} of ${count(all)} metrics`
      : `${metricCount(all)} in ${groups.length === 1 ? "1 group" : `${count(groups.length)} groups`}`;
    this.filter.hidden = all <= FEW;
    this.cells.disconnect();
    // Few metrics in many groups, and what a search finds, have no groups, which would be mostly headings.
    const flat = words.length > 0 || (all <= AT_ONCE && all < FEW_IN_GROUP * groups.length);
    this.groups.classList.toggle("flat", flat);
    if (flat) this.#showFlat(groups);
    else this.#showGroups(groups);
    for (const tile of this.tiles.values()) if (!tile.cell.isConnected) tile.look(false);
  }

  #showFlat(groups) {
    const grid = el("div", { class: "metric-grid" });
    const found = groups.flatMap(({ metrics }) => metrics);
    this.groups.replaceChildren(el("div", {}, found.length ? grid : el("p", { class: "muted" }, "No metric matches.")));
    if (found.length) this.#fill(grid, found, `? ${this.search.value}`);
  }

  #showGroups(groups) {
    let room = AT_ONCE;
    const shown = groups.slice(0, this.groupsShown).map((group) => {
      const open = groups.length === 1 || group.metrics.length <= room;
      room -= open ? group.metrics.length : 0;
      return this.#group(group, this.opened.get(group.name) ?? open, groups.length === 1);
    });
    const left = groups.length - shown.length;
    const further = () => {
      this.groupsShown += GROUPS_AT_ONCE;
      this.#showGroups(groups);
      this.groups.children[shown.length].querySelector("summary").focus();
    };
    const more =
      left > 0 && el("button", { type: "button", class: "button", onclick: further }, `${count(left)} more groups`);
    this.groups.replaceChildren(...shown, ...(more ? [more] : []));
  }

  #group({ name, metrics }, open, alone) {
    const grid = el("div", { class: "metric-grid" });
    const content = el("div", {}, grid);
    if (alone && !name) {
      this.#fill(grid, metrics, name);
      return content;
    }
    const title = el(
      "summary",
      {},
      el("h3", {}, name || "No group"),
      el("span", { class: "muted tabular" }, count(metrics.length)),
    );
    const details = el("details", { class: "group", open }, title, content);
    if (open) this.#fill(grid, metrics, name);
    // The first opening fires this too; only what the viewer did is remembered.
    details.addEventListener("toggle", () => {
      if (details.open === open && !this.opened.has(name)) return;
      this.opened.set(name, details.open);
      this.permalink.set({ groups: openedText(this.opened) });
      if (details.open && !grid.childElementCount) this.#fill(grid, metrics, name);
    });
    return details;
  }

  // Shows the first of these metrics, and a button for more.
  #fill(grid, metrics, name) {
    const shown = this.asked.get(name) ?? AT_ONCE;
    for (const metric of metrics.slice(grid.childElementCount, shown)) {
      if (!this.tiles.has(metric.key)) this.tiles.set(metric.key, new Tile(this, metric));
      const { cell } = this.tiles.get(metric.key);
      grid.append(cell);
      this.cells.observe(cell);
    }
    grid.parentElement.querySelector("button.more")?.remove();
    const left = metrics.length - grid.childElementCount;
    if (left <= 0) return;
    const further = () => {
      this.asked.set(name, shown + AT_ONCE);
      this.#fill(grid, metrics, name);
      grid.children[shown].tile.focus();
    };
    grid.after(
      el(
        "button",
        { type: "button", class: "button more", onclick: further },
        `Show ${count(Math.min(AT_ONCE, left))} more of ${count(left)}`,
      ),
    );
  }
}

// For an address: opened groups, and closed ones after a minus.
const openedText = (opened) =>
  [...opened].map(([name, open]) => (open ? "" : "-") + encodeURIComponent(name)).join(",");

function readOpened(text) {
  const items = text
    .split(",")
    .filter(Boolean)
    .map((item) => /^(-?)(.*)$/.exec(item));
  return new Map(items.map(([, closed, name]) => [decoded(name, name), !closed]));
}

const metricCount = (value) => `${count(value)} ${value === 1 ? "metric" : "metrics"}`;
