// Suggestions below the search field while a query is typed. The server knows the language: see docs/reference/runs.md.

import { Combobox } from "../page/combobox.js";
import { documentOf } from "../page/documents.js";
import { el } from "../page/dom.js";
import { count } from "../page/format.js";

const PAUSE = 120; // ms without a key before it asks
const MOST_COUNTED = 1000;
const NAMED = new Set(["metric", "param", "tag", "experiment", "statistic", "field", "flag"]);

export class Completion {
  #timer = null;
  #asking = null; // aborts the request in flight
  #shown = null; // {query, at, start, end, suggestions} of the list

  constructor(field) {
    this.field = field;
    this.list = el("ul", { class: "offers", id: "suggestions", "aria-label": "Suggestions" });
    this.said = el("span", { class: "sr", role: "status" });
    this.box = new Combobox(field, this.list, ({ dataset }) => this.#accept(Number(dataset.at)), ["Tab"]);
    field.after(this.list, this.said);
    field.addEventListener("input", (event) => event.isComposing || this.#later());
    field.addEventListener("compositionend", () => this.#later());
    field.addEventListener("keydown", (event) => this.#key(event));
    field.addEventListener("blur", () => this.#close());
    document.addEventListener("selectionchange", () => this.#closeOutdated());
  }

  // Closes the list if the cursor has moved away from what it is for.
  #closeOutdated() {
    if (this.#shown && this.field.value === this.#shown.query && cursorOf(this.field) !== this.#shown.at) this.#close();
  }

  #later() {
    this.#stop();
    if (!this.field.value.trim()) return void this.#close();
    this.box.outdate();
    this.#timer = setTimeout(() => this.#ask(), PAUSE);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = null;
  }

  #close() {
    this.#stop();
    this.#shown = null;
    this.box.close();
    this.said.textContent = "";
  }

  async #ask() {
    this.#stop();
    const asking = new AbortController();
    this.#asking = asking;
    const [query, at] = [this.field.value, cursorOf(this.field)];
    const parameters = new URLSearchParams({ q: query, at });
    try {
      const response = await fetch(`/api/complete?${parameters}`, { cache: "no-store", signal: asking.signal });
      const answer = response.ok ? await documentOf(response) : { suggestions: [] };
      if (asking.signal.aborted) return;
      if (document.activeElement !== this.field || this.field.value !== query) return;
      if (cursorOf(this.field) === at) this.#show({ ...answer, query, at });
      else this.#close(); // the cursor has moved meanwhile
    } catch {
      if (!asking.signal.aborted) this.#close(); // the server is down: the search works without suggestions
    }
  }

  #show(answer) {
    const { suggestions } = answer;
    this.#shown = suggestions.length ? answer : null;
    this.box.show(suggestions.map(option));
    this.said.textContent = suggestions.length ? `${count(suggestions.length)} suggestions` : "";
  }

  #key(event) {
    this.#closeOutdated(); // browsers tell of a moved cursor some time after the key that moved it
    if (this.box.key(event)) {
      event.stopImmediatePropagation();
    } else if (event.key === "Escape" && this.box.isOpen) {
      event.preventDefault(); // browsers would empty the field
      event.stopImmediatePropagation();
      this.#close();
    } else if (event.key === "ArrowDown" && !event.isComposing && !event.altKey) {
      event.preventDefault();
      this.#ask();
    }
  }

  #accept(index) {
    const { query, at, start, end, suggestions } = this.#shown ?? {};
    if (this.field.value !== query || cursorOf(this.field) !== at) return; // outdated
    const characters = [...query];
    const { text } = suggestions[index];
    const before = characters.slice(0, start).join("") + text;
    const after = characters.slice(end).join("");
    const gap = /[.(]$/.test(text) || /^\s/.test(after) ? "" : " ";
    this.field.value = before + gap + after;
    const cursor = before.length + (/[.(]$/.test(text) ? 0 : 1);
    this.field.setSelectionRange(cursor, cursor);
    this.box.outdate();
    this.#ask();
  }
}

// The number of characters before the cursor, as the server counts them.
const cursorOf = ({ value, selectionStart }) => [...value.slice(0, selectionStart)].length;

function option({ label, kind, runs }, index) {
  const more = runs === MOST_COUNTED ? "+" : "";
  const known = runs === null ? null : `${count(runs)}${more} ${runs === 1 ? "run" : "runs"}`;
  const notes = [NAMED.has(kind) ? kind : null, known].filter(Boolean).join(" · ");
  return el(
    "li",
    { id: `suggestion-${index}`, role: "option", "aria-selected": "false", "data-at": index },
    el("bdi", { title: label }, label),
    el("span", { class: "muted" }, notes),
  );
}
