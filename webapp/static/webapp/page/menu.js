// The export menu of a chart.

import { el, icon } from "./dom.js";

const KINDS = [
  ["csv", "Data as CSV"],
  ["json", "Data as JSON"],
  ["png", "Picture as PNG"],
  ["svg", "Picture as SVG"],
];

// `save(kind)` resolves when the file is saved; the menu shows the message of an error.
export function exportMenu(title, save) {
  const list = el("div", { class: "menu-list", role: "group", "aria-label": `Export ${title}`, hidden: true });
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet menu-button",
      "aria-label": `Export ${title}`,
      "aria-expanded": "false",
      title: "Export",
    },
    icon("M8 2v8m-3-3l3 3 3-3", "M2.5 11v2.5h11V11"),
  );
  const menu = el("div", { class: "menu" }, button, list);
  const open = (shown) => {
    if (shown && !list.childElementCount)
      list.append(...KINDS.map(([kind, text]) => el("button", { type: "button", onclick: () => choose(kind) }, text)));
    list.hidden = !shown;
    button.setAttribute("aria-expanded", String(shown));
  };
  const choose = async (kind) => {
    try {
      await save(kind);
      open(false);
      button.focus();
    } catch (error) {
      list.append(el("p", { role: "alert" }, `Export failed: ${error.message}`));
    }
  };
  button.addEventListener("click", () => open(list.hidden));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.stopPropagation();
    open(false);
    button.focus();
  });
  menu.addEventListener("focusout", (event) => menu.contains(event.relatedTarget) || open(false));
  return menu;
}
