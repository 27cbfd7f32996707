// Keeps the page of operations up to date: when the JSON has changed, it takes the parts of the page again. Open
// details and the focus stay.

import "./base.js";
import { follow } from "./page/follow.js";
import { keepTimes } from "./page/times.js";

const PACE = { first: 2000, most: 15000 };
const root = document.getElementById("operations");
const live = document.getElementById("live");
let etag = root.dataset.etag;

async function step() {
  try {
    const response = await fetch(root.dataset.api, { cache: "no-store", headers: { "If-None-Match": etag } });
    if (response.status !== 304 && !response.ok) throw new Error(`The server answered ${response.status}.`);
    const changed = response.status !== 304;
    if (changed) await renew();
    etag = response.headers.get("ETag");
    live.textContent = "";
    return { pause: PACE, changed };
  } catch (error) {
    live.textContent = `Not live: ${error.message}`;
    return { pause: PACE, changed: false };
  }
}

async function renew() {
  const response = await fetch(location.href, { cache: "no-store" });
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) replace(old, document.importNode(fresh, true));
  }
  showTimes();
}

function replace(old, fresh) {
  for (const details of old.querySelectorAll("details[open]"))
    fresh.querySelector(`#${details.id}`)?.setAttribute("open", "");
  const focused = old.contains(document.activeElement) ? placeOf(document.activeElement, old) : null;
  old.replaceWith(fresh);
  if (focused) find(fresh, focused)?.focus({ preventScroll: true });
}

// Where an element is, so that `find` finds it in a newer copy: the nearest ID above it, and its index among elements
// of its kind.
function placeOf(element, within) {
  const home = element.closest("[id]") ?? within;
  return { id: home.id, tag: element.tagName, turn: [...home.querySelectorAll(element.tagName)].indexOf(element) };
}

function find(within, { id, tag, turn }) {
  const home = within.id === id ? within : within.querySelector(`#${id}`);
  return turn < 0 ? home : home?.querySelectorAll(tag)[turn];
}

const showTimes = keepTimes();
follow(step);
