// The list of runs. Everything also works without scripts, as links and forms.

import "./base.js";
import { follow, Source } from "./page/follow.js";
import { shortcuts } from "./page/shortcuts.js";
import { keepTimes } from "./page/times.js";
import { Completion } from "./runs/complete.js";
import { patch, remember } from "./runs/patch.js";
import { Selection } from "./runs/selection.js";

const MOVING = { first: 4000, most: 30000 };
const SETTLED = { first: 15000, most: 60000 };
const AWAITED = { first: 2000, most: 10000 };
const KEYS_OF_ROWS = [
  ["j", "Next run; also ↓", () => move(1)],
  ["k", "Previous run; also ↑", () => move(-1)],
  ["x", "Choose the focused run, or undo that", () => choose()],
  ["Enter", "Open it"],
  ["c", "Compare the chosen runs", () => form.querySelector("#compare").click()],
];
const BY_MOUSE = [
  [
    "By mouse",
    [
      ["click", "Open the run"],
      ["Shift click", "On a checkbox: choose all runs from the last one clicked"],
    ],
  ],
];
const form = document.getElementById("chosen");
const table = document.querySelector("table.runs");
const shown = document.getElementById("shown");
const search = document.getElementById("q");

document.documentElement.classList.add("scripted");
for (const each of document.querySelectorAll("#find, .columns form")) each.addEventListener("submit", tidy);
for (const select of document.querySelectorAll("#find select"))
  select.addEventListener("change", () => select.form.requestSubmit());
if (table) {
  remember(table.querySelectorAll("tbody tr"));
  const selection = new Selection(form, form.querySelector(".chosen-bar"));
  const showTimes = keepTimes();
  table.addEventListener(
    "focusin",
    ({ target }) =>
      target.matches(":focus-visible") && target.closest("tbody tr")?.scrollIntoView({ block: "nearest" }),
  );
  const again = liveRows(selection, showTimes);
  table.addEventListener("click", (event) => fold(event, again));
  const bar = form.querySelector(".chosen-bar");
  new ResizeObserver(() => document.documentElement.style.setProperty("--chosen-bar", `${bar.offsetHeight}px`)).observe(
    bar,
  );
  table.addEventListener("pointermove", lendTitle);
  bar.querySelector('[name="tags"]')?.addEventListener("keydown", tagByEnter);
}
const awaited = document.getElementById("awaited");
if (awaited) showFirst(awaited.dataset.rows);
const help = shortcuts(
  [...(table ? KEYS_OF_ROWS : []), ["/", "Search", () => goTo(search)]],
  table ? arrows : undefined,
  BY_MOUSE,
);
document.getElementById("keys").addEventListener("click", help);
new Completion(search);
search.addEventListener("keydown", ({ key }) => key === "Escape" && search.blur());

// Leaves defaults out of the address.
function tidy({ target }) {
  for (const field of target.elements) {
    const usual = { sort: "-announced", limit: "50" }[field.name] ?? "";
    if (field.name !== "columns" && field.value === usual) field.disabled = true;
  }
  setTimeout(() => {
    for (const field of target.elements) field.disabled = false;
  });
}

// In the field for tags, Enter adds the tag. Browsers would press the form's first button, which compares.
function tagByEnter(event) {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  if (event.target.value.trim()) form.requestSubmit(form.querySelector('[formaction$="/tag/"]'));
}

// A row's link covers its cells and their titles, so it takes the title of what is under the pointer.
function lendTitle({ target: link, clientX, clientY }) {
  if (!link.matches(".name > a:first-child")) return;
  const titled = document
    .elementsFromPoint(clientX, clientY)
    .filter((each) => each !== link && link.closest("tr").contains(each));
  link.title =
    titled.find((each) => each.title)?.title ?? (titled.some((each) => each.matches(".name")) ? link.textContent : "");
}

// Folds or unfolds nested runs in place. In another tab, the link does it.
function fold(event, again) {
  const link = event.target.closest("a.fold");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.href);
  form.dataset.rows = `/rows/${new URL(link.href).search}`;
  again();
}

// Returns a function that updates the rows at once.
function liveRows(selection, showTimes) {
  const source = new Source();
  return follow(async () => {
    const pause = table.querySelector(
      ".status-running, .status-scheduled, .state-pending, .state-warming, .state-rebuilding",
    )
      ? MOVING
      : SETTLED;
    try {
      const { changed, document: found } = await source.read(form.dataset.rows);
      if (!changed) return { pause, changed };
      if (shown.textContent !== found.shown) shown.textContent = found.shown;
      const fresh = new DOMParser()
        .parseFromString(`<table>${found.table}</table>`, "text/html")
        .querySelector("table");
      if (!patch(table, fresh)) return { pause, changed: false };
      selection.show();
      showTimes();
      return { pause, changed };
    } catch (error) {
      // Signed out, or a bad address: a reload says so. A server that is down comes back.
      return { pause: error.status >= 400 && error.status < 500 ? null : SETTLED, changed: false };
    }
  });
}

// Loads the page again when there is a first run to show.
function showFirst(rows) {
  const source = new Source();
  return follow(async () => {
    try {
      const { changed, document: found } = await source.read(rows);
      if (changed && found.table.includes("data-key=")) location.reload();
      return { pause: AWAITED, changed };
    } catch {
      return { pause: AWAITED, changed: false };
    }
  });
}

function goTo(field) {
  field.focus();
  field.select();
}

const rows = () => [...table.querySelectorAll("tbody tr:not(.group-head)")];
const focusedRow = () => rows().indexOf(document.activeElement.closest("tbody tr"));

// Moves the focus to the next or previous row; from elsewhere to the first or last one.
function move(step) {
  const [all, at] = [rows(), focusedRow()];
  const last = all.length - 1;
  const elsewhere = step > 0 ? 0 : last;
  const to = at < 0 ? elsewhere : Math.min(Math.max(at + step, 0), last);
  all[to]?.querySelector(".name a").focus({ preventScroll: true });
}

const choose = () => rows()[focusedRow()]?.querySelector('input[name="run"]').click();

// Arrows move through the rows, unless a control has the focus.
function arrows(key, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!step || (focusedRow() < 0 && document.activeElement.closest("summary, button, input, fieldset"))) return;
  event.preventDefault();
  move(step);
}
