// Times that a page's HTML holds, as how long ago they are; the exact time as a title.

import { ago } from "./format.js";

const EACH = 60000; // ms

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.textContent = ago(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}

// Keeps them up to date. Returns what shows them at once, for content that has come since.
export function keepTimes() {
  showTimes();
  setInterval(showTimes, EACH);
  return showTimes;
}
