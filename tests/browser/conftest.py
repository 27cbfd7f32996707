"""A real webapp (granian, SQLite, Valkey) and a real Chromium that looks at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from deploy.local.process import Process
from tests.browser.webapp import Webapp, webapp
from tests.waiting import PATIENCE, PATIENCE_MS
from tests.warmboard.servers import FakePubsub, pubsub_server

OF_TESTS = ("willReadFrequently", "Autofocus processing was blocked")
"""In what the browser says of tests: they read canvases back, and type before the frame that focuses the first field.
"""


@dataclass(frozen=True)
class Site(Webapp):
    """With the way to put runs into its store."""

    pubsub: FakePubsub
    """Takes what the webapp publishes, over real gRPC."""

    def seed(self, method: str, arguments: dict[str, Any] | None = None, kind: str = "Sample", **fields: Any) -> None:
        """Calls a method of ``Sample(**fields)``: ``warm``, ``announce`` or ``put``."""
        self.seeder((kind, fields, method, arguments or {}))

    def seed_all(self, method: str, runs: list[dict[str, Any]], kind: str = "Sample") -> None:
        """The same of several runs, each given by its fields."""
        self.seeder(*((kind, fields, method, {}) for fields in runs))


def settle(page: Page) -> None:
    """Wait until the page has done what it put off, such as changing its address: at most a quarter of a second, twice.

    Its own timers say so, since they run in order however busy the machine is. Twice, for a timer that sets another.
    """
    for _ in range(2):
        page.evaluate("new Promise(done => setTimeout(done, 250))")


@pytest.fixture(scope="session")
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as server:
        yield server


@pytest.fixture(scope="session")
def site(valkey: Process, pubsub: FakePubsub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    given = {
        "DJANGO_SUPERUSER_PASSWORD": "correct horse",
        "WEBAPP_LOOPBACK_READ": "true",
        "PUBSUB_EMULATOR_HOST": pubsub.address,
        "MLFLOW_UI_URLS": "default=https://mlflow.example.org/tracking",
        # Made-up requests come as fast as they are answered.
        "WEBAPP_RATE_LIMIT": "1000000",
    }
    ada = ["createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org"]
    with webapp(tmp_path_factory.mktemp("site"), 1, given, ada) as running:
        site = Site(running.address, running.environ, running.process, running.seeder, pubsub)
        site.seed("warm", {"quick_test": 7}, run_id="abc123def456")
        yield site


@pytest.fixture
def look(chromium: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a path of the site. At the end no page may have logged an error or asked another host for anything."""
    complaints: list[str] = []
    contexts = []

    def watch(request: Request) -> None:
        if not request.url.startswith((site.address, "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    def hear(message: ConsoleMessage) -> None:
        if message.type != "log" and not any(part in message.text for part in OF_TESTS):
            complaints.append(message.text)

    def open_page(
        path: str, width: int = 1400, theme: str = "light", may_fail: bool = False, touch: bool = False
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,  # type: ignore[arg-type]
            base_url=site.address,
            has_touch=touch,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        if not may_fail:  # the browser logs every answer that is an error
            page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", watch)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def token(site: Site) -> str:
    """A new token of ada's, as she makes it: by the forms."""
    with requests.Session() as session:

        def submit(path: str, **fields: str) -> str:
            page = session.get(site.address + path, timeout=PATIENCE).text
            guard = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            assert guard
            answer = session.post(site.address + path, {"csrfmiddlewaretoken": guard[1], **fields}, timeout=PATIENCE)
            answer.raise_for_status()
            return answer.text

        submit("/sign-in/", username="ada", password="correct horse")  # noqa: S106 - of this test's user
        found = re.search(r"wb_[\w-]{43}", submit("/tokens/", name="a test's"))
        assert found
        return found[0]
