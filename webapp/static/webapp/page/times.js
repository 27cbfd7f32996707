// Shows the times in a page's HTML as how long ago they are, with the exact time as a title.

import { ago } from "./format.js";

const INTERVAL = 60000; // ms

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.textContent = ago(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}

// Keeps them up to date. Returns a function that updates them at once, for new content.
export function keepTimes() {
  showTimes();
  setInterval(showTimes, INTERVAL);
  return showTimes;
}
