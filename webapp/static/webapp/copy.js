// Adds a copy button to every element with data-copy, which names its text.

import "./base.js";
import { copyButton } from "./page/dom.js";

for (const element of document.querySelectorAll("[data-copy]")) {
  element.after(copyButton(element.textContent, element.dataset.copy));
}
