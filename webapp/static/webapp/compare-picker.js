// The runs that are compared: their colours, states and links; showing, hiding, removing and adding them.

import { replace, swatch } from "./compare-plot.js";
import { el } from "./dom.js";
import { count, number } from "./format.js";

const STATES = { pending: "waiting", warming: "warming", failed: "not warmed", rebuilding: "rebuilding", expired: "expired", unknown: "not announced", reading: "reading" };
const OFFERED = 200; // the newest runs, among which one searches
const SHOWN = 30;
const RUN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

export class RunPicker {
  // `add(id)` and `remove(id)` change the comparison.
  constructor(emphasis, most, { add, remove }) {
    Object.assign(this, { emphasis, most, add, remove });
    this.toggles = new Map(); // run ID → the button that shows and hides it
    emphasis.listen(() => this.toggles.forEach((button, id) => button.setAttribute("aria-pressed", String(!emphasis.hidden.has(id)))));
    this.list = el("ul", { class: "compared", "aria-label": "Compared runs" });
    this.search = el("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Name, experiment, parameter or run ID", "aria-label": "Search runs to add", oninput: () => this.#offer() });
    this.offers = el("ul", { class: "choices offers" });
    this.said = el("p", { class: "muted", role: "status" });
    this.adding = el("details", { class: "chooser adding", ontoggle: () => this.#opened(), onkeydown: (event) => this.#key(event) },
      el("summary", {}, "Add a run"), el("div", { class: "chooser-box" }, this.search, this.said, this.offers));
    addEventListener("pointerdown", ({ target }) => this.adding.contains(target) || (this.adding.open = false));
    this.element = el("div", { class: "picker" }, this.adding, this.list);
  }

  update(runs) {
    this.ids = runs.map(({ id }) => id);
    this.element.classList.toggle("choosing", runs.length < 2);
    this.toggles.clear();
    replace(this.list, ...runs.map((run) => this.#chip(run)));
    this.list.hidden = !runs.length;
    this.adding.hidden = runs.length >= this.most;
    this.#offer();
    this.emphasis.show();
  }

  #chip(run) {
    const { label, id } = run;
    const toggle = el("button", { type: "button", class: "show", "data-key": `show ${id}`, title: "Show or hide its curves", onclick: () => this.emphasis.toggle(id) }, swatch(run), el("span", {}, label));
    const link = el("a", { href: `/runs/${id}/`, class: "quiet", "aria-label": `Open ${label}`, title: "Open the run's page" }, "↗");
    const gone = el("button", { type: "button", class: "quiet", "data-key": `remove ${id}`, "aria-label": `Remove ${label}`, title: "Remove from the comparison", onclick: () => this.remove(id) }, "×");
    this.toggles.set(id, toggle);
    return el("li", { "data-run": id }, toggle, badge(run), link, gone);
  }

  async #opened() {
    if (!this.adding.open) return;
    this.search.focus();
    if (this.found) return this.#offer();
    this.said.textContent = "Reading the list of runs…";
    try {
      const response = await fetch(`/api/runs/?limit=${OFFERED}`, { cache: "no-store" });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      this.found = (await response.json()).runs;
    } catch (error) {
      this.said.textContent = `The list of runs can't be read: ${error.message}. A run ID works all the same.`;
    }
    return this.#offer();
  }

  #offer() {
    const text = this.search.value.trim();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const others = (this.found ?? []).filter((run) => !this.ids.includes(run.mlflow_run_id));
    const fits = others.filter((run) => words.every((word) => searched(run).includes(word)));
    const shown = fits.slice(0, SHOWN);
    this.offers.replaceChildren(...shown.map((run) => this.#option(run.mlflow_run_id, run.name || run.mlflow_run_id, `${run.experiment_name}${lossOf(run)}`)));
    if (!shown.length && RUN_ID.test(text) && !this.ids.includes(text)) this.offers.append(this.#option(text, text, "by its run ID"));
    if (this.found) this.said.textContent = fits.length > SHOWN ? `The first ${SHOWN} of ${count(fits.length)}; type to find others.` : `${count(fits.length)} ${fits.length === 1 ? "run" : "runs"} of the newest ${count(this.found.length)}.`;
  }

  #option(id, name, note) {
    return el("li", {}, el("button", { type: "button", onclick: () => this.#chosen(id) }, el("span", {}, name), el("span", { class: "muted" }, note)));
  }

  #chosen(id) {
    this.add(id);
    this.search.focus();
  }

  #key(event) {
    if (event.key !== "Escape" || !this.adding.open) return;
    this.adding.open = false;
    this.adding.firstChild.focus();
  }
}

// What there is to say of a run besides its charts: that it goes on, or why it has none.
function badge({ row, history }) {
  if (history) return row.status === "RUNNING" ? el("span", { class: "status status-running" }, "live") : null;
  return row.state ? el("span", { class: `state state-${row.state}`, title: row.reason || row.expect }, STATES[row.state]) : null;
}

const searched = ({ name, experiment_name, mlflow_run_id, params }) => [name, experiment_name, mlflow_run_id, ...Object.entries(params).map((pair) => pair.join(" "))].join(" ").toLowerCase();
const lossOf = ({ final_metrics: { final_val_loss: loss } }) => (typeof loss === "number" ? ` · val loss ${number(loss)}` : "");
