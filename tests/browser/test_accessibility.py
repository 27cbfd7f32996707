"""What axe finds on each page, in both themes, on a wide and on a narrow screen: nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site

Look = Callable[..., Page]
# A page to check is one line: its address, and a text that is there once it is ready.
PAGES = {
    "runs": ("/", "two-tower"),
    "run": ("/runs/abc123def456/", "Fullest bin"),
    "heatmap": ("/runs/abc123def456/?histogram=heatmap&what=both&tower=both", "The colour of a cell"),
    "quantiles": ("/runs/abc123def456/?histogram=quantiles&smooth=ema-0.6&zoom.epochs=3~9", "95 %"),
    "other metrics": ("/runs/axe-many/", "40 metrics"),
    "waiting": ("/runs/axe-cold/", "Waiting for a worker"),
    "failed": ("/runs/axe-failed/", "MLflow answered 404"),
    "comparison": ("/compare/?runs=abc123def456,axe-many,axe-failed&baseline=0&hidden=1", "not warm"),
    "nothing to compare": ("/compare/", "Choose two or more runs"),
    "unknown": ("/runs/nobody/", "Not announced yet"),
    "no such page": ("/nothing/", "404"),
    "sign in": ("/sign-in/", "Training runs that open at once."),
}


@pytest.fixture(scope="module")
def seeded(site: Site) -> Site:
    site.seed("warm", kind="Framework", run_id="axe-many", logged="many", size=40)
    site.seed("announce", run_id="axe-cold")
    site.seed("announce", {"state": "failed", "reason": "MLflow answered 404: no such run"}, run_id="axe-failed")
    return site


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 360])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(look: Look, seeded: Site, name: str, width: int, theme: str) -> None:
    address, ready = PAGES[name]
    page = look(address, width=width, theme=theme, may_fail=name == "no such page")
    expect(page.get_by_text(ready).first).to_be_visible()
    assert violations(page) == []


def test_axe_finds_nothing_in_what_opens(look: Look, seeded: Site) -> None:
    page = look("/runs/abc123def456/")
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    page.get_by_role("button", name="Export Loss").click()
    page.locator("figure.chart summary").first.click()
    expect(page.locator("figure.chart tbody tr").first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    """Rule and place of each."""
    found: dict[str, Any] = Axe().run(page).response
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]
