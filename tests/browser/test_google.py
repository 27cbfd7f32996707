"""Signing in with Google as people do: a click, their account there, and back, under the page's own policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from deploy.local.process import Process
from tests.browser.webapp import webapp
from tests.webapp.google import CLIENT_ID, CLIENT_SECRET, Google, google


@pytest.fixture(scope="module")
def server() -> Iterator[Google]:
    with google() as running:
        yield running


@pytest.fixture(scope="module")
def address(valkey: Process, server: Google, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a webapp that signs in with Google."""
    given = {
        "DJANGO_SETTINGS_MODULE": "tests.browser.google_settings",
        "TEST_GOOGLE": server.address,
        "WEBAPP_GOOGLE_CLIENT_ID": CLIENT_ID,
        "WEBAPP_GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
        "WEBAPP_GOOGLE_DOMAINS": "example.org",
    }
    with webapp(tmp_path_factory.mktemp("google"), 2, given) as running:
        yield running.address


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    context = chromium.new_context(base_url=address)
    yield context.new_page()
    context.close()


def test_a_click_signs_in_and_leads_to_where_one_wanted_to_go(page: Page, tmp_path: Path) -> None:
    page.goto("/tokens/")
    assert Axe().run(page).violations_count == 0
    page.get_by_role("link", name="Sign in with Google").click()
    page.wait_for_url("**/tokens/")
    assert page.get_by_title("Your tokens").inner_text() == "ada@example.org"
    assert page.locator(".role").inner_text() == "viewer"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def test_by_keyboard_and_a_stranger_is_told_why_not(page: Page, server: Google) -> None:
    known = dict(server.claims)
    server.claims |= {"sub": "9", "email": "eve@elsewhere.org", "hd": "elsewhere.org"}
    try:
        page.goto("/sign-in/")
        page.get_by_role("link", name="Sign in with Google").focus()
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="eve@elsewhere.org is not an account of example.org.").wait_for()
        assert Axe().run(page).violations_count == 0
        page.goto("/")
        assert page.url.endswith("/sign-in/?next=/")
    finally:
        server.claims = known
