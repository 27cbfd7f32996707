"""The scatter plot, read by keyboard."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.compare.parts import TWELVE, Look, chip, compared


def test_a_scatter_reads_values_by_keyboard(look: Look) -> None:
    page = look(TWELVE)
    page.get_by_role("combobox", name="Across").select_option(label="learning_rate")
    page.get_by_role("combobox", name="Up").select_option(label="test_recall_at_10")
    runs = sorted(compared(page, TWELVE.partition("=")[2]), key=lambda run: float(run["params"]["learning_rate"]))
    page.locator(".scatter-plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    second = runs[1]
    said = page.locator("#scatter .readout")
    expect(said).to_contain_text(f"{second['name']}: learning_rate")
    expect(said).to_contain_text(f"test_recall_at_10 {second['final_metrics']['test_recall_at_10']:.4g}")
    expect(chip(page, second["name"])).to_have_attribute("data-level", "lit")
    linear = page.locator(".point").nth(1).get_attribute("transform")
    page.get_by_role("group", name="Axis up").get_by_role("button", name="Log").click()
    expect(page.locator(".point").nth(1)).not_to_have_attribute("transform", linear or "")
