// The chosen runs, on all pages of the list, until the tab is closed.

import { parsed } from "../page/documents.js";
import { el } from "../page/dom.js";

const KEY = "warmboard.chosen";
const ALL = "Choose all runs shown";
const [MIN, MAX] = [2, 50]; // runs to compare

export class Selection {
  #chosen = new Set(parsed(sessionStorage.getItem(KEY) ?? "[]"));
  #last = null; // the run whose box was clicked last; Shift-click chooses all from there
  #all = el("input", { type: "checkbox", autocomplete: "off", "aria-label": ALL, title: ALL });

  // `form` holds the checkboxes, `bar` the actions on the chosen runs.
  constructor(form, bar) {
    this.form = form;
    this.bar = bar;
    form.querySelector("thead .mark").replaceChildren(el("label", {}, this.#all));
    this.#all.addEventListener("change", () => this.#choose(this.#boxes, this.#all.checked));
    form.addEventListener("click", ({ target, shiftKey }) => target.name === "run" && this.#click(target, shiftKey));
    form.addEventListener("submit", (event) => this.#submit(event));
    bar.querySelector("#forget").addEventListener("click", () => this.#keep([]));
    bar.querySelector("#forget").hidden = false;
    addEventListener("pageshow", () => this.show()); // after going back, browsers restore older boxes
    this.show();
  }

  // Updates the boxes and the bar.
  show() {
    for (const box of this.#boxes) box.checked = this.#chosen.has(box.value);
    const here = this.#boxes.filter((box) => box.checked).length;
    this.#all.checked = here === this.#boxes.length;
    this.#all.indeterminate = here > 0 && !this.#all.checked;
    const count = this.#chosen.size;
    this.bar.classList.toggle("any", count > 0);
    this.bar.querySelector("#chosen-count").textContent = count ? `${count} chosen` : "";
    const compare = this.bar.querySelector("#compare");
    compare.textContent = `Compare (${count})`;
    compare.disabled = count < MIN || count > MAX;
    compare.title = compare.disabled ? `Choose ${MIN} to ${MAX} runs to compare` : "";
  }

  get #boxes() {
    return [...this.form.querySelectorAll('input[name="run"][type="checkbox"]')];
  }

  #click(box, withShift) {
    const boxes = this.#boxes;
    const [from, to] = [boxes.findIndex((each) => each.value === this.#last), boxes.indexOf(box)].sort((a, b) => a - b);
    this.#last = box.value;
    this.#choose(withShift && from >= 0 ? boxes.slice(from, to + 1) : [box], box.checked);
  }

  #choose(boxes, chosen) {
    for (const { value } of boxes) {
      if (chosen) this.#chosen.add(value);
      else this.#chosen.delete(value);
    }
    this.#keep(this.#chosen);
  }

  #keep(runIds) {
    this.#chosen = new Set(runIds);
    sessionStorage.setItem(KEY, JSON.stringify([...this.#chosen]));
    this.show();
  }

  // The form also sends the runs of other pages.
  #submit(event) {
    if (event.submitter === this.bar.querySelector("#compare")) {
      event.preventDefault();
      location.assign(`/compare/?runs=${[...this.#chosen].map(encodeURIComponent).join(",")}`);
      return;
    }
    const here = new Set(this.#boxes.map((box) => box.value));
    for (const runId of this.#chosen) {
      if (here.has(runId)) continue;
      const input = Object.assign(document.createElement("input"), { type: "hidden", name: "run", value: runId });
      this.form.append(input);
    }
  }
}
