"""A real Chromium, and what tests ask of a page in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.waiting import PATIENCE

SCREENSHOTS = Path("build/screenshots")
# How many pixels of a canvas are not transparent, and how many different colours they have.
INK = """canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set(); let inked = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3]) { inked++; colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]); }
  }
  return [inked, colours.size];
}"""

# How far things that were there already have moved, other than by what the viewer did: window.shifted; and which.
# After a key or a click the browser itself leaves out what moves for half a second; `acted` until its effect is there.
LAYOUT_SHIFT = """
window.shifted = 0;
window.movers = [];
window.acting = false;
const note = entries => entries.forEach(entry => {
  if (entry.hadRecentInput || window.acting) return;
  window.shifted += entry.value;
  window.movers.push(...entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 80)));
});
const observer = new PerformanceObserver(list => note(list.getEntries()));
observer.observe({type: "layout-shift", buffered: true});
window.act = begins => {
  note(observer.takeRecords());
  window.acting = begins;
};
"""


@contextmanager
def acted(page: Page) -> Iterator[None]:
    """What moves inside is the viewer's doing, however long a busy machine takes to show it: the block must end by
    waiting for the effect.
    """
    page.evaluate("act(true)")
    yield
    # Two frames: what they moved has been told.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("act(false)")


def soon(canvas: Locator, holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold: within some frames, on a machine that is quiet."""
    until = time.monotonic() + PATIENCE
    while not (held := holds()) and time.monotonic() < until:
        canvas.page.wait_for_timeout(50)
    return held


def is_drawn(canvas: Locator) -> bool:
    def inked() -> bool:
        pixels, colours = canvas.evaluate(INK)
        return bool(pixels > 500 and colours > 10)

    return soon(canvas, inked)


def picture(canvas: Locator) -> str:
    """What is drawn, to tell whether it has changed."""
    return str(canvas.evaluate("canvas => canvas.toDataURL()"))


def changes(canvas: Locator, before: str) -> bool:
    return soon(canvas, lambda: picture(canvas) != before)


def becomes(canvas: Locator, wanted: str) -> bool:
    return soon(canvas, lambda: picture(canvas) == wanted)


def chart(page: Page, title: str) -> Locator:
    return page.locator("figure.chart").filter(has=page.get_by_role("heading", name=title, exact=True))


def cells(box: Locator) -> list[list[str]]:
    expect(box.locator("tbody tr").first).to_be_visible()  # a table is built when it is opened
    found: list[list[str]] = box.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def screenshot(page: Page, name: str) -> None:
    """Keeps a picture of the whole page for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def screenshots(page: Page, name: str) -> None:
    """The same in both themes, in neither of which the page may scroll sideways."""
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), theme
        screenshot(page, f"{name}-{theme}")
