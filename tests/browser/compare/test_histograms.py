"""Histograms of several runs at one epoch."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.compare.parts import MINUS, THREE, TWELVE, Look, colour
from tests.chromium import cells, changes, is_drawn, picture


def test_histograms_of_four_runs_at_one_epoch_by_keyboard(look: Look) -> None:
    page = look(TWELVE)
    histograms = page.locator("#histograms")
    histograms.scroll_into_view_if_needed()
    expect(histograms.locator(".summary").first).to_contain_text("search 3 at epoch 54 from")
    expect(histograms.locator(".summary").first).not_to_contain_text("search 4")
    canvas = histograms.locator("canvas")
    before = picture(canvas)
    slider = histograms.get_by_role("slider", name="Epoch", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 10")
    assert changes(canvas, before)
    page.keyboard.press("End")
    expect(histograms.get_by_text("search 0 is shown at epoch 39, its nearest stored epoch.")).to_be_visible()
    histograms.get_by_text("Data table of this epoch").click()
    stored = page.request.get("/api/runs/search0/histogram-data/?type=weights&tower=query").json()
    lines = [line for line in cells(histograms) if line[0] == "search 0"][1:-1]
    assert [float(line[3]) for line in lines] == stored["bin_edges_by_epoch"][-1][:-1]
    assert [float(line[5]) for line in lines] == stored["counts"][-1]
    histograms.get_by_role("button", name="Overlaid").click()
    histograms.get_by_role("button", name="Gradients").click()
    expect(histograms.locator(".summary").first).to_contain_text("Gradients of the query tower")
    assert is_drawn(canvas)


def test_overlaid_histograms_name_their_runs_and_the_epochs_that_are_shown(look: Look) -> None:
    page = look(f"{THREE}&bins=over&what=gradients")
    histograms = page.locator("#histograms")
    histograms.scroll_into_view_if_needed()
    legend = histograms.get_by_role("list", name="Colours of the runs").get_by_role("listitem")
    expect(legend).to_have_text(["search 0epoch 39", "search 1epoch 44", "search 2epoch 49"])
    for seed in range(3):
        swatch = legend.nth(seed).locator(".line-swatch")
        assert swatch.evaluate("swatch => getComputedStyle(swatch).color") == colour(page, f"search {seed}")
    summary = histograms.locator(".summary").first
    for seed, epoch in enumerate((39, 44, 49)):
        stored = page.request.get(f"/api/runs/search{seed}/histogram-data/?type=gradients&tower=query").json()
        filled = [at for at, value in enumerate(stored["counts"][-1]) if value]
        low = stored["bin_edges_by_epoch"][-1][filled[0]]
        expect(summary).to_contain_text(f"search {seed} at epoch {epoch} from {f'{low:.4g}'.replace('-', MINUS)} to ")
    histograms.get_by_role("button", name="One each").click()
    expect(legend).to_have_count(0)
