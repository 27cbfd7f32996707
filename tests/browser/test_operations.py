"""The page of operations, for an operator. tests/integration has replays with every part running."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Site
from tests.chromium import screenshots

Look = Callable[..., Page]


@pytest.fixture(scope="module", autouse=True)
def failed(site: Site) -> None:
    for number in range(3):
        arguments = {"state": "failed", "reason": f"the tracking server answered 404 to number {number}"}
        site.seed("announce", arguments, run_id=f"lost{number}", name=f"lost-{number}", experiment="lost")


@pytest.mark.parametrize("width", [1400, 360])
def test_it_fits_and_says_how_to_replay(look: Look, width: int) -> None:
    page = look("/operations/?experiment=lost", width=width)
    expect(page.get_by_text("the tracking server answered 404 to number 2")).to_be_visible()
    expect(page.get_by_role("link", name="sign in", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("details summary").first.click()
    expect(page.get_by_role("region", name="Payload of lost2")).to_contain_text('"run_id": "lost2"')
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screenshots(page, f"operations-{width}")


def test_it_stays_up_to_date_and_keeps_what_is_open(look: Look, site: Site) -> None:
    page = look("/operations/?experiment=followed&state=all")
    expect(page.get_by_text("No matching events.")).to_be_visible()
    site.seed("announce", {"state": "pending"}, run_id="followed1", name="followed-1", experiment="followed")
    first = page.locator(".event").filter(has_text="followed-1")
    expect(first).to_be_visible(timeout=20_000)
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(first.get_by_role("region")).to_be_visible()
    site.seed("announce", {"state": "failed", "reason": "gone"}, run_id="f2", name="followed-2", experiment="followed")
    expect(page.locator(".event").filter(has_text="followed-2")).to_be_visible(timeout=20_000)
    expect(first.get_by_role("region")).to_be_visible()
    expect(first.locator("summary")).to_be_focused()


def test_the_filter_is_in_the_address(look: Look) -> None:
    page = look("/operations/")
    page.get_by_label("State").select_option("all")
    page.get_by_label("Experiment").fill("lost")
    page.get_by_label("Text").fill("number 1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".event")).to_have_count(1)
    page.reload()
    expect(page.locator(".event")).to_have_count(1)
    expect(page.get_by_label("Text")).to_have_value("number 1")
    page.get_by_role("link", name="failed", exact=True).click()
    expect(page.get_by_label("State")).to_have_value("failed")


def test_it_needs_no_script(chromium: Browser, site: Site) -> None:
    context = chromium.new_context(base_url=site.address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/operations/?q=number%200")
    expect(page.locator(".event")).to_have_count(1)
    page.locator(".event summary").click()
    expect(page.get_by_role("region", name="Payload of lost0")).to_be_visible()
    context.close()
