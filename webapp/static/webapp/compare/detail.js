// How many epochs the curves show: at first those of the overviews; every one if there are few, or if the viewer asks.

import { stepsOf } from "../charts/specs.js";
import { el } from "../page/dom.js";
import { count } from "../page/format.js";
import { curvesOf } from "./metrics.js";
import { commonUnit } from "./units.js";

const FEW = 2500; // epochs, or points of the leading metric, of all runs together; up to so many every one is read.
// A run of many steps may have a short history, of its validation, which is read then too.

export class Detail {
  #histories = new Map(); // run ID → its history in full resolution

  // Calls `onRead` when more has been read.
  constructor(permalink, source, onRead) {
    Object.assign(this, { permalink, source, onRead });
    this.text = el("span", { class: "tabular" });
    this.button = el("button", { type: "button", class: "button small", onclick: () => this.readAll() });
    this.element = el("span", { class: "epochs", role: "status" }, this.text, this.button);
  }

  // The run, with its full history if that has been read.
  of(run) {
    const history = this.#histories.get(run.id);
    return history ? { ...run, history, curves: curvesOf(history) } : run;
  }

  // The run with every epoch. Throws if that can't be read.
  async whole(run) {
    await this.#ask(run);
    return this.of(run);
  }

  // `runs` are warm.
  update(runs) {
    this.runs = runs;
    const epochs = runs.reduce((sum, { history }) => sum + history.epochs_total, 0);
    if (this.wanted || epochs <= FEW) this.#read();
  }

  // Tells how many epochs are shown. `shown` are the runs as they are drawn, each with its history or that of its
  // leading metric.
  tell(shown) {
    this.shown = shown;
    this.#say();
  }

  // Whether to show every epoch.
  get wanted() {
    return this.permalink.get("detail") === "full" || total(this.runs) <= FEW;
  }

  // Shows every epoch from now on.
  readAll() {
    if (this.permalink.get("detail") === "full") return;
    this.permalink.set({ detail: "full" });
    this.#read();
    this.onRead(); // the caller now reads every step of other metrics
  }

  async #read() {
    const answers = await Promise.allSettled(this.runs.map((run) => this.#ask(run)));
    this.error = answers.find(({ status }) => status === "rejected")?.reason;
    this.#say();
    if (answers.some(({ value }) => value)) this.onRead();
  }

  // Whether there is a new history. That of the same warming as the overview is none.
  async #ask({ id, history }) {
    if (this.#histories.get(id)?.cached_at === history.cached_at) return false;
    const { changed, document } = await this.source.read(`/api/runs/${id}/training-history/?resolution=full`);
    if (!changed || !document.available) return false;
    this.#histories.set(id, document);
    return true;
  }

  #say() {
    if (!this.shown) return;
    const { error } = this;
    const sum = (numbers) => numbers.reduce((whole, part) => whole + part, 0);
    const all = sum(this.shown.map(({ history }) => history.epochs_total));
    const shown = sum(this.shown.map(({ history }) => history.epochs.length));
    const more = shown < all && !this.wanted;
    const unit = commonUnit(this.runs);
    this.button.hidden = !more;
    this.button.textContent = `Every ${unit}`;
    const bands = more ? "; bands show min and max in between" : "";
    const runs = this.shown.length === 1 ? "1 run" : `${count(this.shown.length)} runs`;
    this.text.textContent = error
      ? `Some ${unit}s can't be read: ${error.message}`
      : `${count(shown)} of ${count(all)} ${unit}s in ${runs}${bands}`;
  }
}

const total = (runs) => runs.reduce((sum, { history, told }) => sum + stepsOf(history, told), 0);
