// A field with a list of options (ARIA's combobox). The focus stays in the field; arrow keys move through the list.

const STEPS = { ArrowDown: 1, ArrowUp: -1 };
const ENDS = { Home: 0, End: -1 };

export class Combobox {
  // `choose(option)` is called for the marked option that Enter or one of `keys` accepts, and for one that is clicked.
  constructor(field, list, choose, keys = []) {
    Object.assign(this, { field, list, choose, marked: null });
    this.accepting = new Set(["Enter", ...keys]);
    for (const [name, value] of Object.entries({
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": list.id,
    }))
      field.setAttribute(name, value);
    list.setAttribute("role", "listbox");
    list.hidden = true;
    // The field keeps the focus.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", ({ target }) => {
      const option = target.closest('[role="option"]');
      if (option) choose(option);
    });
  }

  get isOpen() {
    return !this.list.hidden;
  }

  // The text has changed: until `show`, the list can't be moved through, and no key accepts anything.
  outdate() {
    this.mark(null);
    this.list.setAttribute("aria-busy", "true");
  }

  // `options` are elements with the role option and an ID each. Without any, the list closes.
  show(options) {
    this.list.replaceChildren(...options);
    this.list.removeAttribute("aria-busy");
    this.list.hidden = !options.length;
    this.field.setAttribute("aria-expanded", String(options.length > 0));
    this.mark(null);
  }

  close() {
    if (this.isOpen) this.show([]);
  }

  mark(option) {
    this.marked?.setAttribute("aria-selected", "false");
    this.marked = option;
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.field.setAttribute("aria-activedescendant", option.id);
    else this.field.removeAttribute("aria-activedescendant");
  }

  // Handles a key of the field. Returns whether it did; then the key does nothing else.
  key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || !this.isOpen) return false;
    if (this.list.ariaBusy) return false;
    const handled = this.#move(event) || this.#accept(event);
    if (handled) event.preventDefault();
    return handled;
  }

  #move({ key, shiftKey }) {
    const options = [...this.list.children];
    const at = options.indexOf(this.marked);
    if (key in STEPS) {
      const from = at < 0 && STEPS[key] < 0 ? 0 : at; // the first step up goes to the last option
      this.mark(options[(from + STEPS[key] + options.length) % options.length]);
      return true;
    }
    // Without a marked option these keys move the cursor in the field.
    if (!(key in ENDS) || !this.marked || shiftKey) return false;
    this.mark(options.at(ENDS[key]));
    return true;
  }

  #accept({ key, shiftKey }) {
    if (!this.accepting.has(key) || shiftKey || !this.marked) return false;
    this.choose(this.marked);
    return true;
  }
}
