// Metrics that are no main ones: in groups, searchable, each chart read and drawn when it comes into view.

import { el } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count } from "../page/format.js";
import { whenNear } from "../page/frames.js";
import { decoded } from "../page/permalink.js";
import { AHEAD } from "./shelf.js";
import { placeholder } from "./tile.js";

const AT_ONCE = 24; // charts that a group shows at first, and that all groups opened at first have together
const GROUPS_AT_ONCE = 40;
const FEW_IN_GROUP = 4;
const FEW = 6; // up to so many metrics there is no search

export class MetricBrowser {
  // `specs` are those of one section, in order. Without a search there is one group, which has no heading.
  constructor(shelf, specs, searched = true) {
    const { permalink } = shelf.page;
    Object.assign(this, { shelf, specs, permalink, searched });
    this.asked = new Map(); // group, or text of a search → how many charts to show
    this.opened = readOpened(permalink.get("groups")); // group → whether the viewer opened or closed it
    this.groupsShown = GROUPS_AT_ONCE;
    this.search = el("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Search these metrics",
      value: searched ? permalink.get("search") : "",
      oninput: () => this.#searchSoon(),
    });
    this.said = el("span", { class: "muted tabular", role: "status" }, metricCount(this.#all));
    const cells = Array.from({ length: Math.min(specs.length, AT_ONCE) }, () => placeholder());
    this.groups = el(
      "div",
      { class: "groups" },
      el("div", {}, el("div", { class: "metric-grid", "aria-hidden": "true" }, cells)),
    );
    this.filter = el("label", { class: "filter" }, el("span", { class: "sr" }, "Search these metrics"), this.search);
    this.filter.hidden = this.#all <= FEW;
    const tools = el("div", { class: "tools" }, this.filter, this.said);
    this.element = el("div", { class: "metrics" }, searched ? tools : null, this.groups);
    this.guard = new Guard(searched ? "Other metrics" : "System metrics", this.element);
    whenNear(this.element, AHEAD, () => this.load());
  }

  // Shows the metrics, once.
  load() {
    if (this.loaded) return;
    this.loaded = true;
    this.#render();
  }

  update(specs) {
    const before = signature(this.specs);
    this.specs = specs;
    for (const spec of specs) if (this.shelf.tiles.has(spec.id)) this.shelf.tile(spec);
    if (this.loaded && before !== signature(specs)) this.#render();
  }

  // Shows the chart of this metric and resolves to it, or to null without one.
  async reveal(key) {
    this.load();
    const spec = this.specs.find(({ keys }) => keys.includes(key));
    if (!spec) return null;
    if (!this.shelf.tiles.get(spec.id)?.element.isConnected) {
      if (!this.searched) this.asked.set(groupOf(spec), Infinity);
      else {
        this.search.value = this.only = key;
        this.permalink.set({ search: key });
      }
      this.#render();
    }
    const tile = this.shelf.tiles.get(spec.id);
    tile.element.closest("details")?.setAttribute("open", "");
    return tile.reveal();
  }

  get #all() {
    return this.specs.reduce((total, { keys }) => total + keys.length, 0);
  }

  #searchSoon() {
    this.only = null; // the key of a metric that `reveal` shows alone
    this.permalink.set({ search: this.search.value });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#render(), 120);
  }

  #render() {
    this.guard.run(() => this.#build());
  }

  #build() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = ({ keys }) =>
      keys.some((key) => (this.only ? key === this.only : words.every((word) => key.toLowerCase().includes(word))));
    const groups = grouped(this.specs.filter(matches));
    const all = this.#all;
    const found = groups.reduce((total, { specs }) => total + specs.length, 0);
    this.said.textContent = words.length
      ? `${count(found)} of ${count(all)} metrics`
      : `${metricCount(all)} in ${groups.length === 1 ? "1 group" : `${count(groups.length)} groups`}`;
    this.filter.hidden = all <= FEW;
    const before = this.#tiles();
    // Few metrics in many groups, and what a search finds, have no groups, which would be mostly headings.
    const flat = words.length > 0 || (all <= AT_ONCE && all < FEW_IN_GROUP * groups.length);
    this.groups.classList.toggle("flat", flat);
    if (flat) this.#showFlat(groups);
    else this.#showGroups(groups);
    for (const tile of before) if (!tile.element.isConnected) this.shelf.unwatch(tile);
  }

  #tiles() {
    return [...this.groups.querySelectorAll(".metric-cell")].map((cell) => cell.tile).filter(Boolean);
  }

  #showFlat(groups) {
    const grid = el("div", { class: "metric-grid" });
    const found = groups.flatMap(({ specs }) => specs);
    this.groups.replaceChildren(el("div", {}, found.length ? grid : el("p", { class: "muted" }, "No metric matches.")));
    if (found.length) this.#fill(grid, found, `? ${this.search.value}`);
  }

  #showGroups(groups) {
    let room = AT_ONCE;
    const shown = groups.slice(0, this.groupsShown).map((group) => {
      const open = groups.length === 1 || group.specs.length <= room;
      room -= open ? group.specs.length : 0;
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

  #group({ name, specs }, open, alone) {
    const grid = el("div", { class: "metric-grid" });
    const content = el("div", {}, grid);
    if (alone && (!name || !this.searched)) {
      this.#fill(grid, specs, name);
      return content;
    }
    const title = el(
      "summary",
      {},
      el("h3", {}, name || "No group"),
      el("span", { class: "muted tabular" }, count(specs.length)),
    );
    const details = el("details", { class: "group", open }, title, content);
    if (open) this.#fill(grid, specs, name);
    // The first opening fires this too; only what the viewer did is remembered.
    details.addEventListener("toggle", () => {
      if (details.open === open && !this.opened.has(name)) return;
      this.opened.set(name, details.open);
      this.permalink.set({ groups: openedText(this.opened) });
      if (details.open && !grid.childElementCount) this.#fill(grid, specs, name);
    });
    return details;
  }

  // Shows the first of these metrics, and a button for more.
  #fill(grid, specs, name) {
    const shown = this.asked.get(name) ?? AT_ONCE;
    for (const spec of specs.slice(grid.childElementCount, shown)) {
      const tile = this.shelf.tile(spec);
      grid.append(tile.element);
      this.shelf.watch(tile);
    }
    grid.parentElement.querySelector("button.more")?.remove();
    const left = specs.length - grid.childElementCount;
    if (left <= 0) return;
    const further = () => {
      this.asked.set(name, shown + AT_ONCE);
      this.#fill(grid, specs, name);
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

// [{name, specs}]: those whose first keys share the part before the first slash.
function grouped(specs) {
  const groups = new Map();
  for (const spec of specs) {
    const name = groupOf(spec);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(spec);
  }
  return [...groups].map(([name, members]) => ({ name, specs: members }));
}

const groupOf = ({ keys: [key] }) => (key.includes("/") ? key.split("/")[0] : "");

// Changes when metrics come or move to another chart.
const signature = (specs) => JSON.stringify(specs.map(({ keys }) => keys));

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
