// The list of runs: the quick filter, and times that stay true.

import { ago } from "./format.js";

const filter = document.getElementById("filter");
const rows = [...document.querySelectorAll("table.runs tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);

function apply() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [row, text] of rows) {
    row.hidden = !words.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("none").hidden = shown > 0;
  document.getElementById("shown").textContent = words.length ? `${shown} of ${rows.length} on this page` : `${rows.length} on this page`;
}

if (filter) {
  filter.addEventListener("input", apply);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      filter.focus();
    }
  });
  apply(); // the browser may have kept the text of an earlier visit
}
const times = () => {
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.textContent = ago(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
};
times();
setInterval(times, 60000);
