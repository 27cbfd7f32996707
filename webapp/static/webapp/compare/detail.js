// How many of the runs' epochs the curves show: those of the overviews at first, every one where that is little, or asked.

import { el } from "../page/dom.js";
import { count } from "../page/format.js";
import { curvesOf } from "./metrics.js";

const FEW = 2500; // epochs of all runs together that are read without being asked for

export class Detail {
  #histories = new Map(); // run ID → its history in full resolution

  // `onRead` is called when more has been read.
  constructor(permalink, source, onRead) {
    Object.assign(this, { permalink, source, onRead });
    this.text = el("span", { class: "tabular" });
    this.button = el("button", { type: "button", class: "button small", onclick: () => this.readAll() }, "Every epoch");
    this.element = el("span", { class: "epochs", role: "status" }, this.text, this.button);
  }

  // The run with the finest history that has been read.
  of(run) {
    const history = this.#histories.get(run.id);
    return history ? { ...run, history, curves: curvesOf(history) } : run;
  }

  // `runs` are warm.
  update(runs) {
    this.runs = runs;
    this.#say();
    if (this.wanted) this.#read();
  }

  // Whether every epoch is.
  get wanted() {
    return this.permalink.get("detail") === "full" || total(this.runs) <= FEW;
  }

  // From now on, whatever there is.
  readAll() {
    if (this.permalink.get("detail") === "full") return;
    this.permalink.set({ detail: "full" });
    this.#read();
    this.onRead(); // of other metrics the caller reads every step now
  }

  // What has not changed is not sent again.
  async #read() {
    const read = async ({ id }) => [id, await this.source.read(`/api/runs/${id}/training-history/?resolution=full`)];
    const answers = await Promise.allSettled(this.runs.map(read));
    const news = answers.filter(({ value }) => value?.[1].changed && value[1].document.available);
    for (const {
      value: [id, { document }],
    } of news)
      this.#histories.set(id, document);
    this.#say(answers.find(({ status }) => status === "rejected")?.reason);
    if (news.length) this.onRead();
  }

  #say(error) {
    const all = total(this.runs);
    const shown = this.runs.reduce((sum, run) => sum + this.of(run).history.epochs.length, 0);
    const more = shown < all && !this.wanted; // what is on its way needs no words
    this.button.hidden = !more;
    const bands = more ? "; bands hold the extremes between" : "";
    this.text.textContent = error
      ? `Not every epoch can be read: ${error.message}`
      : `${count(shown)} of ${count(all)} epochs${bands}`;
  }
}

const total = (runs) => runs.reduce((sum, { history }) => sum + history.epochs_total, 0);
