"""Nested runs in the list: folded under their parent, unfolded in place by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_accessibility import assert_axe_finds_nothing
from tests.chromium import screenshots

Look = Callable[..., Page]


@pytest.fixture
def searched(site: Site) -> None:
    """A search of three trials, the newest in the list."""
    site.seed("warm", run_id="hunt", name="hunt")
    for number in range(3):
        tags = {"mlflow.parentRunId": "hunt"}
        site.seed("warm", kind="Known", run_id=f"hunted{number}", name=f"hunted {number}", logged_tags=tags)


@pytest.mark.usefixtures("searched")
def test_nested_runs_unfold_in_place_by_keyboard(look: Look) -> None:
    page = look("/")
    toggle = page.locator('[data-fold="hunt"]')
    children = page.locator("tr.nested .name > a")
    expect(toggle).to_have_text("3 nested runs")
    expect(toggle).to_have_attribute("aria-expanded", "false")
    expect(children).to_have_count(0)
    page.evaluate("window.sameDocument = true")
    toggle.focus()
    page.keyboard.press("Enter")
    expect(children).to_have_text(["hunted 0", "hunted 1", "hunted 2"])
    expect(toggle).to_be_focused()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(page).to_have_url(re.compile(r"open=hunt"))
    assert page.evaluate("window.sameDocument")
    page.reload()
    expect(children).to_have_count(3)
    page.get_by_label("Choose hunted 1").check()
    toggle.click()
    expect(children).to_have_count(0)
    expect(page.locator("#chosen-count")).to_have_text("1 chosen")
    expect(page).not_to_have_url(re.compile("open="))


@pytest.mark.usefixtures("searched")
def test_they_unfold_without_scripts(look: Look, site: Site) -> None:
    context = look("/").context.browser.new_context(java_script_enabled=False, base_url=site.address)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto("/")
    page.locator('[data-fold="hunt"]').click()
    expect(page.locator("tr.nested")).to_have_count(3)
    context.close()


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("width", [1400, 360])
def test_axe_finds_nothing_and_it_fits(look: Look, width: int) -> None:
    page = look("/?open=hunt", width=width)
    expect(page.locator("tr.nested")).to_have_count(3)
    assert_axe_finds_nothing(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screenshots(page, f"nested-{width}")
