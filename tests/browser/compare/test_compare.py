"""Comparing runs as a person does: look, point, brush, scrub, choose a baseline, and send the link to somebody."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.chromium import LAYOUT_SHIFT, cells, changes, chart, is_drawn, picture, screenshot
from warmboard.contract.entries import Tower

Look = Callable[..., Page]
THREE = "/compare/?runs=search0,search1,search2"
TWELVE = f"/compare/?runs={','.join(f'search{seed}' for seed in range(12))}"
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module", autouse=True)
def searched(site: Site) -> None:
    """Twelve runs of one search."""
    runs = [{"run_id": f"search{s}", "name": f"search {s}", "seed": s, "epochs": 40 + 5 * s} for s in range(12)]
    site.seed_all("warm", runs, kind="Varied")


def chip(page: Page, name: str) -> Locator:
    return page.locator(".compared li").filter(has=page.get_by_role("button", name=name, exact=True))


def colour(page: Page, name: str) -> str:
    return str(chip(page, name).locator(".line-swatch").evaluate("swatch => getComputedStyle(swatch).color"))


def row(page: Page, field: str) -> Locator:
    return page.locator(".matrix tbody tr").filter(has=page.get_by_role("rowheader", name=field, exact=True))


def parameters(page: Page) -> dict[str, str]:
    """Of the address, once it holds what the page shows."""
    page.wait_for_timeout(400)
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def compared(page: Page, runs: str) -> list[Any]:
    return list(page.request.get(f"/api/compare?runs={runs}").json()["runs"])


def test_three_runs_lie_over_each_other(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    expect(page.locator(".epochs .tabular")).to_have_text("135 of 135 epochs")
    assert len({colour(page, f"search {seed}") for seed in range(3)}) == 3
    for metric in ("val_loss", "loss", "val_recall_at_10"):
        figure = chart(page, metric)
        figure.scroll_into_view_if_needed()
        assert is_drawn(figure.locator("canvas"))
        expect(figure.locator(".legend button")).to_have_count(3)
        for seed in range(3):
            expect(figure.locator(".summary")).to_contain_text(f"search {seed}")


def test_curves_are_aligned_by_step(look: Look) -> None:
    page = look(THREE)
    figure = chart(page, "val_loss")
    figure.locator("summary").click()
    expect(page.locator(".epochs .tabular")).to_have_text("135 of 135 epochs")
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


def test_only_differences_and_a_baseline(look: Look) -> None:
    page = look(THREE)
    expect(row(page, "batch_size")).to_be_visible()
    page.get_by_label("Only differences").check()
    expect(row(page, "batch_size")).to_have_count(0)
    expect(row(page, "learning_rate")).to_be_visible()
    runs = compared(page, "search0,search1,search2")
    recalls = [run["final_metrics"]["test_recall_at_100"] for run in runs]
    recall = row(page, "test_recall_at_100").locator("td")
    expect(recall.nth(recalls.index(max(recalls))).locator(".best")).to_be_visible()
    expect(row(page, "test_recall_at_100").locator(".best")).to_have_count(1)
    losses = [run["final_metrics"]["test_loss"] for run in runs]
    expect(row(page, "test_loss").locator("td").nth(losses.index(min(losses))).locator(".best")).to_be_visible()
    expect(row(page, "weight_norm").locator(".best")).to_have_count(0)
    page.get_by_label("Baseline: search 1").check()
    expect(recall.nth(1).locator(".delta")).to_have_count(0)
    change = recalls[2] - recalls[1]
    delta = recall.nth(2).locator(".delta")
    expect(delta).to_have_class("delta better" if change > 0 else "delta worse")
    expect(delta).to_contain_text("+" if change > 0 else MINUS)
    expect(delta).to_contain_text(f"{abs(100 * change / recalls[1]):.3g} %")
    loss = row(page, "test_loss").locator("td").nth(2).locator(".delta")
    expect(loss).to_have_class("delta better" if losses[2] < losses[1] else "delta worse")


def test_runs_as_rows_are_sorted_by_any_field(look: Look) -> None:
    page = look(TWELVE)
    runs = compared(page, TWELVE.partition("=")[2])
    by_recall = sorted(runs, key=lambda run: -run["final_metrics"]["test_recall_at_10"])
    names = page.locator(".matrix tbody th a")
    header = page.locator(".matrix thead th").filter(
        has=page.get_by_role("button", name="test_recall_at_10", exact=True)
    )
    for order, wanted in (("descending", by_recall), ("ascending", by_recall[::-1]), (None, runs)):
        button = header.get_by_role("button")
        button.focus()
        page.keyboard.press("Enter")
        expect(names).to_have_text([run["name"] for run in wanted])
        expect(button).to_be_focused()
        assert header.get_attribute("aria-sort") == order


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
    expect(histograms.get_by_text("search 0 is shown at epoch 39, the nearest that it keeps.")).to_be_visible()
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


def test_a_run_that_is_removed_takes_no_colour_of_others(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    kept = {name: colour(page, name) for name in ("search 0", "search 2")}
    gone = colour(page, "search 1")
    page.get_by_role("button", name="Remove search 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 runs")
    assert {name: colour(page, name) for name in kept} == kept
    assert parameters(page) == {"runs": "search0,search2", "slots": "0,2"}
    page.reload()
    expect(page.locator(".compared li")).to_have_count(2)
    assert {name: colour(page, name) for name in kept} == kept
    page.get_by_text("Add a run", exact=True).click()
    page.get_by_role("combobox", name="Search runs to add").fill("search 7")
    page.get_by_role("option", name="search 7").click()
    expect(page.locator(".compared li")).to_have_count(3)
    assert colour(page, "search 7") == gone, "the place that is free is taken"
    assert parameters(page)["runs"] == "search0,search2,search7"
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("search 7")


def test_any_run_is_found_and_added_by_keyboard(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    page.get_by_text("Add a run", exact=True).focus()
    page.keyboard.press("Enter")
    field = page.get_by_role("combobox", name="Search runs to add")
    expect(field).to_be_focused()
    page.keyboard.type("search and param.seed > 3 and param.seed < 6")
    options = page.locator("#found-runs > li")
    expect(options).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    marked = page.locator("#found-runs > [aria-selected=true]")
    assert field.get_attribute("aria-activedescendant") == marked.get_attribute("id")
    name = marked.locator("span").first.inner_text()
    page.keyboard.press("Enter")
    expect(chip(page, name)).to_be_visible()
    expect(field).to_be_focused()
    expect(options).to_have_count(1)
    field.fill("param.seed >")
    expect(page.get_by_text("No run can be found so: ")).to_be_visible()
    field.fill("no such run")
    expect(page.get_by_text("No other run meets this.")).to_be_visible()
    expect(field).to_have_attribute("aria-expanded", "false")
    for word in ("adagrad", "not-yet-announced", "abcdef"):
        field.fill(word)
        page.wait_for_timeout(500)
        expect(options).to_have_count(0)
    field.fill("0123456789abcdef")
    expect(options).to_contain_text("by its run ID")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Add a run", exact=True)).to_be_focused()


def test_whoever_opens_the_link_sees_the_same(look: Look) -> None:
    page = look(TWELVE)
    expect(page.locator(".compared li")).to_have_count(12)
    page.get_by_role("button", name="search 5", exact=True).first.click()
    page.locator("#curves").get_by_role("button", name="Log y").click()
    page.get_by_role("slider", name="Smoothing").fill("0.6")
    page.locator("#curves .chooser > summary").click()
    page.locator("#curves").get_by_role("checkbox", name="val_recall_at_100").uncheck()
    page.keyboard.press("Escape")
    page.get_by_label("Only differences").check()
    page.get_by_role("button", name="Runs as columns").click()
    page.get_by_label("Baseline: search 4").check()
    handle = page.get_by_role("slider", name="test_recall_at_5, lowest")
    handle.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    page.get_by_role("combobox", name="Up").select_option(label="test_loss")
    page.locator("#histograms").scroll_into_view_if_needed()
    slider = page.get_by_role("slider", name="Epoch", exact=True)
    expect(slider).to_have_attribute("aria-valuetext", "epoch 54")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Overlaid").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    link = str(page.evaluate("navigator.clipboard.readText()"))
    other = look(link)
    other.locator("#histograms").scroll_into_view_if_needed()
    expect(other.get_by_role("slider", name="Epoch", exact=True)).to_have_attribute(
        "aria-valuetext", slider.get_attribute("aria-valuetext") or ""
    )
    view = """() => ({
        titles: [...document.querySelectorAll("figure.chart h3")].map(title => title.textContent),
        levels: [...document.querySelectorAll(".compared li")].map(chip => chip.dataset.level),
        pressed: [...document.querySelectorAll("[aria-pressed=true]")].map(button => button.textContent),
        values: [...document.querySelectorAll("input, select")].filter(input => input.type !== "search")
            .map(input => /radio|checkbox/.test(input.type) ? input.checked : input.value),
        table: document.querySelector(".matrix").innerText,
        points: [...document.querySelectorAll(".point")].map(point => point.getAttribute("transform")),
    })"""
    for one in (page, other):
        one.mouse.move(0, 0)
        one.evaluate("document.activeElement.blur()")
    assert other.evaluate(view) == page.evaluate(view)
    assert "hidden" in page.evaluate(view)["levels"]
    assert "dim" in page.evaluate(view)["levels"]


def test_a_hidden_run_is_hidden_in_every_chart(look: Look) -> None:
    page = look(THREE)
    button = chart(page, "loss").get_by_role("button", name="search 1")
    button.click()
    expect(chart(page, "val_loss").get_by_role("button", name="search 1")).to_have_attribute("aria-pressed", "false")
    expect(chip(page, "search 1")).to_have_attribute("data-level", "hidden")
    assert parameters(page)["hidden"] == "1"
    chip(page, "search 1").get_by_role("button", name="search 1", exact=True).click()
    expect(button).to_have_attribute("aria-pressed", "true")


def test_what_is_not_warm_is_told_and_appears(look: Look, site: Site) -> None:
    fields: dict[str, Any] = {"kind": "Varied", "run_id": "arrives", "name": "arrives", "seed": 20}
    site.seed(
        "announce",
        kind="Varied",
        run_id="broken",
        name="broken",
        arguments={"state": "failed", "reason": "MLflow is away"},
    )
    site.seed("announce", **fields)
    page = look("/compare/?runs=search0,arrives,broken,nobody")
    expect(page.get_by_text("3 of 4 runs are not warm")).to_be_visible()
    expect(page.locator(".not-warm .reason")).to_have_text("MLflow is away")
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    screenshot(page, "compare-partly-warm")
    site.seed("put", **fields)
    expect(page.get_by_text("2 of 4 runs are not warm")).to_be_visible(timeout=15_000)
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("arrives")


def test_none_is_warm(look: Look) -> None:
    page = look("/compare/?runs=nobody1,nobody2")
    expect(page.get_by_role("heading", name="None of these runs is warm yet")).to_be_visible()
    screenshot(page, "compare-cold")


def test_running_runs_are_followed(look: Look, site: Site) -> None:
    fields: dict[str, Any] = {"kind": "Varied", "run_id": "goes-on", "name": "goes on", "seed": 21, "status": "RUNNING"}
    site.seed("warm", epochs=30, **fields)
    page = look("/compare/?runs=search0,goes-on")
    page.evaluate("window.sameDocument = true")
    expect(row(page, "epochs").locator("td").nth(1)).to_contain_text("30")
    plot = chart(page, "val_loss").locator(".plot")
    plot.focus()
    site.seed("put", epochs=50, **fields)
    expect(row(page, "epochs").locator("td").nth(1)).to_contain_text("50", timeout=15_000)
    expect(chart(page, "val_loss").locator(".at")).to_have_text("epoch 49")
    expect(plot).to_be_focused()
    assert page.evaluate("window.sameDocument")


@pytest.mark.parametrize("query", ["", "?runs=search3"])
def test_with_too_few_runs_the_page_says_how_to_choose(look: Look, query: str) -> None:
    page = look(f"/compare/{query}")
    expect(page.get_by_text("by conditions such as param.optimizer = adam")).to_be_visible()
    screenshot(page, f"compare-choose{len(query)}")
    search = page.get_by_role("combobox", name="Search runs to add")
    for name in ("search 1", "search 2"):
        search.fill(name)
        page.get_by_role("option", name=name).first.click()
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("search 2")
    search.fill("0123456789abcdef")
    page.get_by_role("option", name="0123456789abcdef").click()
    expect(chip(page, "0123456789abcdef").locator(".state")).to_have_text("not announced")


def test_the_table_and_all_of_it_as_files(look: Look, tmp_path: Path) -> None:
    page = look(THREE)
    runs = compared(page, "search0,search1,search2")
    for kind in ("CSV", "JSON"):
        with page.expect_download() as caught:
            page.get_by_role("button", name=kind, exact=True).click()
        caught.value.save_as(tmp_path / kind)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "CSV").read_text())))
    assert [line["run_id"] for line in lines] == ["search0", "search1", "search2"]
    for line, run in zip(lines, runs, strict=True):
        assert line["param.query_hist_bin_edges"] == run["params"]["query_hist_bin_edges"]
        assert float(line["metric.test_loss"]) == run["final_metrics"]["test_loss"]
    assert json.loads((tmp_path / "JSON").read_text())["runs"] == runs


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
    page = look("/compare/?runs=many1,many2,search1")
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
    assert len([url for url in asked if "/metrics/" in url]) == 4, "two indexes, and of each run the part that has it"
    expect(page).to_have_url(re.compile("metrics=.*batch%252Floss"))
    other = look(page.url)
    loss = chart(other, "batch/loss")
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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("runs", [3, 12])
def test_nothing_shifts_and_nothing_scrolls_sideways(look: Look, runs: int, width: int, theme: str) -> None:
    page = look("/compare/", width=width, theme=theme)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto(THREE if runs == 3 else TWELVE)
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    for place in range(0, page.evaluate("document.documentElement.scrollHeight"), 500):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(60)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.movers") == []
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(200)
    screenshot(page, f"compare-{runs}-{width}-{theme}")


WHOLE_ROWS = """list => {
    const box = list.getBoundingClientRect();
    return [...list.children].map(one => one.getBoundingClientRect())
        .every(({top, bottom}) => bottom <= box.bottom + 1 || top >= box.bottom - 1);
}"""
ALL_IN_VIEW = "list => list.scrollHeight <= list.clientHeight + 1"


@pytest.mark.parametrize("width", [360, 1400])
def test_up_to_twelve_runs_are_all_named(look: Look, width: int) -> None:
    page = look(TWELVE, width=width)
    expect(page.locator(".compared li")).to_have_count(12)
    expect(chart(page, "val_loss").locator(".legend button")).to_have_count(12)
    for names in (page.locator(".compared"), chart(page, "val_loss").locator(".legend")):
        assert names.evaluate(ALL_IN_VIEW)
    expect(page.locator(".all-runs:visible")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 1400])
def test_of_many_runs_whole_rows_are_shown_and_all_when_asked(look: Look, site: Site, width: int) -> None:
    seeds = range(200, 230)
    site.seed_all(
        "warm", [{"run_id": f"thirty{s}", "seed": s, "name": f"a longer name of run {s}"} for s in seeds], "Varied"
    )
    page = look(f"/compare/?runs={','.join(f'thirty{seed}' for seed in seeds)}", width=width)
    expect(chart(page, "val_loss").locator(".legend button")).to_have_count(30)
    for box in (page.locator(".picker"), chart(page, "val_loss")):
        names = box.locator(".whole-rows")
        assert not names.evaluate(ALL_IN_VIEW)
        assert names.evaluate(WHOLE_ROWS)
        box.get_by_role("button", name="all 30").click()
        assert names.evaluate(ALL_IN_VIEW)
        box.get_by_role("button", name="fewer").click()
        assert not names.evaluate(ALL_IN_VIEW)


def test_on_a_phone_names_of_one_program_are_told_apart(look: Look, site: Site) -> None:
    names = [f"quick-test-20261126-13452{s}-with-a-long-name-{s}" for s in range(2)]
    site.seed_all("warm", [{"run_id": f"alike{s}", "seed": s, "name": name} for s, name in enumerate(names)], "Varied")
    page = look("/compare/?runs=alike0,alike1", width=360)
    inside = """name => {
        const box = name.closest("button").getBoundingClientRect();
        const end = name.lastElementChild.getBoundingClientRect();
        return end.width > 0 && end.right <= box.right + 1 && end.right <= innerWidth;
    }"""
    for place in (".compared", "figure.chart:first-child .legend"):
        cut = page.locator(place).locator(".cut")
        expect(cut).to_have_text(names)
        for i in range(2):
            assert cut.nth(i).evaluate(inside)


def test_the_table_keeps_names_whole_and_long_values_short(look: Look) -> None:
    page = look(THREE)
    expect(row(page, "final_val_loss")).to_be_visible()
    for field in ("learning_rate", "final_val_loss"):
        name = row(page, field).locator(".field-name")
        assert name.evaluate("name => name.getBoundingClientRect().height") < 30
    numbers = row(page, "test_loss").locator("td .value")
    ends = [
        numbers.nth(i).evaluate("n => n.closest('td').getBoundingClientRect().right - n.getBoundingClientRect().right")
        for i in range(3)
    ]
    assert max(ends) < 14, "numbers stand at the right"
    names = page.locator(".matrix tbody").first.locator("th[scope=row]").all_inner_texts()
    assert [name.endswith("hist_bin_edges") for name in names] == sorted(
        name.endswith("hist_bin_edges") for name in names
    )
    long = row(page, "query_hist_bin_edges").locator(".long").first
    whole = compared(page, "search0,search1,search2")[0]["params"]["query_hist_bin_edges"]
    assert (
        long.evaluate("long => [long.clientWidth <= 200, long.scrollWidth > long.clientWidth, long.clientHeight < 30]")
        == [True] * 3
    )
    assert long.evaluate("long => long.parentElement.title || long.title") == whole
    long.focus()
    assert long.evaluate("long => long.scrollWidth <= long.clientWidth && long.clientHeight > 30")


@pytest.mark.parametrize("layout", ["columns", "rows"])
def test_the_table_goes_to_its_metrics(look: Look, layout: str) -> None:
    page = look(f"{THREE}&layout={layout}")
    box = page.get_by_role("region", name="Parameters and metrics of the runs")
    page.get_by_role("group", name="Go to").get_by_role("button", name="Metrics").click()
    assert box.evaluate("box => box.scrollTop + box.scrollLeft") > 100
    head = box.locator("[data-group=Metrics]")
    corner = box.locator("thead tr:last-child > :first-child").bounding_box()
    found = head.bounding_box()
    assert corner
    assert found
    if layout == "rows":
        assert abs(found["x"] - corner["x"] - corner["width"]) < 2
        heights = box.locator("tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")
        assert max(heights) < 50
    else:
        assert abs(found["y"] - corner["y"] - corner["height"]) < 2


def test_keys_change_the_view_and_a_sheet_lists_them(look: Look) -> None:
    page = look(THREE)
    expect(chart(page, "val_loss").locator(".at")).to_have_text("epoch 49")
    for key in ("y", "x", "t", "s"):
        page.keyboard.press(key)
    # Charts of another axis are others, which are drawn when they are seen to be in view.
    expect(chart(page, "val_loss").locator(".at")).to_contain_text("second")
    expect(chart(page, "val_loss").locator(".u-over")).to_be_visible()
    for key in ("+", "d"):
        page.keyboard.press(key)
    found = parameters(page)
    zoom = found.pop("zoom.seconds")
    assert found == {
        "runs": "search0,search1,search2",
        "y-scale": "log",
        "x-scale": "log",
        "x": "relative",
        "smooth": "ema-0.6",
        "differences": "1",
    }
    page.keyboard.press("-")
    assert parameters(page).get("zoom.seconds") != zoom
    page.keyboard.press("0")
    assert "zoom.seconds" not in parameters(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard and mouse")
    expect(sheet).to_contain_text("Only what differs in the table")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(sheet).to_be_visible()


def exported(page: Page, title: str, kind: str, path: Path) -> str:
    button = page.get_by_role("button", name=f"Export {title}", exact=True)
    button.scroll_into_view_if_needed()
    button.click()
    with page.expect_download() as caught:
        page.get_by_role("group", name=f"Export {title}", exact=True).get_by_text(kind).click()
    caught.value.save_as(path)
    assert caught.value.suggested_filename.endswith(f".{kind.lower()}")
    return path.read_text() if kind != "PNG" else ""


def test_drawn_parts_are_exported(look: Look, tmp_path: Path) -> None:
    page = look(f"{THREE}&bins=over")
    runs = compared(page, "search0,search1,search2")
    page.locator("#histograms").scroll_into_view_if_needed()
    expect(page.locator("#histograms .run-legend li")).to_have_count(3)
    for title in ("Parallel coordinates", "Scatter", "Histograms"):
        lines = list(csv.DictReader(io.StringIO(exported(page, title, "CSV", tmp_path / "csv"))))
        document = json.loads(exported(page, title, "JSON", tmp_path / "json"))
        assert [run["name"] for run in document["runs"]] == list(dict.fromkeys(line["name"] for line in lines))
        assert {line["run_id"] for line in lines} == {"search0", "search1", "search2"}
        for line in lines:
            (run,) = (run for run in runs if run["mlflow_run_id"] == line["run_id"])
            if "param.learning_rate" in line:
                assert float(line["param.learning_rate"]) == float(run["params"]["learning_rate"])
        if title == "Histograms":
            stored = page.request.get("/api/runs/search2/histogram-data/?type=weights&tower=query").json()
            ours = [line for line in lines if line["run_id"] == "search2"][1:-1]
            assert [float(line["count"]) for line in ours] == stored["counts"][-1]
        drawn = ElementTree.fromstring(exported(page, title, "SVG", tmp_path / "svg"))  # noqa: S314 - ours
        texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert {"search 0", "search 1", "search 2"} <= set(texts)
        colours = {shape.get("stroke") or shape.get("fill") for shape in drawn.iter("{http://www.w3.org/2000/svg}path")}
        assert len(colours) > 3
        exported(page, title, "PNG", tmp_path / "png")
        assert (tmp_path / "png").read_bytes().startswith(b"\x89PNG")
    header = exported(page, "val_loss", "CSV", tmp_path / "csv").splitlines()[0]
    assert header == "epoch,search 0 (search0),search 1 (search1),search 2 (search2)"


def test_long_runs_are_overviews_until_every_epoch_is_asked_for(look: Look, site: Site) -> None:
    site.seed_all("warm", [{"run_id": f"long{seed}", "seed": seed, "epochs": 1300} for seed in (1, 2)], kind="Varied")
    page = look("/compare/?runs=long1,long2")
    expect(page.locator(".epochs")).to_contain_text("of 2,600 epochs; bands hold the extremes between")
    figure = chart(page, "val_loss")
    histories = [run["history"] for run in compared(page, "long1,long2")]
    figure.locator("summary").click()
    table = cells(figure)
    assert [int(line[0]) for line in table] == sorted({epoch for history in histories for epoch in history["epochs"]})
    for column, history in enumerate(histories, 1):
        found = {int(line[0]): float(line[column]) for line in table if line[column]}
        assert found == dict(zip(history["epochs"], history["loss"]["val"], strict=True))
    page.get_by_role("button", name="Every epoch").click()
    expect(page.locator(".epochs .tabular")).to_have_text("2,600 of 2,600 epochs")
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
