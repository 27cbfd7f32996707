// A button that plays step by step, and a choice of speed. With reduced motion, it plays one step per second.

import { el } from "../page/dom.js";

const SPEEDS = [2, 5, 10, 20]; // steps per second

export class Player {
  #timer = null;

  // `advance()` takes one step and returns whether there is another; `rewind()` goes to the start; `atEnd()`: whether
  // there is no further step.
  constructor(advance, rewind, atEnd) {
    Object.assign(this, { advance, rewind, atEnd });
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.button = el("button", { type: "button", class: "button play", onclick: () => this.toggle() }, "Play");
    this.speed = el(
      "select",
      { "aria-label": "Epochs per second" },
      SPEEDS.map((speed) => el("option", { value: String(speed), selected: speed === 5 }, `${speed}/s`)),
    );
    this.element = el("span", { class: "player" }, this.button, this.speed);
    this.speed.hidden = this.calm.matches;
    this.calm.addEventListener("change", ({ matches }) => {
      this.speed.hidden = matches;
    });
  }

  toggle() {
    if (this.#timer !== null) return this.stop();
    if (this.atEnd()) this.rewind();
    this.#say(true);
    return this.#wait();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#say(false);
  }

  #wait() {
    const speed = this.calm.matches ? 1 : Number(this.speed.value);
    this.#timer = setTimeout(() => (this.advance() ? this.#wait() : this.stop()), 1000 / speed);
  }

  #say(playing) {
    this.button.textContent = playing ? "Pause" : "Play";
  }
}
