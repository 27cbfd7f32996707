// A bar of links to the page's sections. It stays in view and marks the section being read.

import { el } from "../page/dom.js";
import { inNextFrame } from "../page/frames.js";

// `sections` are [name, element] in the order of the page; hidden ones have no link.
export class SectionNav {
  constructor(sections, ...after) {
    this.links = new Map(sections.map(([name, element]) => [element, el("a", { href: `#${element.id}` }, name)]));
    this.element = el(
      "div",
      { class: "section-bar" },
      el("nav", { class: "section-nav", "aria-label": "On this page" }, [...this.links.values()]),
      after,
    );
    addEventListener(
      "scroll",
      inNextFrame(() => this.#mark()),
      { passive: true },
    );
  }

  // `coming` are sections that will appear soon; their links are shown already.
  offer(coming = []) {
    for (const [element, link] of this.links) link.hidden = element.hidden && !coming.includes(element);
  }

  update() {
    this.offer();
    this.#mark();
  }

  // Goes to shown section number `i`, from 0.
  go(i) {
    [...this.links.values()].filter((link) => !link.hidden)[i]?.click();
  }

  // Marks the last section that begins above the middle; at the end of the page, the last one.
  #mark() {
    const shown = [...this.links].filter(([element]) => !element.hidden);
    const atEnd = scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const read = atEnd
      ? shown.at(-1)
      : (shown.findLast(([element]) => element.getBoundingClientRect().top < innerHeight * 0.4) ?? shown[0]);
    for (const [element, link] of shown) {
      const now = element === read?.[0];
      if (now === link.hasAttribute("aria-current")) continue;
      if (!now) link.removeAttribute("aria-current");
      else {
        link.setAttribute("aria-current", "true");
        link.parentElement.scrollLeft = link.offsetLeft - link.parentElement.offsetLeft; // on a narrow screen
      }
    }
  }
}

// Goes to the address's section, which was not there when the browser looked for it.
export function goToHash() {
  if (location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}
