// A list of runs that shows all of a few runs. Of many it shows some whole rows that scroll, and a button for all.

import { el } from "../page/dom.js";
import { count } from "../page/format.js";

const FEW = 12;

export class WholeRows {
  constructor(list) {
    this.list = list;
    this.button = el("button", {
      type: "button",
      class: "quiet all-runs",
      "aria-expanded": "false",
      hidden: true,
      onclick: () => this.#toggle(),
    });
    list.classList.add("whole-rows");
    this.observer = new ResizeObserver(() => this.#show());
    this.observer.observe(list);
  }

  update(many) {
    this.many = many;
    this.list.classList.toggle("some", many > FEW);
    this.#show();
  }

  #toggle() {
    this.list.classList.toggle("all");
    this.#show();
  }

  // Many runs with short names may fit.
  #show() {
    const all = this.list.classList.contains("all");
    this.button.hidden = !(this.many > FEW) || (!all && this.list.scrollHeight <= this.list.clientHeight + 1);
    this.button.setAttribute("aria-expanded", String(all));
    this.button.textContent = all ? "fewer" : `all ${count(this.many)}`;
  }
}
