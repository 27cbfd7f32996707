// Finds runs to add: the search of the list of runs, as a field with a list of results. The focus stays in the field;
// arrow keys move through the list.

import { Combobox } from "../page/combobox.js";
import { documentOf } from "../page/documents.js";
import { el } from "../page/dom.js";
import { number } from "../page/format.js";

const SHOWN = 30;
const PAUSE = 200; // ms without a key before it searches
const LOSS = "final_val_loss";
const RUN_ID = /^[0-9a-f]{12,64}$/; // MLflow's; otherwise any word could be one

export class RunSearch {
  #asked = 0;
  #timer = null;

  // `add(id)` adds a run to the comparison.
  constructor(add) {
    this.add = add;
    this.ids = []; // of the compared runs
    this.found = null; // the newest runs that match; null before the first answer
    this.field = el("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Words, or param.optimizer = adam",
      "aria-label": "Search runs to add",
      maxlength: "2000",
      oninput: () => this.#later(),
      onkeydown: (event) => this.box.key(event),
    });
    this.list = el("ul", { class: "choices offers", id: "found-runs", "aria-label": "Runs to add" });
    this.box = new Combobox(this.field, this.list, (item) => this.#choose(item));
    this.said = el("p", { class: "muted", role: "status" });
    this.element = el("div", { class: "chooser-box" }, this.field, this.said, this.list);
  }

  open() {
    this.field.focus();
    if (!this.found) this.#ask();
  }

  // Compared runs are not offered.
  update(ids) {
    this.ids = ids;
    if (this.found) this.#show();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  async #ask() {
    const query = this.field.value.trim();
    const asked = ++this.#asked;
    try {
      const parameters = new URLSearchParams({
        q: query,
        typing: 1,
        limit: SHOWN + this.ids.length,
        columns: `metric.${LOSS}`,
      });
      const response = await fetch(`/api/runs/?${parameters}`, { cache: "no-store" });
      const document = await documentOf(response);
      if (asked !== this.#asked) return; // outdated
      if (!response.ok) throw new Error(document.error ?? `the server answered ${response.status}`);
      this.found = document.runs;
      this.further = Boolean(document.next);
      this.#show();
      if (document.problem) this.said.textContent = toldOf(document.problem);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.found = [];
      this.#show();
      this.said.textContent = `Can't search: ${error.message}`;
    }
  }

  #show() {
    const query = this.field.value.trim();
    const others = this.found.filter(({ mlflow_run_id: id }) => !this.ids.includes(id));
    const runs = others.slice(0, SHOWN);
    const options = runs.map((run) =>
      option(run.mlflow_run_id, run.name || run.mlflow_run_id, run.experiment_name + lossOf(run)),
    );
    // A run may be compared before it is announced.
    const unknown = !runs.length && RUN_ID.test(query) && !this.ids.includes(query);
    if (unknown) options.push(option(query, query, "by its run ID"));
    this.box.show(options);
    this.said.textContent = summary(runs.length, query, this.further || others.length > SHOWN);
  }

  #choose({ dataset }) {
    this.add(dataset.run);
    this.field.focus();
  }
}

const option = (id, name, note) =>
  el(
    "li",
    { id: `found-${id}`, role: "option", "aria-selected": "false", "data-run": id },
    el("span", {}, name),
    el("span", { class: "muted" }, note),
  );
const lossOf = ({ final_metrics: { [LOSS]: loss } }) => (typeof loss === "number" ? ` · val loss ${number(loss)}` : "");

// An unknown name is a sentence; an invalid query is a place and a reason.
const toldOf = (problem) => (problem.startsWith("at ") ? `Can't search: ${problem}` : problem);

function summary(shown, query, further) {
  if (!shown)
    return query
      ? "No other run matches. Try fewer words. Conditions are those of the list of runs."
      : "No other runs.";
  if (further) return `The newest ${shown}; type to find others.`;
  return `${shown} ${shown === 1 ? "run" : "runs"}.`;
}
