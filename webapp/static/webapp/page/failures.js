// Errors are shown: those of a part in its place, until it has been shown after all; others in a line of the page.

import { el } from "./dom.js";

let running = null; // the Guard whose `act` runs now
let committed = null; // the Guard of the chart that uPlot draws now, which it does in a microtask after that
let others = 0;

export class Guard {
  // `name` is what people call the part, `place` the element that gets the message; `giveUp()` follows an error.
  constructor(name, place, giveUp = () => {}) {
    Object.assign(this, { name, place, giveUp });
    this.failed = false;
    this.running = false;
  }

  // Shows the part: calls `act` and returns its result, or undefined after an error. `act` may be async.
  run(act) {
    if (this.running) return act(); // the call around this one takes the error
    const outer = running;
    running = this;
    this.running = true;
    commit(this);
    try {
      const result = act();
      if (result instanceof Promise) return result.then((value) => this.#succeed(value)).catch((e) => this.fail(e));
      return this.#succeed(result);
    } catch (error) {
      return this.fail(error);
    } finally {
      running = outer;
      this.running = false;
      commit(outer);
    }
  }

  fail(error) {
    console.error(error);
    this.failed = true;
    this.message ??= el("p", { class: "failed", role: "alert" });
    this.message.textContent = `${this.name} can't be shown: ${textOf(error)}`;
    this.giveUp();
    this.place.hidden = false;
    if (!this.message.isConnected) this.place.append(this.message);
  }

  #succeed(result) {
    this.failed = false;
    this.message?.remove();
    return result;
  }
}

// What is queued from now on belongs to this Guard, or to none.
function commit(guard) {
  queueMicrotask(() => {
    committed = guard;
  });
}

const textOf = (error) => String(error?.message ?? error);

function tell(error) {
  const line =
    document.getElementById("failed") ??
    el("p", { id: "failed", class: "failed", role: "alert" }, "Something on this page has failed: ", el("span"), ". ");
  others += 1;
  line.querySelector("span").textContent = textOf(error) + (others > 1 ? `, and ${others - 1} more before` : "");
  if (line.isConnected) return;
  line.append("What is shown may be incomplete. Reload the page to try again.");
  document.getElementById("main").prepend(line);
}

// Without an error it is a notice of the browser, or another site's script.
addEventListener("error", ({ error }) => {
  if (error && committed) committed.fail(error);
  else if (error) tell(error);
});
addEventListener("unhandledrejection", ({ reason }) => tell(reason));
