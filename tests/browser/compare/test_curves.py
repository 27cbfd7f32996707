"""Curves of several runs on one chart: by step or elapsed time, of few runs and many."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.compare.parts import THREE, TWELVE, Look, chip, colour, compared, parameters, row
from tests.browser.conftest import Site
from tests.chromium import cells, chart, is_drawn, screenshot
from warmboard.contract.entries import Tower


def test_three_runs_lie_over_each_other(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    expect(page.locator(".epochs .tabular")).to_have_text("135 of 135 epochs in 3 runs")
    assert len({colour(page, f"search {seed}") for seed in range(3)}) == 3
    for metric in ("val_loss", "loss", "val_recall_at_10"):
        figure = chart(page, metric)
        figure.scroll_into_view_if_needed()
        assert is_drawn(figure.locator("canvas"))
        expect(figure.locator(".legend button")).to_have_count(3)
        for seed in range(3):
            expect(figure.locator(".summary")).to_contain_text(f"search {seed}")


def test_a_table_stays_open_when_its_chart_is_rebuilt(look: Look) -> None:
    page = look(THREE)
    figure = chart(page, "val_loss")
    figure.locator("summary").click()
    cells(figure)
    page.get_by_role("button", name="Elapsed").click()
    expect(figure.locator("thead th").first).to_have_text(re.compile("second", re.IGNORECASE))


def test_curves_are_aligned_by_step(look: Look) -> None:
    page = look(THREE)
    figure = chart(page, "val_loss")
    figure.locator("summary").click()
    expect(page.locator(".epochs .tabular")).to_have_text("135 of 135 epochs in 3 runs")
    table = cells(figure)
    histories = [
        page.request.get(f"/api/runs/search{seed}/training-history/?resolution=full").json() for seed in range(3)
    ]
    assert [int(line[0]) for line in table] == sorted({epoch for history in histories for epoch in history["epochs"]})
    for column, history in enumerate(histories, 1):
        found = {int(line[0]): float(line[column]) for line in table if line[column]}
        assert found == dict(zip(history["epochs"], history["loss"]["val"], strict=True))


def test_time_is_counted_from_each_run_s_start(look: Look) -> None:
    page = look(THREE)
    page.get_by_role("button", name="Elapsed").click()
    figure = chart(page, "val_loss")
    expect(figure.locator(".at")).to_have_text("second 150")
    figure.locator("summary").click()
    assert [float(line[0]) for line in cells(figure)][:2] == [3.0, 6.0]


def test_a_hidden_run_is_hidden_in_every_chart(look: Look) -> None:
    page = look(THREE)
    button = chart(page, "loss").get_by_role("button", name="search 1")
    button.click()
    expect(chart(page, "val_loss").get_by_role("button", name="search 1")).to_have_attribute("aria-pressed", "false")
    expect(chip(page, "search 1")).to_have_attribute("data-level", "hidden")
    assert parameters(page)["hidden"] == "1"
    chip(page, "search 1").get_by_role("button", name="search 1", exact=True).click()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_running_runs_are_followed(look: Look, site: Site) -> None:
    fields: dict[str, Any] = {"kind": "Varied", "run_id": "goes-on", "name": "goes on", "seed": 21, "status": "RUNNING"}
    site.seed("warm", epochs=30, **fields)
    page = look("/compare/?runs=search0,goes-on")
    page.evaluate("window.sameDocument = true")
    expect(row(page, "epochs").locator("td").nth(1)).to_contain_text("30")
    plot = chart(page, "val_loss").locator(".plot")
    plot.focus()
    site.seed("put", epochs=50, **fields)
    expect(row(page, "epochs").locator("td").nth(1)).to_contain_text("50")
    expect(chart(page, "val_loss").locator(".at")).to_have_text("epoch 49")
    expect(plot).to_be_focused()
    assert page.evaluate("window.sameDocument")


def test_runs_of_other_frameworks_compare_too(look: Look, site: Site) -> None:
    for seed in (1, 2):
        site.seed(
            "warm", kind="Framework", run_id=f"torch{seed}", logged="steps", size=2000, seed=seed, name=f"torch {seed}"
        )
    page = look("/compare/?runs=torch1,torch2")
    expect(page.locator("figure.chart")).to_have_count(3)
    assert is_drawn(chart(page, "train/loss").locator("canvas"))
    expect(chart(page, "train/loss").locator(".at")).to_contain_text("step 1999")
    expect(page.locator("#histograms")).to_be_hidden()


def test_any_other_metric_is_compared_once_it_is_chosen(look: Look, site: Site) -> None:
    for seed in (1, 2):
        fields: dict[str, Any] = {
            "run_id": f"many{seed}",
            "name": f"batches {seed}",
            "logged": "batches",
            "size": 5000,
            "seed": seed,
        }
        site.seed("warm", kind="Framework", **fields)
    page = look("/compare/?runs=many1,many2,search1&metrics=loss")
    expect(page.locator("figure.chart").first).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    curves = page.locator("#curves")
    curves.locator(".chooser > summary").click()
    box = curves.get_by_role("checkbox", name="batch/loss 2 of 3 runs")
    box.check()
    loss = chart(page, "batch/loss")
    expect(loss.locator(".legend button")).to_have_count(2)
    expect(loss.locator(".at")).to_contain_text("step 4999")
    assert len([url for url in asked if "/metrics/" in url]) == 2, "of each run the part that has it"
    expect(page).to_have_url(re.compile("metrics=.*batch%252Floss"))
    other = look(page.url)
    loss = chart(other, "batch/loss")
    expect(loss.locator(".legend button")).to_have_count(2)
    loss.scroll_into_view_if_needed()
    assert is_drawn(loss.locator("canvas"))
    other.locator("#curves .chooser > summary").click()
    other.locator("#curves").get_by_role("checkbox", name="batch/loss").uncheck()
    expect(loss).to_have_count(0)


def test_fifty_runs_are_drawn_where_one_looks(look: Look, site: Site) -> None:
    seeds = range(100, 150)
    site.seed_all("warm", [{"run_id": f"fifty{seed}", "seed": seed, "epochs": 100} for seed in seeds], kind="Varied")
    statistics = [
        f"{tower}_{what}_{name}"
        for tower in Tower
        for what in ("weights", "grad")
        for name in ("mean", "std", "min", "max")
    ]
    page = look(f"/compare/?runs={','.join(f'fifty{seed}' for seed in seeds)}&metrics=val_loss,{','.join(statistics)}")
    expect(page.locator(".compared li")).to_have_count(50)
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    expect(page.locator("figure.chart")).to_have_count(17)
    assert page.locator("figure.chart canvas").count() < 12
    expect(page.locator(".matrix.by-rows tbody tr")).to_have_count(50)
    screenshot(page, "compare-fifty")


def test_long_runs_are_overviews_until_every_epoch_is_asked_for(look: Look, site: Site) -> None:
    site.seed_all("warm", [{"run_id": f"long{seed}", "seed": seed, "epochs": 1300} for seed in (1, 2)], kind="Varied")
    page = look("/compare/?runs=long1,long2")
    expect(page.locator(".epochs")).to_contain_text("of 2,600 epochs in 2 runs; bands show min and max in between")
    figure = chart(page, "val_loss")
    histories = [run["history"] for run in compared(page, "long1,long2")]
    figure.locator("summary").click()
    table = cells(figure)
    assert [int(line[0]) for line in table] == sorted({epoch for history in histories for epoch in history["epochs"]})
    for column, history in enumerate(histories, 1):
        found = {int(line[0]): float(line[column]) for line in table if line[column]}
        assert found == dict(zip(history["epochs"], history["loss"]["val"], strict=True))
    page.get_by_role("button", name="Every epoch").click()
    expect(page.locator(".epochs .tabular")).to_have_text("2,600 of 2,600 epochs in 2 runs")
    assert len(cells(figure)) == 1300
    assert parameters(page)["detail"] == "full"


@pytest.mark.parametrize("query", ["", "&y-scale=log"])
def test_many_runs_are_told_of_in_one_sentence_whatever_the_axis(look: Look, query: str) -> None:
    page = look(TWELVE + query)
    figure = chart(page, "val_loss")
    expect(figure.locator(".u-over")).to_be_visible()
    expect(figure.locator(".summary")).to_contain_text("12 runs end between")
    page.keyboard.press("y")
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "false" if query else "true")
    expect(figure.locator(".summary")).to_contain_text("12 runs end between")


def test_the_first_charts_are_the_main_ones_of_any_framework(look: Look, site: Site) -> None:
    """Not those alone whose names the two-tower catalogue has too."""
    for seed in (1, 2):
        for logged in ("scored", "training"):
            site.seed("warm", kind="Framework", run_id=f"{logged}{seed}", logged=logged, size=2000, seed=seed)

    def titles(runs: str) -> Locator:
        return look(f"/compare/?runs={runs}").locator("figure.chart h3")

    # The values of metrics outside the two-tower catalogue are read after the page is there.
    keras = ["loss", "val_loss", "accuracy", "val_accuracy"]
    torch = ["train/loss", "val/loss", "val/acc1", "train/lr"]
    scored = titles("scored1,scored2")
    for place, name in enumerate(keras):
        expect(scored.nth(place)).to_have_text(name)
    expect(titles("training1,training2")).to_have_text(torch)
    both = titles("training1,training2,scored1,scored2")
    expect(both).to_have_count(len(keras + torch))
    assert set(both.all_inner_texts()) == {*keras, *torch}
    expect(titles("search0,search1").first).to_have_text("val_loss")
    expect(titles("search0,search1,training1,training2").get_by_text("train/loss", exact=True)).to_be_visible()
