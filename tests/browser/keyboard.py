"""Goes through a page by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

STOPS_AT_MOST = 400
# The focused element: its name; whether an outline (its own or its row's) shows the focus; what covers its middle, if
# anything does.
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const labels = [...element.labels ?? []].map(label => label.textContent.trim()).join(" ");
  const name = element.getAttribute("aria-label") || labels || element.textContent.trim() || element.name || "";
  const outlined = one => {
    const {outlineStyle, outlineWidth} = getComputedStyle(one);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  };
  const row = element.closest("tr");
  const box = element.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, innerHeight / 4)];
  const over = document.elementFromPoint(x, y);
  const seen = over && (element.contains(over) || over.contains(element));
  return {
    tag: element.localName, name: name.replace(/\\s+/g, " "),
    outlined: outlined(element) || Boolean(row && outlined(row)),
    covered: seen ? "" : over ? over.outerHTML.slice(0, 120) : `outside of the window: ${x}, ${y}`,
  };
}"""


@dataclass(frozen=True)
class Stop:
    """A focused element."""

    tag: str
    name: str
    outlined: bool
    covered: str

    def __str__(self) -> str:
        return f"<{self.tag}> {self.name[:60]}"


class Keyboard:
    """Moves the focus of a page by Tab, and checks at each stop that the focus is visible."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def focused(self) -> Stop | None:
        found: dict[str, Any] | None = self.page.evaluate(FOCUSED)
        return Stop(**found) if found else None

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def stops(self, key: str = "Tab") -> Iterator[Stop]:
        """Every stop from here to the end of the page."""
        for _ in range(STOPS_AT_MOST):
            self.press(key)
            stop = self.focused
            if stop is None:
                return
            assert stop.outlined, f"no outline shows the focus on {stop}"
            assert not stop.covered, f"{stop} is covered by {stop.covered}"
            yield stop
        raise AssertionError(f"the focus does not leave the page: it is on {self.focused}")

    def to(self, wanted: str | Callable[[Stop], bool], key: str = "Tab") -> None:
        """Goes on to the element of that name, or whose name begins with it and a full stop, past the page's end."""

        def fits(stop: Stop) -> bool:
            return wanted(stop) if callable(wanted) else stop.name == wanted or stop.name.startswith(f"{wanted}.")

        passed = []
        for _ in range(2):
            for stop in self.stops(key):
                if fits(stop):
                    return
                passed.append(str(stop))
        raise AssertionError(f"{wanted} is not among the stops: {passed}")
