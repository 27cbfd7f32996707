// Plays through something step by step: a button, and how fast. Who asks for less motion gets one step a second.

import { el } from "../page/dom.js";

const SPEEDS = [2, 5, 10, 20]; // steps a second

export class Player {
  #timer = null;

  // `advance()` goes one step on and returns whether there is a further one; `rewind()` goes to the start.
  constructor(advance, rewind, atEnd) {
    Object.assign(this, { advance, rewind, atEnd });
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.button = el("button", { type: "button", class: "button play", onclick: () => this.toggle() }, "Play");
    this.speed = el(
      "select",
      { "aria-label": "Epochs a second" },
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
