"""Open pages in a real Chromium and measure when their charts are drawn."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from deploy.local.chromium import CHROMIUM, FLAGS

VIEWPORT = {"width": 1400, "height": 900}
PATIENCE_MS = 60_000
KIB = 1024
WARM_UP = 1
"""Reloads before the warm one: with the first, a browser caches what it has compiled."""
SETTLE_MS = 1_000
"""The time for a new tab to become idle, and for a page to load what is not in view. Some pages poll for ever."""
WATCH = (Path(__file__).parent / "watch.js").read_text()


@dataclass(frozen=True)
class Shown:
    """A page to open. ``drawn`` is a JavaScript expression that says whether its charts are drawn."""

    name: str
    address: str
    drawn: str


@dataclass
class Opened:
    """The cost of opening a page: KiB and responses; per opening, ms until the charts were drawn, without (cold) and
    with (warm) the browser's cache; the web vitals of cold openings.
    """

    kib: float
    requests: int
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    lcp: list[float] = field(default_factory=list)
    cls: list[float] = field(default_factory=list)
    inp: list[float] = field(default_factory=list)

    def median(self, what: str) -> float:
        return float(statistics.median(getattr(self, what)))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Raises SystemExit if none is installed."""
    if not CHROMIUM:
        raise SystemExit("bench-pages needs a Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def transferred(browser: Browser, shown: Shown) -> tuple[float, int]:
    """KiB and responses until some time after the charts are drawn, in a browser that has never loaded the page. Not
    timed, because counting slows each response.
    """
    sizes: list[int] = []
    with _new_tab(browser, shown) as page:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(shown.address, wait_until="commit", timeout=PATIENCE_MS)
        _drawn(page, shown)
        page.wait_for_timeout(SETTLE_MS)
    return sum(sizes) / KIB, len(sizes)


def open_twice(browser: Browser, shown: Shown, opened: Opened) -> None:
    """Open the page in a browser that has never loaded it, use it a little, and reload it. Wait until it is idle before
    each reload: remaining work would count for the next one.
    """
    with _new_tab(browser, shown) as page:
        page.goto(shown.address, wait_until="commit", timeout=PATIENCE_MS)
        opened.cold.append(_drawn(page, shown))
        page.wait_for_timeout(SETTLE_MS)
        _use(page)
        vitals = page.evaluate("window.__vitals")
        for name in ("lcp", "cls", "inp"):
            getattr(opened, name).append(vitals[name])
        for _ in range(WARM_UP + 1):
            page.wait_for_timeout(SETTLE_MS)
            page.reload(wait_until="commit", timeout=PATIENCE_MS)
            warm = _drawn(page, shown)
        opened.warm.append(warm)


@contextmanager
def _new_tab(browser: Browser, shown: Shown) -> Iterator[Page]:
    """An empty, idle tab: starting its process would take the processors from the page."""
    context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
    context.add_init_script(f"(() => {{ const drawn = (within, inView) => {shown.drawn};\n{WATCH} }})()")
    try:
        page = context.new_page()
        page.wait_for_timeout(SETTLE_MS)
        yield page
    finally:
        context.close()


def _drawn(page: Page, shown: Shown) -> float:
    """Milliseconds from the request until all charts were drawn. Raises RuntimeError if they were not."""
    # Not `wait_for_function`, which evaluates text: the content security policy of our pages forbids that.
    drawn: Any = page.evaluate("ms => window.__drawn(ms)", PATIENCE_MS)
    if drawn is None:
        raise RuntimeError(f"{shown.name}: its charts were not drawn within {PATIENCE_MS / 1000:.0f} s")
    return float(drawn)


def _use(page: Page) -> None:
    """Move to the middle of the page, click there and press some keys."""
    x, y = VIEWPORT["width"] // 2, VIEWPORT["height"] // 2
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    for key in ("Tab", "Tab", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
