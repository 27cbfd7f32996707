"""Runs as PyTorch's loops log them: what matters is first, numbers are MLflow's, the machine is last."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import LAYOUT_SHIFT, chart, is_drawn, screenshots

Look = Callable[..., Page]
KINDS = {"training": 20_000, "layers": 20_000, "lightning": 5000, "resumed": 300}


@pytest.fixture(scope="module")
def torch(site: Site) -> Site:
    """The site with one run of each kind."""
    for logged, size in KINDS.items():
        site.seed("warm", kind="Framework", run_id=f"torch-{logged}", logged=logged, size=size, name=f"torch-{logged}")
    return site


def told(page: Page, run: str) -> Any:
    return page.request.get(f"/api/runs/{run}/summaries/").json()


def titles(page: Page, section: str) -> list[str]:
    found = page.locator(f"#{section} figure").get_by_role("heading")
    expect(found.first).to_be_visible()
    return found.all_text_contents()


@pytest.mark.parametrize("logged", ["training", "layers"])
def test_the_first_chart_is_the_loss_with_its_validation(look: Look, torch: Site, logged: str) -> None:
    page = look(f"/runs/torch-{logged}/")
    assert titles(page, "training")[:3] == ["loss", "val/acc1", "train/lr"]
    figure = chart(page, "loss")
    assert is_drawn(figure.locator("canvas"))
    names = figure.locator(".legend button").all_inner_texts()
    assert [name.split()[0] for name in names] == ["train/loss", "val/loss"]
    expect(figure).to_be_in_viewport()


def test_a_catalogued_name_stays_with_the_other_sides_of_its_metric(look: Look, torch: Site) -> None:
    page = look("/runs/torch-lightning/")
    assert titles(page, "training") == ["loss", "val_acc", "lr-Adam"]
    figure = chart(page, "loss")
    assert is_drawn(figure.locator("canvas"))
    swatches = figure.locator(".legend i").evaluate_all("all => all.map(one => one.dataset.color)")
    assert swatches == ["ember", "teal", "blue"]
    names = figure.locator(".legend button").all_inner_texts()
    assert [name.split()[0] for name in names] == ["train_loss_epoch", "train_loss_step", "val_loss"]
    expect(page.locator(".tile dt").first).to_have_text("best val_loss")


def test_the_first_charts_are_in_the_page(look: Look, torch: Site) -> None:
    page = look("/sign-in/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/runs/torch-training/")
    for title in ("loss", "val/acc1", "train/lr"):
        assert is_drawn(chart(page, title).locator("canvas"))
    assert not [url for url in asked if "/api/" in url and "metrics/1" not in url]


def test_headline_numbers_are_those_of_all_points(look: Look, torch: Site) -> None:
    page = look("/runs/torch-training/")
    expect(page.locator(".tile")).to_have_count(5)
    tiles = {
        tile.locator("dt").inner_text(): (tile.locator("b").get_attribute("title"), tile.locator("span").inner_text())
        for tile in page.locator(".tile").all()
    }
    metrics = told(page, "torch-training")["metrics"]

    def at(point: dict[str, Any]) -> tuple[str, str]:
        return json.dumps(point["value"]), f"step {point['step']}"

    assert tiles == {
        "best val/loss": at(metrics["val/loss"]["min"]),
        "last val/loss": at(metrics["val/loss"]["last"]),
        "last train/loss": at(metrics["train/loss"]["last"]),
        "best val/acc1": at(metrics["val/acc1"]["max"]),
        "last val/acc1": at(metrics["val/acc1"]["last"]),
    }
    expect(page.locator(".facts")).to_contain_text("20,000 steps")
    words = chart(page, "loss").locator(".summary")
    peak = metrics["train/loss"]
    expect(words).to_contain_text(f"train/loss {peak['first']['value']:.4g} → {peak['last']['value']:.4g}, min ")
    expect(words).to_contain_text(f"at step {peak['min']['step']}. 2 values are not finite.")


@pytest.mark.parametrize("logged", ["training", "layers"])
def test_the_machine_is_a_section_of_its_own_and_last(look: Look, torch: Site, logged: str) -> None:
    page = look(f"/runs/torch-{logged}/")
    page.locator("#system").scroll_into_view_if_needed()
    found = titles(page, "system")
    assert len(found) == 12
    assert found.index("system/gpu_0_utilization_percentage") < found.index("system/gpu_10_utilization_percentage")
    assert is_drawn(page.locator("#system canvas").first)
    shown = page.locator("section:visible:has(figure)").evaluate_all("all => all.map(one => one.id)")
    assert shown[0] == "training"
    assert shown[-1] == "system"
    assert not [title for title in titles(page, "training") if title.startswith("system/")]


def test_a_search_finds_each_of_many_metrics(look: Look, torch: Site) -> None:
    page = look("/runs/torch-layers/")
    expect(page.locator("#metrics")).to_contain_text("224 metrics in 56 groups")
    page.get_by_role("searchbox").fill("layers.40")
    expect(page.get_by_text("4 of 224 metrics")).to_be_visible()
    assert is_drawn(page.locator("#metrics canvas").first)


def test_earlier_parts_are_faint_and_a_counted_axis_counts_points(look: Look, torch: Site) -> None:
    page = look("/runs/torch-resumed/")
    loss, score = chart(page, "train/loss"), chart(page, "val/score")
    assert is_drawn(loss.locator("canvas"))
    expect(loss.locator(".summary")).to_contain_text("began again: an earlier part is faint.")
    expect(loss.locator(".summary")).to_contain_text("5 points are not drawn: replaced later.")
    score.scroll_into_view_if_needed()
    assert is_drawn(score.locator("canvas"))
    expect(score.locator(".at")).to_contain_text("point 39")
    expect(score.locator(".summary")).to_contain_text("All points are of step 0, drawn by time.")
    for mode in ("Clock", "Elapsed"):
        page.get_by_role("button", name=mode).click()
        expect(score.locator(".at")).to_contain_text("point 39 · ")
        assert is_drawn(score.locator("canvas"))
        assert is_drawn(loss.locator("canvas"))


def test_an_infinite_value_is_shown_as_such(look: Look, torch: Site) -> None:
    page = look("/runs/torch-resumed/")
    expect(page.locator("#final tbody tr")).to_have_text(re.compile("^test/loss∞$"))
    expect(page.locator(".tile", has_text="test/loss").locator("b")).to_have_text("∞")


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("logged", list(KINDS))
def test_nothing_shifts_and_nothing_scrolls_sideways(look: Look, torch: Site, logged: str, width: int) -> None:
    page = look("/", width=width)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto(f"/runs/torch-{logged}/")
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    page.wait_for_timeout(300)
    for place in range(0, page.evaluate("document.documentElement.scrollHeight"), 600):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.shifted") < 0.01
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(200)
    screenshots(page, f"torch-{logged}-{width}")
