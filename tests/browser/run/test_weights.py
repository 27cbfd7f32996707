"""The weight analysis: ridgelines, heatmaps and quantiles, with one chosen epoch for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.chromium import becomes, cells, changes, is_drawn, picture, screenshot

Look = Callable[..., Page]
RUN = "/runs/abc123def456/"


def panel(page: Page, title: str) -> Locator:
    return page.get_by_role("figure", name=title, exact=True)


def histogram(page: Page, type_: str, tower: str) -> Any:
    return page.request.get(f"/api{RUN}histogram-data/?type={type_}&tower={tower}&resolution=full").json()


def test_weights_and_gradients_of_both_towers_side_by_side(look: Look) -> None:
    page = look(RUN)
    page.get_by_role("group", name="What").get_by_role("button", name="Both").click()
    titles = [f"{type_}, {tower} tower" for type_ in ("Weights", "Gradients") for tower in ("query", "candidate")]
    boxes = []
    for title in titles:
        expect(panel(page, title).locator(".readout")).to_contain_text("epoch 19")
        assert is_drawn(panel(page, title).locator("canvas").first)
        boxes.append(panel(page, title).bounding_box())
    assert all(boxes)
    across, down = {box["x"] for box in boxes if box}, {box["y"] for box in boxes if box}
    assert (len(across), len(down)) == (2, 2)
    page.get_by_role("slider", name="Epoch").fill("5")
    for title in titles:
        expect(panel(page, title).locator(".readout")).to_contain_text("epoch 5 ")


def test_a_narrow_page_shows_one_tower_and_switches(look: Look) -> None:
    page = look(RUN, width=360)
    expect(page.locator("figure.panel")).to_have_count(1)
    page.get_by_role("button", name="Candidate tower", exact=True).click()
    expect(panel(page, "Weights, candidate tower").locator(".readout")).to_contain_text("epoch 19")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_cell_of_the_heatmap_reads_as_the_json_has_it(look: Look, theme: str) -> None:
    page = look(f"{RUN}?what=gradients&tower=query", theme=theme)
    page.get_by_role("button", name="Heatmap").click()
    box = panel(page, "Gradients, query tower")
    assert is_drawn(box.locator(".ridges canvas").first)
    heatmap = box.get_by_role("img", name="Heatmap")
    heatmap.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    data = histogram(page, "gradients", "query")
    fullest = max(range(25), key=lambda bin: data["counts"][19][bin])
    count = data["counts"][18][fullest + 1]
    expect(box.locator(".readout")).to_contain_text("epoch 18 · ")
    expect(box.locator(".readout")).to_contain_text(f" · {count:,.0f} of ")
    for _ in range(25):
        page.keyboard.press("ArrowUp")
    expect(box.locator(".readout")).to_contain_text(f"above 1 · {data['overflow'][18]:,.0f} of ")
    # By pointer: the middle of the picture's width lies in the middle of the run.
    place = heatmap.bounding_box()
    assert place
    heatmap.hover(position={"x": 52 + (place["width"] - 64) / 2, "y": place["height"] / 2})
    expect(box.locator(".readout")).to_contain_text("epoch 10 · ")
    screenshot(page, f"heatmap-{theme}")


@pytest.mark.parametrize("counts", ["Log", "Symlog"])
@pytest.mark.parametrize("kind", ["Ridgeline", "Heatmap"])
def test_counts_are_linear_or_logarithmic(look: Look, kind: str, counts: str) -> None:
    page = look(f"{RUN}?histogram={kind.lower()}")
    for canvas in (page.locator(".ridges canvas").first, page.locator(".bars canvas").first):
        assert is_drawn(canvas)
    canvas = page.locator(".ridges canvas").first
    linear = picture(canvas)
    group = page.get_by_role("group", name="Counts")
    group.get_by_role("button", name=counts, exact=True).click()
    assert changes(canvas, linear)
    group.get_by_role("button", name="Linear").click()
    assert becomes(canvas, linear)


def test_quantiles_follow_from_the_bins(look: Look) -> None:
    page = look(f"{RUN}?histogram=quantiles&tower=query")
    figure = page.locator("figure.chart").filter(has=page.get_by_text("median"))
    assert is_drawn(figure.locator("canvas"))
    figure.locator("summary").click()
    rows = cells(figure)
    data = histogram(page, "weights", "query")
    assert [int(row[0]) for row in rows] == data["epochs"]
    for row, edges, counts in zip(rows, data["bin_edges_by_epoch"], data["counts"], strict=True):
        wanted = [quantile(edges, counts, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
        assert [float(cell) for cell in row[1:]] == pytest.approx(wanted)
        assert wanted == sorted(wanted)
    figure.locator(".plot").focus()
    page.keyboard.press("Home")
    expect(page.locator("#training .at").first).to_have_text("epoch 0")
    screenshot(page, "quantiles")


def quantile(edges: list[float], counts: list[float], share: float) -> float:
    left = share * sum(counts)
    for bin, count in enumerate(counts):
        if left <= count:
            return edges[bin] + (edges[bin + 1] - edges[bin]) * left / count
        left -= count
    return edges[-1]


def test_the_epochs_play_and_pause_by_keyboard(look: Look) -> None:
    page = look(f"{RUN}?epoch=2")
    chosen = page.locator(".scrub output")
    expect(chosen).to_have_text("2 of 19")
    page.get_by_role("combobox", name="Epochs per second").select_option("20")
    page.get_by_role("button", name="Play").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    expect(chosen).not_to_have_text("2 of 19")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Play")).to_be_focused()
    stopped = chosen.inner_text()
    page.wait_for_timeout(300)
    expect(chosen).to_have_text(stopped)
    page.keyboard.press("Enter")
    expect(chosen).to_have_text("19 of 19")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.keyboard.press("Enter")  # from the start again
    expect(chosen).not_to_have_text("19 of 19")


def test_reduced_motion_has_no_choice_of_speed(look: Look) -> None:
    page = look(RUN)
    speed = page.locator(".player select")
    expect(speed).to_be_visible()
    page.emulate_media(reduced_motion="reduce")
    expect(speed).to_be_hidden()


def test_going_through_the_epochs_of_a_longer_run_brings_every_one(look: Look, site: Site) -> None:
    site.seed("warm", run_id="scrubbed", epochs=100)
    page = look("/runs/scrubbed/?tower=query")
    summary = page.locator("figure.panel .summary").last
    expect(summary).to_contain_text("of 100 epochs")
    assert "100 of 100" not in summary.inner_text()
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    expect(summary).to_contain_text("100 of 100 epochs")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 99")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".scrub output")).to_have_text("98 of 99")
