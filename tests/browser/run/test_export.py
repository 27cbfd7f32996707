"""Exports of a chart: all steps as CSV and JSON, the picture as PNG and SVG."""

from __future__ import annotations

import csv
import json
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn

Look = Callable[..., Page]
RUN = "abc123def456"
SVG = "{http://www.w3.org/2000/svg}"


def export(page: Page, box: Locator, kind: str) -> Path:
    box.get_by_role("button", name="Export").first.click()
    with page.expect_download() as caught:
        box.get_by_role("button", name=kind).click()
    assert caught.value.suggested_filename.endswith(kind.split()[-1].lower())
    return Path(caught.value.path())


def history(page: Page, run: str) -> Any:
    return page.request.get(f"/api/runs/{run}/training-history/?resolution=full").json()


def test_the_data_is_every_step_though_an_overview_is_drawn(look: Look, site: Site) -> None:
    site.seed("warm", run_id="exported", epochs=600)
    page = look("/runs/exported/")
    figure = chart(page, "Loss")
    expect(page.locator(".epochs")).to_contain_text("of 600 epochs; bands")
    full = history(page, "exported")
    with export(page, figure, "Data as CSV").open(newline="", encoding="utf-8-sig") as file:
        head, *rows = csv.reader(file)
    assert head == ["epoch", "time", "loss", "val_loss"]
    assert [int(row[0]) for row in rows] == full["epochs"]
    assert [float(row[3]) for row in rows] == full["loss"]["val"]
    assert [float(row[2]) if row[2] != "NaN" else None for row in rows] == full["loss"]["train"]
    assert rows[200][2] == "NaN"
    assert rows[0][1] == "2026-01-02T10:00:03.000Z"
    figure.get_by_role("button", name="validation").click()
    document = json.loads(export(page, figure, "Data as JSON").read_text())
    assert document["steps"] == full["epochs"]
    assert list(document["series"]) == ["loss"], "a hidden curve is left out"
    assert document["series"]["loss"][:200] == full["loss"]["train"][:200]
    assert document["series"]["loss"][200] == "NaN"


def test_another_metric_is_exported_with_every_step(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="batches-exported", logged="batches", size=5000)
    page = look("/runs/batches-exported/")
    figure = chart(page, "batch/loss").filter(has=page.get_by_role("img"))
    expect(figure).to_have_count(1)
    with export(page, figure, "Data as CSV").open(newline="", encoding="utf-8-sig") as file:
        head, *rows = csv.reader(file)
    assert (head, len(rows)) == (["step", "time", "batch/loss"], 5000)
    assert rows[2500][2] == "NaN"


def test_a_picture_is_drawn_from_the_data(look: Look) -> None:
    page = look(f"/runs/{RUN}/")
    figure = chart(page, "Loss")
    assert is_drawn(figure.locator("canvas"))
    root = ElementTree.parse(export(page, figure, "SVG")).getroot()  # noqa: S314 - our own page made it
    assert root.findtext(f"{SVG}title") == "Loss"
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"Loss", "train", "validation"} <= set(texts)
    curves = [path for path in root.iter(f"{SVG}path") if path.get("stroke-width") == "1.75"]
    assert len(curves) == 2
    # The training loss has a NaN among its twenty epochs: nineteen points in two strokes.
    assert [path.get("d", "").count("M") for path in curves] == [2, 1]
    assert [path.get("d", "").count("L") for path in curves] == [17, 19]
    values = history(page, RUN)["loss"]["val"]
    heights = [float(point.split()[1]) for point in curves[1].get("d", "").replace("L", "M").split("M")[1:]]
    assert sorted(range(20), key=lambda i: -values[i]) == sorted(range(20), key=lambda i: heights[i])
    data = export(page, figure, "PNG").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, _ = struct.unpack(">II", data[16:24])
    assert width > 2 * figure.locator(".plot").evaluate("plot => plot.clientWidth")


def test_the_smallest_numbers_have_labels_too(look: Look, site: Site) -> None:
    site.seed("warm", kind="Numbers", run_id="tiny", logged="tiny")
    page = look("/runs/tiny/")
    figure = chart(page, "Loss")
    assert is_drawn(figure.locator("canvas"))
    root = ElementTree.parse(export(page, figure, "SVG")).getroot()  # noqa: S314 - our own page made it
    labels = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert len([label for label in labels if label.endswith(("e\N{MINUS SIGN}321", "e\N{MINUS SIGN}322"))]) >= 2, labels


@pytest.mark.parametrize("kind", ["ridgeline", "heatmap", "quantiles"])
def test_histograms_are_exported_too(look: Look, kind: str) -> None:
    page = look(f"/runs/{RUN}/?histogram={kind}&tower=query")
    box = page.locator("figure.panel")
    expect(box.locator(".readout")).to_contain_text("epoch 19")
    wanted = page.request.get(f"/api/runs/{RUN}/histogram-data/?type=weights&tower=query&resolution=full").json()
    with export(page, box, "Data as CSV").open(newline="", encoding="utf-8-sig") as file:
        head, *rows = csv.reader(file)
    assert head == ["epoch", "bin", "from", "to", "count"]
    found = [float(row[4]) for row in rows if row[0] == "3" and row[1] not in ("below", "above")]
    assert found == wanted["counts"][3]
    assert json.loads(export(page, box, "Data as JSON").read_text()) == wanted
    root = ElementTree.parse(export(page, box, "Picture as SVG")).getroot()  # noqa: S314 - our own page made it
    drawn = {"ridgeline": f"{SVG}path", "heatmap": f"{SVG}rect", "quantiles": f"{SVG}path"}
    assert len(list(root.iter(drawn[kind]))) > (5 if kind == "quantiles" else 20)
    assert export(page, box, "Picture as PNG").read_bytes().startswith(b"\x89PNG")


def test_the_menu_closes_by_escape_and_gives_the_focus_back(look: Look) -> None:
    page = look(f"/runs/{RUN}/")
    button = chart(page, "Loss").get_by_role("button", name="Export Loss")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Tab")
    expect(chart(page, "Loss").get_by_role("button", name="Data as CSV")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(button).to_have_attribute("aria-expanded", "false")
