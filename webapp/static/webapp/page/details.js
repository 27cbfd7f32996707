// Content that is built when people open it.

import { el } from "./dom.js";
import { Guard } from "./failures.js";

// A <details> that builds its content when it opens, and again on `refresh` while it is open.
export function lazyDetails(title, build) {
  const box = el("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": title });
  const details = el("details", {}, el("summary", {}, title), box);
  const guard = new Guard(title, details);
  const refresh = () => guard.run(() => box.replaceChildren(...(details.open ? [build()] : [])));
  details.addEventListener("toggle", refresh);
  return { details, refresh };
}
