// The list of runs: what a script makes smoother. Everything also works as plain links and forms.

import "./base.js";
import { follow, Source } from "./follow.js";
import { ago } from "./format.js";
import { patch, remember } from "./patch.js";
import { Selection } from "./selection.js";

const MOVING = { first: 4000, most: 30000 };
const SETTLED = { first: 15000, most: 60000 };
const form = document.getElementById("chosen");
const table = document.querySelector("table.runs");
const shown = document.getElementById("shown");
const search = document.getElementById("q");

document.documentElement.classList.add("scripted");
for (const each of document.querySelectorAll("#find, .columns form")) each.addEventListener("submit", tidy);
for (const select of document.querySelectorAll("#find select")) select.addEventListener("change", () => select.form.requestSubmit());
if (table) {
  remember(table.querySelectorAll("tbody tr"));
  const selection = new Selection(form, form.querySelector(".chosen-bar"));
  times();
  setInterval(times, 60000);
  addEventListener("keydown", keys);
  table.addEventListener("focusin", ({ target }) => target.matches(":focus-visible") && target.closest("tbody tr")?.scrollIntoView({ block: "nearest" }));
  liveRows(selection);
  const bar = form.querySelector(".chosen-bar");
  new ResizeObserver(() => document.documentElement.style.setProperty("--chosen-bar", `${bar.offsetHeight}px`)).observe(bar);
  table.addEventListener("pointermove", lendTitle);
  bar.querySelector('[name="tags"]')?.addEventListener("keydown", tagByEnter);
} else {
  addEventListener("keydown", slash);
}

// An address says only what differs from the list as it begins.
function tidy({ target }) {
  for (const field of target.elements) {
    const usual = { sort: "-announced", limit: "50" }[field.name] ?? "";
    if (field.name !== "columns" && field.value === usual) field.disabled = true;
  }
  setTimeout(() => [...target.elements].forEach((field) => (field.disabled = false)));
}

// Browsers would press the form's first button, which compares.
function tagByEnter(event) {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  if (event.target.value.trim()) form.requestSubmit(form.querySelector('[formaction$="/tag/"]'));
}

// A row's link lies over its cells, whose titles would not show: it takes that of what the pointer sees.
function lendTitle({ target: link, clientX, clientY }) {
  if (!link.matches(".name > a:first-child")) return;
  const titled = document.elementsFromPoint(clientX, clientY).filter((each) => each !== link && link.closest("tr").contains(each));
  link.title = titled.find((each) => each.title)?.title ?? (titled.some((each) => each.matches(".name")) ? link.textContent : "");
}

function times() {
  for (const element of table.querySelectorAll("time[datetime]")) {
    element.textContent = ago(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}

function liveRows(selection) {
  const source = new Source();
  follow(async () => {
    const pause = table.querySelector(".status-running, .status-scheduled, .state-pending, .state-warming, .state-rebuilding") ? MOVING : SETTLED;
    try {
      const { changed, document: found } = await source.read(form.dataset.rows);
      if (!changed) return { pause, changed };
      if (shown.textContent !== found.shown) shown.textContent = found.shown;
      const fresh = new DOMParser().parseFromString(`<table>${found.table}</table>`, "text/html").querySelector("table");
      if (!patch(table, fresh)) return { pause, changed: false };
      selection.show();
      times();
      return { pause, changed };
    } catch (error) {
      // Signed out, or the address is no longer good: a reload says so. A server that is away comes back.
      return { pause: error.status >= 400 && error.status < 500 ? null : SETTLED, changed: false };
    }
  });
}

function slash(event) {
  if (event.key !== "/" || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return false;
  event.preventDefault();
  search.focus();
  search.select();
  return true;
}

// j and k or the arrows move from row to row, x chooses; Enter follows the link that has the focus.
function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || slash(event)) return;
  const active = document.activeElement;
  if (active === search && event.key === "Escape") return void search.blur();
  if (/^(INPUT|TEXTAREA|SELECT|SUMMARY|BUTTON)$/.test(active.tagName) && active.name !== "run") return;
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  const rows = [...table.querySelectorAll("tbody tr:not(.group-head)")];
  const at = rows.indexOf(active.closest("tbody tr"));
  if (step) {
    const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1)];
    row.querySelector(".name a").focus({ preventScroll: true });
  } else if (event.key === "x" && at >= 0) {
    rows[at].querySelector('input[name="run"]').click();
  } else {
    return;
  }
  event.preventDefault();
}
