// Insights: statements about a run, each with a button that shows its epochs on the charts.

import { el, icon } from "../page/dom.js";

const SEVERITY = {
  error: { word: "Problem", icon: () => icon("M5 1.5h6L14.5 5v6L11 14.5H5L1.5 11V5z", "M5.5 5.5l5 5m0-5l-5 5") },
  warning: { word: "Warning", icon: () => icon("M8 1.8L15 14H1z", "M8 6v4m0 1.4v.9") },
  info: { word: "Note", icon: () => icon("M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13", "M8 7.2v4m0-6.9v.9") },
};
const ORDER = Object.keys(SEVERITY);

export class Insights {
  // `show(insight, go)` marks an insight's epochs on the charts and, if `go`, scrolls there; `show(null)` removes the
  // mark. The permalink holds which is marked.
  constructor(show, permalink) {
    Object.assign(this, { show, permalink });
    this.list = el("ul", { class: "insights" });
    this.shown = [];
    this.stale = false; // whether the list has changed since the last mark
  }

  // For a run in progress: new insights move nothing below.
  keepHeight() {
    this.list.classList.add("live");
    this.list.setAttribute("tabindex", "0");
    this.list.setAttribute("aria-label", "Insights");
  }

  get marked() {
    return this.permalink.get("insight");
  }

  // Returns whether there are insights.
  update(insights, unit) {
    const sorted = [...(insights ?? [])].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
    const now = JSON.stringify([sorted, unit]);
    if (now !== this.now) {
      this.now = now;
      this.shown = sorted;
      this.stale = true;
      const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.insight : null;
      this.list.replaceChildren(...sorted.map((insight) => this.#item(insight, unit)));
      if (focused) this.#button(focused)?.focus();
    }
    return sorted.length > 0;
  }

  #item(insight, unit) {
    const { word, icon: picture } = SEVERITY[insight.severity] ?? SEVERITY.info;
    const name = nameOf(insight);
    const places =
      insight.epochs.length > 0 &&
      el(
        "button",
        {
          type: "button",
          class: "places",
          "data-insight": name,
          "aria-pressed": String(this.marked === name),
          title: "Show on the charts",
          onclick: () => this.#toggle(insight, name),
        },
        range(insight, unit),
      );
    return el(
      "li",
      { class: `insight insight-${insight.severity}` },
      picture(),
      el("span", {}, el("b", {}, word), " ", insight.text),
      places,
    );
  }

  #toggle(insight, name) {
    this.permalink.set({ insight: this.marked === name ? "" : name });
    for (const button of this.list.querySelectorAll(".places"))
      button.setAttribute("aria-pressed", String(button.dataset.insight === this.marked));
    this.show(this.marked ? insight : null, true);
  }

  // Once the charts are there, marks what the address says, and again when the insight's epochs have changed.
  markAgain() {
    if (!this.marked || !this.stale) return;
    this.stale = false;
    const found = this.shown.find((insight) => nameOf(insight) === this.marked) ?? null;
    if (!found) this.permalink.set({ insight: "" });
    this.show(found, false);
  }

  #button(name) {
    return [...this.list.querySelectorAll(".places")].find((button) => button.dataset.insight === name);
  }
}

const nameOf = ({ rule, metric }) => `${rule} ${metric ?? ""}`;

// Uses the statement's own word for steps, if it has one.
function range({ epochs, text }, unit) {
  const word = /\b(epoch|step)/i.exec(text)?.[1].toLowerCase() ?? unit;
  const [from, to] = [epochs[0], epochs.at(-1)];
  return from === to ? `${word} ${from}` : `${word}s ${from} to ${to}`;
}
