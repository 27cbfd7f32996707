"""Parameters and metrics side by side: differences, a baseline, the best value, sorting, files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.compare.parts import MINUS, THREE, TWELVE, Look, compared, row
from webapp.exports.cells import text_of


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


def test_the_table_and_all_of_it_as_files(look: Look, tmp_path: Path) -> None:
    page = look(THREE)
    runs = compared(page, "search0,search1,search2")
    for kind in ("CSV", "JSON"):
        with page.expect_download() as caught:
            page.get_by_role("button", name=kind, exact=True).click()
        caught.value.save_as(tmp_path / kind)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "CSV").read_text("utf-8-sig"))))
    assert [line["run_id"] for line in lines] == ["search0", "search1", "search2"]
    for line, run in zip(lines, runs, strict=True):
        assert line["param.query_hist_bin_edges"] == text_of(run["params"]["query_hist_bin_edges"])
        assert float(line["metric.test_loss"]) == run["final_metrics"]["test_loss"]
    assert json.loads((tmp_path / "JSON").read_text())["runs"] == runs


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
