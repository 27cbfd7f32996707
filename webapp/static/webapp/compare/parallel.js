// Parallel coordinates: an axis for each field, a line for each run, and brushes that leave runs out on the whole page.

import { lazyDetails } from "../page/details.js";
import { choice, el, section, svg } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, shortened } from "../page/format.js";
import { exportMenu } from "../page/menu.js";
import { choiceOf, chosenIn, packAll, unpackAll } from "./address.js";
import { Chooser } from "./chooser.js";
import { axisFields, GROUPS, usualAxes } from "./fields.js";
import { fieldTable, replace } from "./plot.js";
import { kindsOf, roomy, Scale } from "./scale.js";

const [HEIGHT, TOP, BOTTOM] = [300, 14, 14];
const NARROWEST = 128;
const STEPS = 100; // of a handle along an axis
const CLICK = 4; // pixels; a shorter drag is a click
const TOLERANCE = 1e-4; // the address rounds a brush's ends
const KINDS = { linear: "Linear", log: "Log", category: "Categories" };

const y = (position) => TOP + (1 - position) * (HEIGHT - TOP - BOTTOM);

export class ParallelCoordinates {
  constructor(permalink, emphasis, summaries) {
    Object.assign(this, { permalink, emphasis, summaries });
    this.brushes = unpackAll(permalink.get("brush")); // field ID → [min, max] as texts, empty without a limit
    this.kinds = unpackAll(permalink.get("kinds")); // field ID → [kind]
    this.chooser = new Chooser("Axes", (chosen) => {
      permalink.set({ axes: choiceOf(chosen) });
      this.#show();
    });
    this.said = el("span", { class: "muted tabular", role: "status" });
    this.clear = el("button", { type: "button", class: "button small", onclick: () => this.#clear() }, "Clear brushes");
    this.box = el("div", {
      class: "table-box parallel-box",
      tabindex: "0",
      role: "region",
      "aria-label": "Axes of the parallel coordinates",
    });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () => fieldTable("The runs on each axis", this.runs, this.fields));
    this.section = section(
      "parallel",
      "Parallel coordinates",
      el(
        "div",
        { class: "tools" },
        this.chooser.element,
        this.said,
        this.clear,
        el("span", { class: "muted hint" }, "drag along an axis to brush, click to clear"),
        exportMenu("Parallel coordinates", (kind) => this.#export(kind)),
      ),
      el("figure", { class: "drawn" }, this.box, this.summary, this.table.details),
    );
    this.guard = new Guard("Parallel coordinates", this.section);
    new ResizeObserver(() => this.width !== this.box.clientWidth && this.runs && this.#show()).observe(this.box);
  }

  update(runs, fields) {
    Object.assign(this, { runs, all: fields });
    this.#show();
  }

  #show() {
    this.guard.run(() => this.#build());
  }

  #build() {
    const able = axisFields(this.all);
    const chosen = chosenIn(this.permalink.get("axes")) ?? usualAxes(this.all);
    const wanted = able.filter(({ id }) => chosen.includes(id));
    this.fields = wanted.filter(({ known }) => known);
    this.summaries.want(wanted.filter(({ group }) => group === "metric").map(({ key }) => key));
    this.section.hidden = !able.length;
    this.chooser.update(
      able.map(({ id, name, group, varies }) => [
        id,
        name,
        varies ? GROUPS[group] : `${GROUPS[group]}, same in all runs`,
      ]),
      chosen,
    );
    this.scales = this.fields.map((field) => new Scale(field, this.kinds.get(field.id)?.[0]));
    const axes = this.fields.map(({ name }) => name).join(", ") || "no axis";
    const many = `${count(this.runs.length)} runs over ${axes}.`;
    this.summary.textContent = `${many} A run without a finite value has no line at that axis.`;
    this.table.refresh();
    this.#draw();
    this.#match();
  }

  #draw() {
    this.width = this.box.clientWidth;
    const each = Math.max(NARROWEST, this.width / Math.max(this.scales.length, 1));
    this.x = (i) => each * (i + 0.5);
    const total = each * this.scales.length;
    this.marks = this.scales.map((_, i) => svg("rect", { class: "brush", x: this.x(i) - 9, width: 18 }));
    this.drawing = svg(
      "svg",
      { width: total, height: HEIGHT, role: "img", "aria-label": `Parallel coordinates. ${this.summary.textContent}` },
      this.runs.map((run) => this.#line(run)),
      this.scales.map((scale, i) => this.#axis(scale, i)),
    );
    const columns = (build) =>
      el(
        "div",
        { class: "axes" },
        this.scales.map((scale, i) => el("div", { class: "axis" }, build(scale, i))),
      );
    replace(
      this.box,
      this.scales.length
        ? el(
            "div",
            { class: "parallel" },
            columns((scale) => this.#head(scale)),
            this.drawing,
            columns((scale, i) => this.#handles(scale, i)),
          )
        : el("p", { class: "muted none" }, "No axis is chosen, or nothing differs between these runs."),
    );
    // The content security policy allows no style attributes, but styles set by script.
    for (const column of this.box.querySelectorAll(".axis")) column.style.width = `${each}px`;
    this.#showBrushes();
    this.emphasis.show();
  }

  #line(run) {
    const points = this.scales.map((scale, i) => [this.x(i), scale.position(scale.field.values.get(run.id))]);
    const path = points
      .map(([x, at], i) => (at === null ? "" : `${(points[i - 1]?.[1] ?? null) === null ? "M" : "L"}${x} ${y(at)}`))
      .join("");
    const title = svg("title", {}, run.label);
    return svg(
      "g",
      { "data-run": run.id, "data-color": run.color, class: "run-line" },
      title,
      svg("path", { d: path, class: "hit" }),
      svg("path", { d: path, "stroke-dasharray": run.dash?.join(" ") }),
      points.filter(([, at]) => at !== null).map(([x, at]) => svg("circle", { cx: x, cy: y(at), r: 3 })),
    );
  }

  #axis(scale, i) {
    const x = this.x(i);
    const labels = roomy(scale.ticks, 0.055).map(([at, text]) =>
      svg("text", { x: x + 8, y: y(at) + 4 }, shortened(text, 14)),
    );
    const hit = svg("rect", { class: "hit", x: x - 20, y: 0, width: 40, height: HEIGHT });
    hit.addEventListener("pointerdown", (event) => this.#drag(event, hit, i));
    return svg("g", { class: "axis-line" }, svg("path", { d: `M${x} ${y(0)}V${y(1)}` }), labels, this.marks[i], hit);
  }

  #head({ field, kind }) {
    const set = (value) => {
      this.kinds.set(field.id, [value]);
      this.permalink.set({ kinds: packAll(this.kinds) });
      this.#show();
    };
    const kinds = kindsOf(field);
    const pick =
      kinds.length > 1
        ? choice(
            `Axis of ${field.name}`,
            ["linear", "log"].map((value) => [value, KINDS[value]]),
            kind,
            set,
          )
        : el("span", { class: "muted" }, KINDS[kind].toLowerCase());
    for (const button of pick.querySelectorAll("button")) button.dataset.key = `${field.id} ${button.value}`;
    return [el("h3", { title: field.name }, field.name), pick];
  }

  // Two handles that do by keyboard what the pointer does along the axis.
  #handles(scale, i) {
    const most = scale.categories ? Math.max(scale.categories.length - 1, 0) : STEPS;
    return ["lowest", "highest"].map((end) => {
      const input = el("input", {
        type: "range",
        min: "0",
        max: String(most),
        step: "1",
        "data-key": `${scale.field.id} ${end}`,
        "aria-label": `${scale.field.name}, ${end}`,
      });
      input.addEventListener("input", () => this.#brush(i, end, most ? Number(input.value) / most : 0));
      return el(
        "label",
        {},
        el("span", {}, end === "lowest" ? "from" : "to"),
        input,
        el("output", { class: "tabular" }),
      );
    });
  }

  // [min, max] of the brush as places on the axis.
  #ends(scale) {
    const place = (text, open) => {
      const at = text ? scale.position(scale.categories ? text : Number(text)) : null;
      return at === null || !Number.isFinite(at) ? open : Math.min(Math.max(at, 0), 1);
    };
    const [low, high] = this.brushes.get(scale.field.id) ?? [];
    return [place(low, 0), place(high, 1)];
  }

  #brush(i, end, place) {
    const [low, high] = this.#ends(this.scales[i]);
    this.#set(i, end === "lowest" ? [place, Math.max(place, high)] : [Math.min(place, low), place]);
  }

  #set(i, [low, high]) {
    const scale = this.scales[i];
    const ends = [low <= 0 ? "" : String(scale.at(low)), high >= 1 ? "" : String(scale.at(high))];
    if (ends.some(Boolean)) this.brushes.set(scale.field.id, ends);
    else this.brushes.delete(scale.field.id);
    this.#changed();
  }

  #clear() {
    this.brushes.clear();
    this.#changed();
  }

  #changed() {
    this.permalink.set({ brush: packAll(this.brushes) });
    this.#showBrushes();
    this.#match();
  }

  #drag(event, hit, i) {
    const place = ({ clientY }) =>
      1 - (clientY - this.drawing.getBoundingClientRect().top - TOP) / (HEIGHT - TOP - BOTTOM);
    const from = event.clientY;
    const start = place(event);
    hit.setPointerCapture(event.pointerId);
    const move = (moved) =>
      Math.abs(moved.clientY - from) >= CLICK &&
      this.#set(
        i,
        [Math.min(start, place(moved)), Math.max(start, place(moved))].map((at) => Math.min(Math.max(at, 0), 1)),
      );
    hit.onpointermove = move;
    hit.onpointerup = (up) => {
      hit.onpointermove = hit.onpointerup = null;
      if (Math.abs(up.clientY - from) < CLICK) this.#set(i, [0, 1]);
    };
  }

  #showBrushes() {
    this.scales.forEach((scale, i) => {
      const ends = this.#ends(scale);
      const brushed = this.brushes.has(scale.field.id);
      this.marks[i].setAttribute("y", y(ends[1]) - 2);
      this.marks[i].setAttribute("height", y(ends[0]) - y(ends[1]) + 4);
      this.marks[i].classList.toggle("open", !brushed);
      this.box
        .querySelectorAll(".axes:last-child .axis")
        [i].querySelectorAll("input")
        .forEach((input, end) => {
          input.value = String(Math.round(ends[end] * Number(input.max)));
          const text = scale.text(ends[end]);
          input.setAttribute("aria-valuetext", text);
          input.nextElementSibling.textContent = text;
        });
    });
  }

  async #export(kind) {
    if (!this.scales.length) throw new Error("no axis is chosen.");
    const { saveDrawing, saveFields } = await import("./picture.js");
    const { drawing, runs, emphasis, fields } = this;
    if (kind === "csv" || kind === "json") return saveFields("Parallel coordinates", kind, runs, fields);
    const titles = fields.map(({ name }, i) => [this.x(i), name]);
    return saveDrawing("Parallel coordinates", kind, { drawing, runs, emphasis, titles, room: 2 * this.x(0) });
  }

  #match() {
    const brushed = this.scales.filter(({ field }) => this.brushes.has(field.id));
    const within = (run) =>
      brushed.every((scale) => {
        const at = scale.position(scale.field.values.get(run.id));
        const [low, high] = this.#ends(scale);
        return at !== null && at >= low - TOLERANCE && at <= high + TOLERANCE;
      });
    const matching = this.runs.filter(within);
    this.clear.hidden = !brushed.length;
    this.said.textContent = brushed.length ? `${count(matching.length)} of ${count(this.runs.length)} runs match` : "";
    this.emphasis.match(brushed.length ? new Set(matching.map(({ id }) => id)) : null);
  }
}
