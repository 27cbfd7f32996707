// A scatter plot of any parameter or metric against any other, with a point for each run.

import { lazyDetails } from "../page/details.js";
import { choice, el, section, svg } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { count, shortened } from "../page/format.js";
import { exportMenu } from "../page/menu.js";
import { axisFields, GROUPS, rankedMetrics, rankedParameters } from "./fields.js";
import { fieldTable } from "./plot.js";
import { COLORS } from "./runs.js";
import { kindsOf, roomy, Scale } from "./scale.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM, AIR] = [340, 74, 20, 16, 34, 14];
const AXES = { across: "Across", up: "Up" };
const WAYS = Object.keys(AXES);
// A circle, a square, a triangle, a diamond, a cross: for the first ten slots, the next ten, …
const SHAPES = [
  null,
  "M-4.5 -4.5H4.5V4.5H-4.5Z",
  "M0 -5.5L5.5 4.5H-5.5Z",
  "M0 -6L6 0L0 6L-6 0Z",
  "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
];

export class Scatter {
  constructor(permalink, emphasis, summaries) {
    Object.assign(this, { permalink, emphasis, summaries });
    this.selects = WAYS.map((way) =>
      el("select", {
        "aria-label": AXES[way],
        onchange: ({ target }) => this.#set({ [way]: target.value, [`${way}-kind`]: "" }),
      }),
    );
    this.kinds = [el("span"), el("span")];
    this.points = [];
    this.plot = el("div", {
      class: "scatter-plot",
      tabindex: "0",
      role: "img",
      onkeydown: (event) => this.#key(event),
    });
    this.read = el("p", { class: "readout tabular", role: "status" });
    this.summary = el("p", { class: "summary" });
    this.table = lazyDetails("Data table", () =>
      fieldTable(
        "The points",
        this.points.map(({ run }) => run),
        this.fields,
      ),
    );
    const tools = WAYS.map((way, i) =>
      el("div", { class: "tools" }, el("span", { "aria-hidden": "true" }, AXES[way]), this.selects[i], this.kinds[i]),
    );
    this.section = section(
      "scatter",
      "Scatter",
      el(
        "div",
        { class: "tools" },
        tools,
        exportMenu("Scatter", (kind) => this.#export(kind)),
      ),
      el("figure", { class: "drawn" }, this.plot, this.read, this.summary, this.table.details),
    );
    this.plot.addEventListener("pointerover", ({ target }) =>
      this.#say(this.points.find(({ run }) => run.id === target.closest("[data-run]")?.dataset.run)),
    );
    this.guard = new Guard("Scatter", this.section);
    new ResizeObserver(() => this.width !== this.plot.clientWidth && this.fields && this.#show()).observe(this.plot);
  }

  update(runs, fields) {
    Object.assign(this, { runs, given: fields });
    this.#show();
  }

  #set(changes) {
    this.permalink.set(changes);
    this.#show();
  }

  #show() {
    this.guard.run(() => this.#build());
  }

  #build() {
    this.all = axisFields(this.given);
    this.section.hidden = this.all.length < 2;
    if (this.section.hidden) return;
    this.fields = WAYS.map((way, i) => this.all.find(({ id }) => id === this.permalink.get(way)) ?? this.#usual(i));
    this.summaries.want(this.fields.filter(({ group }) => group === "metric").map(({ key }) => key));
    const options = JSON.stringify(this.all.map(({ id }) => id));
    if (options !== this.options) for (const select of this.selects) select.replaceChildren(...this.#options());
    this.options = options;
    this.fields.forEach(({ id }, i) => {
      this.selects[i].value = id;
    });
    if (!this.fields.every(({ known }) => known)) return; // comes again once they are
    this.scales = this.fields.map((field, i) => new Scale(field, this.permalink.get(`${WAYS[i]}-kind`)));
    this.fields.forEach((field, i) => {
      const way = WAYS[i];
      const kind = `${field.id} ${this.scales[i].kind}`;
      if (this.kinds[i].dataset.kind === kind) return;
      this.kinds[i].dataset.kind = kind;
      const pick = choice(
        `Axis ${way}`,
        [
          ["linear", "Linear"],
          ["log", "Log"],
        ],
        this.scales[i].kind,
        (value) => this.#set({ [`${way}-kind`]: value }),
      );
      const focused = this.kinds[i].contains(document.activeElement);
      this.kinds[i].replaceChildren(...(kindsOf(field).length > 1 ? [pick] : []));
      if (focused) pick.querySelector("[aria-pressed=true]").focus();
    });
    this.#place();
    this.#draw();
  }

  // By default the highest-ranked parameter across, the highest-ranked metric up.
  #usual(i) {
    const ours = this.all.filter(({ group }) => group === ["param", "metric"][i]);
    const [usual] = i ? rankedMetrics(ours) : rankedParameters(ours);
    return usual ?? this.all[i];
  }

  #options() {
    return Object.entries(GROUPS)
      .map(([group, title]) => [title, this.all.filter((field) => field.group === group)])
      .filter(([, fields]) => fields.length)
      .map(([title, fields]) =>
        el(
          "optgroup",
          { label: title },
          fields.map(({ id, name }) => el("option", { value: id }, name)),
        ),
      );
  }

  // Points from left to right, without runs that lack a value.
  #place() {
    const places = this.runs.map((run) => ({
      run,
      at: this.scales.map((scale) => scale.position(scale.field.values.get(run.id))),
    }));
    this.points = places.filter(({ at }) => at.every((place) => place !== null)).sort((a, b) => a.at[0] - b.at[0]);
    const [across, up] = this.fields.map(({ name }) => name);
    const missing = this.runs.length - this.points.length;
    const lacking = missing ? `; ${count(missing)} without two finite values` : "";
    this.summary.textContent = `${up} against ${across}: ${count(this.points.length)} runs${lacking}.`;
    this.plot.setAttribute("aria-label", `Scatter. ${this.summary.textContent} Arrow keys move through the runs.`);
    this.table.refresh();
    this.#say(undefined);
  }

  #draw() {
    this.width = this.plot.clientWidth;
    if (!this.width) return;
    const x = (at) => LEFT + AIR + at * (this.width - LEFT - RIGHT - 2 * AIR);
    const y = (at) => TOP + AIR + (1 - at) * (HEIGHT - TOP - BOTTOM - 2 * AIR);
    const [across, up] = this.scales;
    const grid = [
      ...roomy(across.ticks, 70 / this.width).flatMap(([at, text]) => [
        svg("path", { d: `M${x(at)} ${TOP}V${HEIGHT - BOTTOM}` }),
        svg("text", { x: x(at), y: HEIGHT - 14, "text-anchor": at > 0.95 ? "end" : "middle" }, text),
      ]),
      ...roomy(up.ticks, 0.06).flatMap(([at, text]) => [
        svg("path", { d: `M${LEFT} ${y(at)}H${this.width - RIGHT}` }),
        svg("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, shortened(text, 10)),
      ]),
    ];
    const points = this.points.map(({ run, at }) =>
      svg(
        "g",
        {
          "data-run": run.id,
          "data-color": run.color,
          class: "point",
          transform: `translate(${x(at[0])} ${y(at[1])})`,
        },
        svg("circle", { r: 12, class: "hit" }),
        shapeOf(run),
      ),
    );
    this.plot.replaceChildren(
      svg(
        "svg",
        { width: this.width, height: HEIGHT, "aria-hidden": "true" },
        svg("g", { class: "grid-lines" }, grid),
        points,
      ),
    );
    this.emphasis.show();
  }

  async #export(kind) {
    const { saveDrawing, saveFields } = await import("./picture.js");
    const [across, up] = this.fields;
    const placed = new Set(this.points.map(({ run }) => run));
    const runs = this.runs.filter((run) => placed.has(run)); // in the order of the page
    const title = `${up.name} against ${across.name}`;
    if (kind === "csv" || kind === "json") return saveFields(title, kind, runs, this.fields);
    return saveDrawing(title, kind, { drawing: this.plot.firstChild, runs, emphasis: this.emphasis });
  }

  #say(point) {
    this.now = point;
    const [across, up] = this.fields ?? [];
    const text = (field) => `${field.name} ${field.text(point.run.id)}`;
    this.read.textContent = point
      ? `${point.run.label}: ${text(across)}, ${text(up)}`
      : "Point at a run, or use the arrow keys.";
  }

  #key(event) {
    const last = this.points.length - 1;
    const now = this.points.indexOf(this.now);
    const to = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: last }[
      event.key
    ];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.#say(this.points[Math.min(Math.max(to, 0), last)]);
    this.emphasis.light(this.now.run.id);
  }
}

function shapeOf({ slot }) {
  const d = SHAPES[Math.floor(slot / COLORS) % SHAPES.length];
  return d ? svg("path", { d }) : svg("circle", { r: 5 });
}
