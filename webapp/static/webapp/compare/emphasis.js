// How much each run stands out: hidden, left out by a brush, or under the pointer. Charts draw it, and every element
// with `data-run` has it as `data-level`.

const ALPHA = { lit: 1, plain: 1, back: 0.22, dim: 0.1, hidden: 0 };

export class Emphasis {
  hidden = new Set(); // run IDs
  #matching = null; // run IDs within all brushes; null without a brush
  #lit = null;
  #listeners = new Set();

  // `root` holds all elements with `data-run`; calls `onToggle` when a run is shown or hidden.
  constructor(root, onToggle) {
    Object.assign(this, { root, onToggle });
    const follow = ({ target }) => this.light(target.closest?.("[data-run]")?.dataset.run ?? null);
    for (const event of ["pointerover", "focusin"]) root.addEventListener(event, follow);
    for (const event of ["pointerleave", "focusout"]) root.addEventListener(event, () => this.light(null));
  }

  listen(listener) {
    this.#listeners.add(listener);
  }

  light(id) {
    if (id === this.#lit) return;
    this.#lit = id;
    this.show();
  }

  match(ids) {
    this.#matching = ids;
    this.show();
  }

  matches(id) {
    return this.#matching === null || this.#matching.has(id);
  }

  toggle(id) {
    if (!this.hidden.delete(id)) this.hidden.add(id);
    this.onToggle();
    this.show();
  }

  level(id) {
    if (this.hidden.has(id)) return "hidden";
    if (id === this.#lit) return "lit";
    if (!this.matches(id)) return "dim";
    return this.#lit === null || this.hidden.has(this.#lit) ? "plain" : "back";
  }

  alpha(id) {
    return ALPHA[this.level(id)];
  }

  // Updates all elements and listeners. Call it after building elements.
  show() {
    for (const element of this.root.querySelectorAll("[data-run]"))
      element.dataset.level = this.level(element.dataset.run);
    for (const listener of this.#listeners) listener();
  }
}
