// The sheet of keyboard shortcuts.

import { el } from "./dom.js";

const ON_A_CHART = [
  ["← →", "Move through the steps; also Home, End, Page Up and Page Down"],
  ["+ −", "Zoom in and out"],
  ["Shift ← →", "Pan"],
  ["Esc", "Show everything"],
];
const BY_MOUSE = [
  ["drag", "Zoom to the range, on all charts with the same axis"],
  ["Shift drag", "Pan; or Shift with the wheel"],
  ["Ctrl wheel", "Zoom around the pointer"],
  ["double-click", "Show everything"],
];

const OF_CHARTS = [
  ["On a chart that has the focus", ON_A_CHART],
  ["By mouse", BY_MOUSE],
];

// `list` is [[key, what it does, …]]; `isOn`: whether the keys work, which `turn(on)` changes; `beside` are further
// parts, [[title, [[keys, what they do]]]].
export function showHelp(list, isOn, turn, beside = OF_CHARTS) {
  const on = el("input", { type: "checkbox", id: "shortcuts-on", checked: isOn, onchange: () => turn(on.checked) });
  const dialog = el(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    el(
      "div",
      { class: "title-row" },
      el("h2", { id: "help-title" }, "Keyboard and mouse"),
      el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close"),
    ),
    el(
      "div",
      { class: "help-columns" },
      part("Anywhere", [...list.map(([key, text]) => [key, text]), ["?", "This sheet"]]),
      el(
        "div",
        {},
        beside.map(([title, rows]) => part(title, rows)),
      ),
    ),
    el("label", { class: "check" }, on, "Enable single-key shortcuts (never while typing)"),
  );
  dialog.addEventListener("close", () => dialog.remove()); // the focus returns by itself
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function part(title, rows) {
  return el(
    "section",
    {},
    el("h3", {}, title),
    el(
      "dl",
      {},
      rows.map(([keys, text]) =>
        el(
          "div",
          {},
          el(
            "dt",
            {},
            keys.split(" ").map((key) => el("kbd", {}, key)),
          ),
          el("dd", {}, text),
        ),
      ),
    ),
  );
}
