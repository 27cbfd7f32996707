// Keyboard shortcuts of a page: single keys, never while somebody types, and none at all where the viewer has said so.

const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]";
const SETTING = "shortcuts";

const shortcutsOn = () => read() !== "off";

function setShortcuts(on) {
  try {
    localStorage.setItem(SETTING, on ? "on" : "off");
  } catch {
    return; // storage may be forbidden; shortcuts stay as they are
  }
}

// `list` is [[key, what it does, run]], of which those that browsers run have no `run`; `others(key, event)` hears of keys
// that are not in it. "?" shows the list, and `beside` it, as help.js has it. Returns what shows it too, for those who have
// switched the keys off.
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
