// Which runs stand out: hidden ones, those that a brush leaves out, and the one that is pointed at. Charts draw it, and
// every element with `data-run` shows it as `data-level`.

const ALPHA = { lit: 1, plain: 1, back: 0.22, dim: 0.1, hidden: 0 };

export class Emphasis {
  hidden = new Set(); // run IDs
  #matching = null; // run IDs that every brush lets through; null: there is no brush
  #lit = null;
  #listeners = new Set();

  // `root` is what holds all elements with `data-run`; `onToggle` hears when runs are shown and hidden.
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

  // Tells everybody; also after elements were built anew.
  show() {
    for (const element of this.root.querySelectorAll("[data-run]"))
      element.dataset.level = this.level(element.dataset.run);
    for (const listener of this.#listeners) listener();
  }
}
