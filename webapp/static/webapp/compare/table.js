// Parameters and metrics of all runs side by side: differences, best values, and deltas from a baseline.

import { choice, el, section } from "../page/dom.js";
import { Guard } from "../page/failures.js";
import { byName, count, exact, number } from "../page/format.js";
import { whenNear } from "../page/frames.js";
import { best } from "./direction.js";
import { GROUPS, VALUES } from "./fields.js";
import { nameOf, replace, swatch } from "./plot.js";

const COLUMNS_AT_MOST = 8; // more runs are rows by default
const AT_ONCE = 200; // fields of a group
const MORE = 1000; // that a press of the button adds
const AHEAD = "600px"; // distance from the view at which numbers are read

export class ComparisonTable {
  // Calls `onValue` when another value of the metrics is to be compared, on the whole page.
  constructor(permalink, emphasis, summaries, onValue) {
    Object.assign(this, { permalink, emphasis, summaries });
    const value = choice("Value of metrics", Object.entries(VALUES), permalink.get("value"), (which) => {
      permalink.set({ value: which });
      onValue();
    });
    this.only = el("input", {
      type: "checkbox",
      onchange: () => this.#set({ differences: this.only.checked ? "1" : "0" }),
    });
    this.only.checked = permalink.get("differences") === "1";
    this.search = el("input", {
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "Search",
      value: permalink.get("find"),
      oninput: () => this.#searchSoon(),
    });
    this.most = AT_ONCE;
    this.more = el("button", { type: "button", class: "button", onclick: () => this.#showMore() });
    this.said = el("span", { class: "muted tabular", role: "status" });
    this.layout = el("span", {});
    this.ways = el("div", { class: "choice", role: "group", "aria-label": "Go to" });
    this.box = el("div", {
      class: "table-box matrix-box",
      tabindex: "0",
      role: "region",
      "aria-label": "Parameters and metrics of the runs",
    });
    const hint = el(
      "p",
      { class: "summary" },
      el("span", { class: "best" }, "best"),
      " marks the best value of a metric whose name tells whether lower or higher is better. ",
      "Choose a baseline to see how much the other runs differ from it.",
    );
    this.section = section(
      "table",
      "Parameters and metrics",
      el(
        "div",
        { class: "tools" },
        el("label", { class: "check" }, this.only, "Only differences"),
        el("label", { class: "filter" }, el("span", { class: "sr" }, "Search parameters and metrics"), this.search),
        value,
        this.layout,
        this.ways,
        this.said,
      ),
      this.box,
      el("p", { class: "more" }, this.more),
      hint,
    );
    this.guard = new Guard("The table", this.section);
    whenNear(this.section, AHEAD, () => {
      this.near = true;
      this.#read();
    });
  }

  update(runs, fields) {
    Object.assign(this, { runs, fields });
    this.section.hidden = !fields.length;
    this.#show();
  }

  get baseline() {
    return this.runs.find(({ slot }) => String(slot) === this.permalink.get("baseline"));
  }

  #set(changes) {
    this.permalink.set(changes);
    this.#show();
  }

  #show() {
    this.guard.run(() => this.#build());
  }

  #build() {
    const only = this.only.checked;
    const found = this.#found();
    const differ = found.filter(({ varies }) => varies);
    this.shown = only ? differ : found;
    const unlisted = this.summaries.total - this.summaries.index.size;
    const more = unlisted ? `; ${count(unlisted)} metrics are in the files alone` : "";
    this.said.textContent = `${count(differ.length)} of ${count(found.length)} differ${more}`;
    const asked = this.permalink.get("layout");
    const layout = asked || (this.runs.length > COLUMNS_AT_MOST ? "rows" : "columns");
    this.layout.firstChild?.getAttribute("data-layout") === layout ||
      this.layout.replaceChildren(
        choice(
          "Layout",
          [
            ["columns", "Runs as columns"],
            ["rows", "Runs as rows"],
          ],
          layout,
          (value) => this.#set({ layout: value }),
        ),
      );
    const built = layout === "rows" ? this.#byRows() : this.#byColumns();
    replace(this.box, built);
    const groups = this.#groups();
    const left = this.shown.length - groups.reduce((sum, [, fields]) => sum + fields.length, 0);
    this.more.parentElement.hidden = !left;
    this.more.textContent = `Show ${count(Math.min(left, MORE))} more of ${count(left)}`;
    this.ways.hidden = groups.length < 2;
    replace(
      this.ways,
      ...groups.map(([title]) =>
        el("button", { type: "button", "data-key": `to ${title}`, onclick: () => this.#goTo(title) }, title),
      ),
    );
    this.emphasis.show();
    this.#read();
  }

  // Reads the numbers that are shown or sorted by, once the table is near the view.
  #read() {
    if (!this.near || !this.shown) return;
    const shown = this.#groups().flatMap(([, fields]) => fields);
    const [sorted] = this.#sort;
    const metrics = [...shown, sorted].filter((field) => field?.group === "metric");
    this.summaries.want(metrics.map(({ key }) => key));
  }

  // The fields whose names have all words of the search.
  #found() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.fields.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  }

  #searchSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#set({ find: this.search.value }), 120);
  }

  #showMore() {
    this.most += MORE;
    this.#show();
    this.box.focus({ preventScroll: true });
  }

  // Fields with long values come last in their group, of which the first are shown.
  #groups() {
    const sorted = [...this.shown].sort((a, b) => isLong(a) - isLong(b));
    return Object.entries(GROUPS)
      .map(([group, title]) => [title, sorted.filter((field) => field.group === group).slice(0, this.most)])
      .filter(([, fields]) => fields.length);
  }

  // Scrolls the table to a group, next to the sticky names.
  #goTo(title) {
    const { box } = this;
    const corner = box.querySelector("thead tr:last-child > :first-child").getBoundingClientRect();
    const group = [...box.querySelectorAll("[data-group]")]
      .find(({ dataset }) => dataset.group === title)
      .getBoundingClientRect();
    if (box.querySelector(".by-rows")) box.scrollLeft += group.left - corner.right;
    else box.scrollTop += group.top - corner.bottom;
  }

  #byColumns() {
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, this.#radio(null)),
      this.runs.map((run) => el("th", { scope: "col", "data-run": run.id }, this.#run(run))),
    );
    const bodies = this.#groups().map(([title, fields]) =>
      el(
        "tbody",
        {},
        el(
          "tr",
          { class: "of-kind" },
          el("th", { scope: "rowgroup", colspan: this.runs.length + 1, "data-group": title }, el("span", {}, title)),
        ),
        fields.map((field) =>
          el(
            "tr",
            { class: field.varies ? "varies" : null },
            el("th", { scope: "row" }, fieldName(field)),
            this.#cells(field),
          ),
        ),
      ),
    );
    return el("table", { class: "matrix" }, this.#caption(), el("thead", {}, head), bodies);
  }

  #byRows() {
    const groups = this.#groups();
    const kinds = el(
      "tr",
      { class: "of-kind" },
      el("td", {}),
      groups.map(([title, fields]) =>
        el("th", { scope: "colgroup", colspan: fields.length, "data-group": title }, title),
      ),
    );
    const names = el(
      "tr",
      {},
      el("th", { scope: "col" }, this.#radio(null)),
      groups.flatMap(([, fields]) => fields.map((field) => this.#sortable(field))),
    );
    const columns = groups.flatMap(([, fields]) => fields.map((field) => this.#cells(field)));
    const rows = this.#order()
      .map((run) => [run, this.runs.indexOf(run)])
      .map(([run, i]) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", "data-run": run.id }, this.#run(run)),
          columns.map((cells) => cells[i]),
        ),
      );
    return el(
      "table",
      { class: "matrix by-rows" },
      this.#caption(),
      el("thead", {}, kinds, names),
      el("tbody", {}, rows),
    );
  }

  // [field, −1 if descending], from the address: `FIELD` or `-FIELD`.
  get #sort() {
    const text = this.permalink.get("sort");
    const descending = text.startsWith("-");
    return [this.fields.find(({ id }) => id === text.slice(descending ? 1 : 0)), descending ? -1 : 1];
  }

  // Each press sorts: best first, worst first, not at all. Fields without a direction begin ascending.
  #sortable(field) {
    const [sorted, way] = this.#sort;
    const order = field.direction > 0 ? [`-${field.id}`, field.id, ""] : [field.id, `-${field.id}`, ""];
    const next = sorted === field ? order[order.indexOf(this.permalink.get("sort")) + 1] : order[0];
    const button = el(
      "button",
      { type: "button", class: "sort", "data-key": `sort ${field.id}`, onclick: () => this.#set({ sort: next }) },
      field.name,
    );
    const attributes = {
      scope: "col",
      class: [field.varies && "varies", field.numeric && "number"].filter(Boolean).join(" ") || null,
      "aria-sort": sorted === field && (way > 0 ? "ascending" : "descending"),
    };
    return el("th", attributes, button);
  }

  // Runs without the value always come last, those with NaN before them.
  #order() {
    const [field, way] = this.#sort;
    if (!field) return this.runs;
    const value = ({ id }) => field.values.get(id);
    const rank = (run) => (value(run) === null ? 2 : Number(Number.isNaN(value(run))));
    const [known, nan, others] = [0, 1, 2].map((wanted) => this.runs.filter((run) => rank(run) === wanted));
    const ascends = (a, b) => (a < b ? -1 : Number(a > b));
    const compare = field.numeric ? ascends : byName;
    return [...known.sort((a, b) => way * compare(value(a), value(b))), ...nan, ...others];
  }

  #caption() {
    return el("caption", { class: "sr" }, "Parameters, metrics and facts of each run");
  }

  #run(run) {
    return el(
      "div",
      { class: "of-run" },
      el("span", { class: "run-name" }, swatch(run), el("a", { href: `/runs/${run.id}/` }, nameOf(run.label))),
      this.#radio(run),
    );
  }

  #radio(run) {
    const chosen = run?.id === this.baseline?.id;
    const slot = run ? String(run.slot) : "";
    const input = el("input", {
      type: "radio",
      name: "baseline",
      value: slot,
      "data-key": `baseline-${slot}`,
      onchange: () => this.#set({ baseline: slot }),
      "aria-label": run ? `Baseline: ${run.label}` : null,
    });
    input.checked = chosen;
    return el("label", { class: "check" }, input, run ? "baseline" : "no baseline");
  }

  #cells(field) {
    const top = field.known ? best([...field.values.values()], field.direction) : undefined;
    const zero = this.baseline && field.values.get(this.baseline.id);
    return this.runs.map((run) => {
      const value = field.values.get(run.id);
      const text = field.text(run.id);
      const isBest = top !== undefined && value === top;
      const content = [
        isBest && el("span", { class: "best" }, "best"),
        el(
          "span",
          { class: "value", title: titleOf(field, run.id) },
          value === null ? el("span", { class: "muted" }, field.known ? "–" : "…") : folded(text),
        ),
      ];
      const from = field.known && this.baseline && run !== this.baseline && this.#delta(field, value, zero);
      return el(
        "td",
        { "data-run": run.id, class: field.numeric ? "number" : null },
        content.filter(Boolean),
        from ? [from] : [],
      );
    });
  }

  // The difference from the baseline; for values that are not numbers, whether they differ.
  #delta({ numeric, direction, group }, value, zero) {
    if (value === zero || (Number.isNaN(value) && Number.isNaN(zero))) return null;
    if (!numeric || !Number.isFinite(value) || !Number.isFinite(zero) || group === "param")
      return el("span", { class: "delta muted" }, "differs");
    const way = Math.sign(value - zero) * direction;
    const kind = { "-1": "worse", 1: "better" }[way] ?? "muted";
    const share =
      zero === 0 ? "" : ` (${signed((100 * (value - zero)) / Math.abs(zero), (x) => `${Number(x.toPrecision(3))} %`)})`;
    return el(
      "span",
      { class: `delta ${kind}` },
      `${signed(value - zero, number)}${share}`,
      el("span", { class: "sr" }, way ? `, ${kind}` : ""),
    );
  }
}

// All digits.
const titleOf = ({ group, raw, values }, id) => (group === "param" ? raw.get(id) : exact(values.get(id)) || null);
const signed = (value, text) => `${value < 0 ? "−" : "+"}${text(Math.abs(value))}`;
const LONG = 40;
const folded = (text) => (text.length <= LONG ? text : el("span", { class: "long", tabindex: "0" }, text));
const isLong = ({ group, raw }) => group === "param" && [...raw.values()].some((text) => text?.length > LONG);
// Wraps between words only.
const fieldName = ({ name }) =>
  el(
    "span",
    { class: "field-name", title: name },
    name.split(/(?<=[_/.])/).flatMap((word, i) => (i ? [el("wbr"), word] : [word])),
  );
