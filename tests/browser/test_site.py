"""The list, signing in, narrow screens, and how the server ends."""

from __future__ import annotations

import re
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.local.process import Part, Process, answers_tcp, free_port
from tests.browser.conftest import Site
from tests.chromium import screenshots
from tests.waiting import PATIENCE

Look = Callable[..., Page]


@pytest.mark.parametrize("path", ["/", "/?group=status&q=quick", "/runs/abc123def456/", "/runs/unknown/", "/sign-in/"])
def test_nothing_scrolls_sideways_on_a_narrow_screen(look: Look, path: str) -> None:
    page = look(path, width=360)
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screenshots(page, f"narrow{re.sub('[^a-z0-9]', '-', path)}")


def test_signing_in_by_browser(look: Look) -> None:
    page = look("/sign-in/")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("ada", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_site_that_opens_a_page_loses_its_window(chromium: Browser, site: Site) -> None:
    context = chromium.new_context()
    try:
        context.route(
            "http://elsewhere.example/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
        )
        elsewhere = context.new_page()
        elsewhere.goto("http://elsewhere.example/")
        with context.expect_page() as opened:
            elsewhere.evaluate("address => (window.opened = window.open(address), null)", site.address)
        page = opened.value
        expect(page.get_by_role("link", name="Warmboard")).to_be_visible()
        assert page.evaluate("window.opener") is None
        assert elsewhere.evaluate("window.opened.closed")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("link", name="Warmboard")).to_be_visible()
        assert page.evaluate("window.opener") is None
    finally:
        context.close()


def test_sigterm_ends_every_process(site: Site) -> None:
    port = free_port()
    part = Part("webapp", site.process.part.command, answers_tcp(port), environ={"WEBAPP_PORT": str(port)})
    process = Process(part, site.environ, site.process.log)
    process.wait_ready(PATIENCE)
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    assert len(family) >= 3
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert alive == []
    assert process.ended() == 0
