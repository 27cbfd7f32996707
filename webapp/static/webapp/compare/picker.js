// The compared runs, with their colours, states and links; shows, hides, removes and adds runs.

import { el } from "../page/dom.js";
import { closeOutside } from "./chooser.js";
import { nameOf, replace, swatch } from "./plot.js";
import { WholeRows } from "./rows.js";
import { RunSearch } from "./search.js";

const STATES = {
  pending: "waiting",
  warming: "warming",
  failed: "not warmed",
  rebuilding: "rebuilding",
  expired: "expired",
  unknown: "not announced",
  reading: "reading",
};

export class RunPicker {
  // `add(id)` and `remove(id)` change the comparison.
  constructor(emphasis, most, { add, remove }) {
    Object.assign(this, { emphasis, most, add, remove });
    this.toggles = new Map(); // run ID → the button that shows and hides it
    emphasis.listen(() => this.#press());
    this.list = el("ul", { class: "compared", "aria-label": "Compared runs" });
    this.rows = new WholeRows(this.list);
    this.search = new RunSearch(add);
    this.adding = el(
      "details",
      {
        class: "chooser adding",
        ontoggle: () => this.adding.open && this.search.open(),
        onkeydown: (event) => this.#key(event),
      },
      el("summary", {}, "Add a run"),
      this.search.element,
    );
    closeOutside(this.adding);
    this.element = el("div", { class: "picker" }, this.adding, this.list, this.rows.button);
  }

  update(runs) {
    this.element.classList.toggle("choosing", runs.length < 2);
    this.toggles.clear();
    replace(this.list, ...runs.map((run) => this.#chip(run)));
    this.list.hidden = !runs.length;
    this.rows.update(runs.length);
    this.adding.hidden = runs.length >= this.most;
    this.search.update(runs.map(({ id }) => id));
    this.emphasis.show();
  }

  #press() {
    for (const [id, button] of this.toggles) button.setAttribute("aria-pressed", String(!this.emphasis.hidden.has(id)));
  }

  #chip(run) {
    const { label, id } = run;
    const toggle = el(
      "button",
      {
        type: "button",
        class: "show",
        "data-key": `show ${id}`,
        "aria-label": label,
        title: `${label}: show or hide its curves`,
        onclick: () => this.emphasis.toggle(id),
      },
      swatch(run),
      nameOf(label),
    );
    const link = el(
      "a",
      { href: `/runs/${id}/`, class: "quiet", "aria-label": `Open ${label}`, title: "Open the run's page" },
      "↗",
    );
    const gone = el(
      "button",
      {
        type: "button",
        class: "quiet",
        "data-key": `remove ${id}`,
        "aria-label": `Remove ${label}`,
        title: "Remove from the comparison",
        onclick: () => this.remove(id),
      },
      "×",
    );
    this.toggles.set(id, toggle);
    return el("li", { "data-run": id }, toggle, badge(run), link, gone);
  }

  #key(event) {
    if (event.key !== "Escape" || !this.adding.open) return;
    this.adding.open = false;
    this.adding.firstChild.focus();
  }
}

// Says that a run is in progress, or why it has no charts or no numbers.
function badge({ row, history, told }) {
  if (history && !told)
    return el("span", { class: "state state-rebuilding", title: "Its numbers are being rebuilt" }, STATES.rebuilding);
  if (history) return row.status === "RUNNING" ? el("span", { class: "status status-running" }, "live") : null;
  return row.state
    ? el("span", { class: `state state-${row.state}`, title: row.reason || row.expect }, STATES[row.state])
    : null;
}
