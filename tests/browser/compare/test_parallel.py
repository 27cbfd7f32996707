"""Parallel coordinates: brushes by keyboard and by pointer."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.compare.parts import TWELVE, Look, chip, compared, parameters
from tests.chromium import changes, chart, is_drawn, picture


def test_a_brush_by_keyboard_leaves_runs_out_everywhere(look: Look) -> None:
    page = look(TWELVE)
    rates = {run["name"]: float(run["params"]["learning_rate"]) for run in compared(page, TWELVE.partition("=")[2])}
    canvas = chart(page, "val_loss").locator("canvas")
    assert is_drawn(canvas)
    before = picture(canvas)
    handle = page.get_by_role("slider", name="learning_rate, lowest")
    handle.focus()
    for _ in range(5):
        page.keyboard.press("PageUp")
    least = float(parameters(page)["brush"].split(":")[1])
    left = [name for name, rate in rates.items() if rate >= least]
    assert 0 < len(left) < 12
    expect(page.get_by_text(f"{len(left)} of 12 runs match")).to_be_visible()
    for name in rates:
        level = "plain" if name in left else "dim"
        expect(chip(page, name)).to_have_attribute("data-level", level)
        expect(page.locator(f".point[data-run='{name.replace(' ', '')}']")).to_have_attribute("data-level", level)
    chart(page, "val_loss").scroll_into_view_if_needed()
    assert changes(canvas, before)
    page.get_by_role("button", name="Clear brushes").click()
    expect(page.get_by_text("runs match")).to_have_count(0)
    expect(chip(page, "search 3")).to_have_attribute("data-level", "plain")


def test_a_brush_by_pointer(look: Look) -> None:
    page = look(TWELVE)
    drawing = page.locator(".parallel > svg")
    drawing.scroll_into_view_if_needed()
    box = drawing.locator(".axis-line .hit").first.bounding_box()
    assert box
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    expect(page.locator(".brush:not(.open)")).to_have_count(1)
    expect(page.get_by_text("of 12 runs match")).to_be_visible()
    page.mouse.click(x, box["y"] + 20)
    expect(page.get_by_text("of 12 runs match")).to_have_count(0)
