"""Opens pages in a real Chromium and tells when their charts were drawn."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deploy.local.chromium import CHROMIUM, FLAGS

VIEWPORT = {"width": 1400, "height": 900}
PATIENCE_MS = 60_000
KIB = 1024
SETTLE_MS = 1_000
"""So long a page goes on loading what is not in view. Some never end: they ask again and again."""
WATCH = (Path(__file__).parent / "watch.js").read_text()


@dataclass(frozen=True)
class Shown:
    """A page to open. ``drawn`` is a JavaScript expression: whether its charts are there."""

    name: str
    address: str
    drawn: str


@dataclass
class Opened:
    """What opening a page took, each time: ms until the charts were drawn, without and with the browser's cache; vitals
    of the cold ones; bytes and requests of the last cold one.
    """

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    lcp: list[float] = field(default_factory=list)
    cls: list[float] = field(default_factory=list)
    inp: list[float] = field(default_factory=list)
    kib: float = 0.0
    requests: int = 0

    def median(self, what: str) -> float:
        return statistics.median(getattr(self, what))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Raises SystemExit where there is none."""
    if not CHROMIUM:
        raise SystemExit("bench-pages needs a Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_once(browser: Browser, shown: Shown, opened: Opened) -> None:
    """A browser that never saw the page opens it, uses it a little, leaves, and comes back."""
    context = browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]
    context.add_init_script(f"(() => {{ const drawn = (within, inView) => {shown.drawn};\n{WATCH} }})()")
    try:
        page = context.new_page()
        with _counting(context, page) as counted:
            opened.cold.append(_drawn(page, shown))
            page.wait_for_timeout(SETTLE_MS)
        opened.kib, opened.requests = sum(counted) / KIB, len(counted)
        _use(page)
        vitals = page.evaluate("window.__vitals")
        for name in ("lcp", "cls", "inp"):
            getattr(opened, name).append(vitals[name])
        page.goto("about:blank")
        opened.warm.append(_drawn(page, shown))
    finally:
        context.close()


def _drawn(page: Page, shown: Shown) -> float:
    page.goto(shown.address, wait_until="commit", timeout=PATIENCE_MS)
    # Not `wait_for_function`, which evaluates text: our pages let nobody do that.
    drawn: float | None = page.evaluate("ms => window.__drawn(ms)", PATIENCE_MS)
    if drawn is None:
        raise RuntimeError(f"{shown.name}: its charts were not drawn within {PATIENCE_MS / 1000:.0f} s")
    return drawn


def _use(page: Page) -> None:
    """Points at the middle of the page, clicks there and moves on by the keyboard."""
    x, y = VIEWPORT["width"] // 2, VIEWPORT["height"] // 2
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    for key in ("Tab", "Tab", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)


@contextmanager
def _counting(context: BrowserContext, page: Page) -> Iterator[list[int]]:
    """The bytes of each answer."""
    counted: list[int] = []
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: counted.append(event["encodedDataLength"]))
    yield counted
    session.detach()
