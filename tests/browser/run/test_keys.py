"""The run page by keyboard alone: sections, shortcuts, the sheet that lists them."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn

Look = Callable[..., Page]
RUN = "/runs/abc123def456/"


def test_every_control_is_reached_by_tab_and_the_page_by_sections(look: Look) -> None:
    page = look(RUN)
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
        )
        if page.evaluate("document.activeElement === document.body"):
            break
    for name in ("Weight analysis", "Copy link", "Log y", "Export Loss", "Heatmap", "Play", "Zoom in"):
        assert name in reached, name
    assert any(name.startswith("Loss. train") for name in reached), "the charts themselves"
    assert any(name.startswith("Ridgeline. Weights, query tower") for name in reached)


def test_the_section_that_is_read_is_marked(look: Look) -> None:
    page = look(RUN)
    nav = page.get_by_role("navigation", name="On this page")
    expect(nav.get_by_role("link")).to_have_text(["Training", "Weight analysis", "About", "Parameters", "Provenance"])
    expect(nav.locator("[aria-current]")).to_have_text("Training")
    for name, key in (("Weight analysis", "2"), ("Provenance", "5"), ("Training", "1")):
        page.keyboard.press(key)
        expect(nav.locator("[aria-current]")).to_have_text(name)
        expect(nav).to_be_in_viewport()


def test_a_link_to_a_section_leads_there(look: Look) -> None:
    page = look(f"{RUN}#distributions")
    expect(page.get_by_role("heading", name="Weight analysis")).to_be_in_viewport()
    expect(page.locator(".section-nav [aria-current]")).to_have_text("Weight analysis")


def test_single_keys_change_the_view(look: Look) -> None:
    page = look(RUN)
    assert is_drawn(chart(page, "Loss").locator("canvas"))
    for key, name in (("y", "Log y"), ("x", "Log x")):
        page.keyboard.press(key)
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("s")
    expect(page.get_by_role("slider", name="Smoothing")).to_have_value("0.6")
    page.keyboard.press("t")
    expect(page.get_by_role("button", name="Clock")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Log x")).to_be_disabled()
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_enabled()
    page.keyboard.press("0")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_disabled()
    page.keyboard.press("h")
    expect(page.get_by_role("button", name="Heatmap")).to_have_attribute("aria-pressed", "true")


def test_keys_do_nothing_while_somebody_types(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="typed", logged="many", size=100)
    page = look("/runs/typed/")
    expect(page.locator(".epochs")).to_be_visible()
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    page.keyboard.type("xy?layer")
    expect(search).to_have_value("xy?layer")
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url(re.compile("search=xy%3Flayer"))
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("xy?layer")


def test_the_sheet_of_keys_opens_closes_and_switches_them_off(look: Look) -> None:
    page = look(RUN)
    button = page.get_by_role("button", name="Keyboard shortcuts")
    button.focus()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard and mouse")
    expect(sheet).to_contain_text("Ridgeline, heatmap or quantiles")
    page.keyboard.press("y")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(button).to_be_focused()
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Enter")
    sheet.get_by_role("checkbox").uncheck()
    sheet.get_by_role("button", name="Close").click()
    page.keyboard.press("y")
    page.keyboard.press("?")
    expect(sheet).to_have_count(0)
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(chart(page, "Loss")).to_be_visible()
    page.keyboard.press("?")
    expect(sheet).to_have_count(0)
