// A list of checkboxes with a search, behind a button that says how many are checked.

import { el } from "../page/dom.js";
import { count } from "../page/format.js";

export class Chooser {
  // `onChange(chosen)` gets the checked values in the order of the options, or null for the default; `extra` are
  // controls next to the search.
  constructor(label, onChange, extra = []) {
    Object.assign(this, { label, onChange, options: [], set: new Set() });
    this.title = el("summary", {}, label);
    this.search = el("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Search",
      "aria-label": `Search: ${label}`,
      oninput: () => this.#filter(),
    });
    this.list = el("ul", { class: "choices" });
    this.none = el("p", { class: "muted", hidden: true }, "No matches.");
    const few = el("button", { type: "button", class: "quiet", onclick: () => onChange(null) }, "Default");
    this.element = el(
      "details",
      { class: "chooser", onkeydown: (event) => this.#key(event) },
      this.title,
      el(
        "div",
        { class: "chooser-box" },
        el("div", { class: "tools" }, this.search, few, ...extra),
        this.list,
        this.none,
      ),
    );
    this.element.addEventListener("toggle", () => this.#show());
    closeOutside(this.element);
  }

  // `options` is [[value, text, note], …].
  update(options, chosen) {
    this.options = options;
    this.set = new Set(chosen);
    const checked = options.filter(([value]) => this.set.has(value)).length;
    this.title.textContent = `${this.label}: ${count(checked)} of ${count(options.length)}`;
    this.#show();
  }

  // A closed list, which may be of thousands, has no elements.
  #show() {
    const options = this.element.open ? this.options : [];
    const values = JSON.stringify(options.map(([value]) => value));
    if (values !== this.values) this.#build(options);
    this.values = values;
    for (const [value, box] of this.boxes) box.checked = this.set.has(value);
  }

  #build(options) {
    this.boxes = new Map();
    this.list.replaceChildren(
      ...options.map(([value, text, note]) => {
        const box = el("input", { type: "checkbox", onchange: () => this.#changed() });
        this.boxes.set(value, box);
        return el("li", {}, el("label", {}, box, el("span", {}, text), note && el("span", { class: "muted" }, note)));
      }),
    );
    this.#filter();
  }

  #changed() {
    this.onChange([...this.boxes].filter(([, box]) => box.checked).map(([value]) => value));
  }

  #filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of this.list.children)
      item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
    this.none.hidden = [...this.list.children].some((item) => !item.hidden);
  }

  #key(event) {
    if (event.key !== "Escape" || !this.element.open) return;
    this.element.open = false;
    this.title.focus();
  }
}

// Closes a <details> when the pointer is pressed outside it.
export function closeOutside(details) {
  addEventListener("pointerdown", ({ target }) => {
    if (!details.contains(target)) details.open = false;
  });
}
