"""The comparison as a whole: its link, keys and files, and its layout at every width."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from tests.browser.compare.parts import THREE, TWELVE, Look, compared, exported, parameters
from tests.chromium import LAYOUT_SHIFT, chart, is_drawn, screenshots


def test_the_link_opens_the_same_view(look: Look) -> None:
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


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("runs", [3, 12])
def test_nothing_shifts_and_nothing_scrolls_sideways(look: Look, runs: int, width: int) -> None:
    page = look("/compare/", width=width)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto(f"{THREE if runs == 3 else TWELVE}&baseline=0")
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    for place in range(0, page.evaluate("document.documentElement.scrollHeight"), 500):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(60)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.movers") == []
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(200)
    screenshots(page, f"compare-{runs}-{width}")


def test_keys_change_the_view_and_a_sheet_lists_them(look: Look) -> None:
    page = look(THREE)
    expect(chart(page, "val_loss").locator(".at")).to_have_text("epoch 49")
    for key in ("y", "x", "t", "s"):
        page.keyboard.press(key)
    # Charts with another axis are new ones, which are drawn when they come into view.
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
    expect(sheet).to_contain_text("Only differences in the table")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(sheet).to_be_visible()


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
