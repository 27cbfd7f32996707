// A button to copy, at every element that names in data-copy what its text is.

import "./base.js";
import { copyButton } from "./page/dom.js";

for (const element of document.querySelectorAll("[data-copy]")) {
  element.after(copyButton(element.textContent, element.dataset.copy));
}
