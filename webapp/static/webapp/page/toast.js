// A line at the edge of the page that says why it is not up to date.

import { el } from "./dom.js";

// An empty text removes it.
export function toast(root, text) {
  const line =
    document.getElementById("lost") ?? root.appendChild(el("p", { id: "lost", class: "toast", role: "status" }));
  line.textContent = text;
  line.hidden = !text;
}

// What a failed request means for a page that asks again by itself.
export const retrying = ({ status, message }) =>
  status === 401 ? "You have been signed out. Reload the page to sign in." : `${message} Retrying…`;
