// Histograms of up to four runs at one epoch (or step), one below the other on the same axis, or overlaid.

import { valueAxis } from "../charts/axis.js";
import { binAt, fullest, nearest } from "../histograms/find.js";
import { lazyDetails } from "../page/details.js";
import { choice, el, section, table } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, exact, number } from "../page/format.js";
import { inNextFrame, whenNear } from "../page/frames.js";
import { exportMenu } from "../page/menu.js";
import { choiceOf, chosenIn } from "./address.js";
import { drawHistograms, heightsOf, overlaid, paintHistograms, stacked } from "./bins.js";
import { Chooser } from "./chooser.js";
import { nameOf, swatch } from "./plot.js";
import { commonUnit, titled } from "./units.js";

const AT_MOST = 4;
const AHEAD = "400px"; // distance from the view at which the histograms are read
const NAMES = { weights: "Weights", gradients: "Gradients" };

export class Histograms {
  constructor(permalink, emphasis, source) {
    Object.assign(this, { permalink, emphasis, source });
    this.documents = new Map(); // address → the API's answer
    this.able = []; // runs that have histograms
    this.shown = []; // {run, data, index}
    this.chooser = new Chooser("Runs", (chosen) => this.#choose(chosen));
    this.legend = el("ul", { class: "run-legend", "aria-label": "Colours of the runs", hidden: true });
    this.canvas = el("canvas");
    this.plot = el("div", { class: "canvas-box", role: "img", "aria-label": "Histograms" }, this.canvas);
    this.read = el("p", { class: "readout tabular", role: "status" });
    this.slider = el("input", {
      type: "range",
      id: "compare-epoch",
      min: "0",
      max: "0",
      value: "0",
      oninput: () => this.#scrub(Number(this.slider.value)),
    });
    this.chosen = el("output", { class: "tabular", for: "compare-epoch" });
    this.differs = el("p", { class: "muted", role: "status" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () => this.#table());
    this.named = el("label", { for: "compare-epoch" }, "Epoch");
    this.message = el("p", { class: "notice small", hidden: true });
    this.content = el(
      "div",
      { hidden: true },
      this.legend,
      this.plot,
      el("div", { class: "scrub" }, this.named, this.slider, this.chosen),
      this.differs,
      this.read,
      this.summary,
      this.table.details,
    );
    const figure = el("figure", { class: "drawn" }, this.message, this.content);
    this.section = section("histograms", "Weights and gradients", this.#tools(), figure);
    this.guard = new Guard("The histograms", this.section);
    this.#follow();
  }

  #follow() {
    this.plot.addEventListener("pointermove", (event) => this.#hover(event));
    this.plot.addEventListener("pointerleave", () => this.#fullest());
    this.emphasis.listen(() => this.#paint());
    addEventListener("themechange", () => this.#paint());
    new ResizeObserver(() => this.#paint()).observe(this.plot);
    whenNear(this.section, AHEAD, () => {
      this.near = true;
      this.#loadSoon();
    });
  }

  #tools() {
    const set = (name, show) => (value) => {
      this.permalink.set({ [name]: value });
      show();
    };
    const pick = (name) => set(name, () => this.#load());
    const draw = (name) => set(name, () => this.#draw());
    return el(
      "div",
      { class: "tools" },
      this.chooser.element,
      choice("What", Object.entries(NAMES), this.permalink.get("what"), pick("what")),
      choice(
        "Tower",
        [
          ["query", "Query tower"],
          ["candidate", "Candidate tower"],
        ],
        this.permalink.get("tower"),
        pick("tower"),
      ),
      choice(
        "Arrangement",
        [
          ["each", "One each"],
          ["over", "Overlaid"],
        ],
        this.permalink.get("bins"),
        draw("bins"),
      ),
      choice(
        "Counts",
        [
          ["linear", "Linear"],
          ["log", "Log counts"],
        ],
        this.permalink.get("counts"),
        draw("counts"),
      ),
      exportMenu("Histograms", (kind) => this.#export(kind)),
    );
  }

  update(runs) {
    this.able = runs.filter(({ history }) => history?.histogram_available);
    this.section.hidden = !this.able.length;
    this.#loadSoon();
  }

  // If there is something to show and the section is near the view.
  #loadSoon() {
    if (this.able.length && this.near) this.#load();
  }

  // The address names runs by their slots.
  get #chosenRuns() {
    const slots = chosenIn(this.permalink.get("of"));
    return (slots ? this.able.filter(({ slot }) => slots.includes(String(slot))) : this.able).slice(0, AT_MOST);
  }

  #choose(slots) {
    const added = slots?.find((slot) => !this.#chosenRuns.some((run) => String(run.slot) === slot));
    // A fifth run replaces the first of the others.
    const kept =
      slots && slots.length > AT_MOST
        ? slots.filter((slot) => slot === added || slot !== slots.find((other) => other !== added))
        : slots;
    this.permalink.set({ of: choiceOf(kept) });
    this.#load();
  }

  get #what() {
    return `${NAMES[this.permalink.get("what")]} of the ${this.permalink.get("tower")} tower`;
  }

  #address(run) {
    const [what, tower] = ["what", "tower"].map((name) => this.permalink.get(name));
    return `/api/runs/${run.id}/histogram-data/?type=${what}&tower=${tower}&resolution=overview`;
  }

  // Reads the histograms of the chosen runs, if they have changed.
  async #load() {
    const runs = this.#chosenRuns;
    this.chooser.update(
      this.able.map(({ slot, label }) => [String(slot), label]),
      runs.map(({ slot }) => String(slot)),
    );
    const wanted = runs.map((run) => [run, this.#address(run)]);
    const answers = await Promise.allSettled(
      wanted.map(async ([, address]) => [address, await this.source.read(address)]),
    );
    const failed = answers.filter(({ status }) => status === "rejected");
    for (const { value } of answers) if (value?.[1].changed) this.documents.set(value[0], value[1].document);
    if (wanted.some(([run, address]) => address !== this.#address(run))) return; // the choice has changed meanwhile
    const found = wanted
      .map(([run, address]) => ({ run, data: this.documents.get(address) }))
      .filter(({ data }) => data?.available && data.epochs.length);
    this.#show(found, runs.length - found.length, failed[0]?.reason);
  }

  #show(...found) {
    this.found = found;
    this.guard.run(() => this.#build(...found));
  }

  // After an error all of it is tried again.
  #attempt(act) {
    if (this.found) this.guard.run(() => (this.guard.failed ? this.#build(...this.found) : act()));
  }

  #build(found, missing, error) {
    const none = error
      ? `The histograms can't be read: ${error.message}`
      : "None of these runs has logged this histogram.";
    this.message.textContent = found.length
      ? `${count(missing)} of the chosen runs ${missing === 1 ? "has" : "have"} not logged this histogram.`
      : none;
    this.message.hidden = found.length > 0 && !missing;
    this.content.hidden = !found.length;
    this.shown = found;
    if (!found.length) return;
    this.unit = commonUnit(found.map(({ run }) => run));
    this.named.textContent = titled(this.unit);
    this.table.details.firstChild.textContent = `Data table of this ${this.unit}`;
    this.epochs = [...new Set(found.flatMap(({ data }) => data.epochs))].sort((a, b) => a - b);
    this.axis = valueAxis(found.flatMap(({ data }) => data.bin_edges_by_epoch));
    this.slider.max = String(this.epochs.length - 1);
    const asked = this.permalink.get("epoch");
    this.#go(asked === "" ? this.epochs.length - 1 : nearest(this.epochs, Number(asked)));
  }

  #scrub(at) {
    this.permalink.set({ epoch: at === this.epochs.length - 1 ? "" : String(this.epochs[at]) });
    this.#go(at);
  }

  #go(at) {
    this.#attempt(() => this.#place(at));
  }

  #place(at) {
    const epoch = this.epochs[at];
    this.slider.value = String(at);
    this.slider.setAttribute("aria-valuetext", `${this.unit} ${epoch}`);
    this.chosen.textContent = `${epoch} of ${this.epochs.at(-1)}`;
    for (const one of this.shown) one.index = nearest(one.data.epochs, epoch);
    const others = this.shown.filter(({ data, index }) => data.epochs[index] !== epoch);
    this.differs.textContent = others
      .map(
        ({ run, data, index }) =>
          `${run.label} is shown at ${this.unit} ${data.epochs[index]}, its nearest stored ${this.unit}.`,
      )
      .join(" ");
    this.table.refresh();
    this.#draw();
  }

  #draw() {
    if (this.shown.length) this.#attempt(() => this.#arrange());
  }

  #arrange() {
    const over = this.permalink.get("bins") === "over";
    this.layout = (over ? overlaid : stacked)(this.shown.length);
    this.plot.style.height = `${this.layout.height}px`;
    this.height = heightsOf(this.shown, this.permalink.get("counts") === "log");
    this.#name(over);
    const axis = this.axis.symlog ? ", on a symmetric-log axis" : "";
    const heights = `Heights are shares of all values of the run${axis}.`;
    const extents = this.shown.map((one) => extent(one, this.unit)).join("; ");
    this.summary.textContent = `${this.#what}: ${extents}. ${heights}`;
    this.plot.setAttribute("aria-label", `Histograms. ${this.summary.textContent}`);
    this.#fullest();
    this.#paint();
  }

  // Pictures of single runs name them; overlaid ones have a legend.
  #name(over) {
    this.legend.hidden = !over;
    this.legend.replaceChildren(
      ...(over
        ? this.shown.map(({ run, data, index }) =>
            el(
              "li",
              { "data-run": run.id },
              swatch(run),
              nameOf(run.label),
              el("span", { class: "muted tabular" }, `${this.unit} ${data.epochs[index]}`),
            ),
          )
        : []),
    );
    this.emphasis.show();
  }

  #paint = inNextFrame(() => {
    if (this.shown.length && this.layout && this.plot.clientWidth) this.#attempt(() => drawHistograms(this));
  });

  async #export(kind) {
    const { shown, layout, emphasis } = this;
    if (!shown.length) throw new Error("there is no histogram.");
    const { legendOf, saveBins } = await import("./picture.js");
    const title = `${this.#what}, ${this.unit} ${this.epochs[this.slider.value]}`;
    if (kind === "csv" || kind === "json") return saveBins(title, kind, shown, this.unit);
    const { savePicture } = await import("../charts/export.js");
    const width = this.plot.clientWidth;
    const legend = layout.titled
      ? []
      : legendOf(
          shown.map(({ run }) => run),
          emphasis,
        );
    return savePicture(title, kind, {
      width,
      height: layout.height,
      legend,
      paint: (context) => paintHistograms(this, context, width),
    });
  }

  #say(text, bins) {
    this.read.textContent =
      text +
      this.shown
        .map(({ run, data, index }, i) => {
          const [edges, counts] = [data.bin_edges_by_epoch[index], data.counts[index]];
          const bin = bins[i];
          return bin === null
            ? `${run.label} has no bin here`
            : `${run.label} ${count(counts[bin])} from ${number(edges[bin])} to ${number(edges[bin + 1])}`;
        })
        .join(" · ");
  }

  #fullest() {
    if (this.shown.length)
      this.#say(
        "Fullest bin: ",
        this.shown.map(({ data, index }) => fullest(data.counts[index])),
      );
  }

  #hover(event) {
    const x = event.clientX - this.plot.getBoundingClientRect().left;
    if (this.x)
      this.#say(
        "",
        this.shown.map(({ data, index }) => binAt(data.bin_edges_by_epoch[index], (edge) => x < this.x(edge))),
      );
  }

  #table() {
    const rows = this.shown.flatMap(({ run, data, index }) => {
      const [edges, counts] = [data.bin_edges_by_epoch[index], data.counts[index]];
      const cells = (bin, from, to, value) => [
        run.label,
        String(data.epochs[index]),
        bin,
        exact(from),
        exact(to),
        exact(value),
      ];
      return [
        cells("below", null, edges[0], data.underflow[index]),
        ...counts.map((value, bin) => cells(String(bin), edges[bin], edges[bin + 1], value)),
        cells("above", edges.at(-1), null, data.overflow[index]),
      ];
    });
    return table("Bins of the chosen runs", ["run", this.unit, "bin", "from", "to", "count"], rows);
  }
}

// The range of a run's filled bins at the shown place; the outermost edges are the same in most runs.
function extent({ run, data, index }, unit) {
  const [edges, counts] = [data.bin_edges_by_epoch[index], data.counts[index]];
  const filled = counts.map((value, bin) => (value > 0 ? bin : -1)).filter((bin) => bin >= 0);
  const beyond = (data.underflow[index] ?? 0) + (data.overflow[index] ?? 0);
  const inside = filled.length
    ? `from ${number(edges[filled[0]])} to ${number(edges[filled.at(-1) + 1])}`
    : "without values in its bins";
  return `${run.label} at ${unit} ${data.epochs[index]} ${inside}${beyond ? ` and ${count(beyond)} beyond` : ""}`;
}
