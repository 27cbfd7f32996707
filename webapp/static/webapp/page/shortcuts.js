// Keyboard shortcuts of a page: single keys, never while typing. The viewer can switch them off.

const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]";
const SETTING = "shortcuts";

const shortcutsOn = () => read() !== "off";

function setShortcuts(on) {
  try {
    localStorage.setItem(SETTING, on ? "on" : "off");
  } catch {
    return; // the browser forbids storage
  }
}

// `list` is [[key, what it does, run]], without `run` where the browser does it; `others(key, event)` gets all other
// keys. "?" shows the list with `beside` (see help.js). Returns a function that shows it too, for when the keys are
// off.
export function shortcuts(list, others = () => {}, beside = undefined) {
  const keys = new Map(list.map(([key, , run]) => [key, run]));
  const showHelp = async () => (await import("./help.js")).showHelp(list, shortcutsOn(), setShortcuts, beside);
  keys.set("?", showHelp);
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !shortcutsOn()) return;
    if (event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
    const run = keys.get(event.key);
    if (!run) return void others(event.key, event);
    event.preventDefault();
    run();
  });
  return showHelp;
}

function read() {
  try {
    return localStorage.getItem(SETTING);
  } catch {
    return null;
  }
}
