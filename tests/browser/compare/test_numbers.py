"""The comparison's numbers are MLflow's, from all points: in the table, its marks and deltas, on axes and in files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.compare.parts import MINUS, Look, compared, exported, parameters, row
from tests.browser.conftest import Site
from tests.chromium import cells, chart, is_drawn
from tests.webapp.numbers import CLOSE, HOSTILE, Numbers
from webapp.exports.cells import digits, text_of

CLOSE_RUNS = "/compare/?runs=close1,close2"
GENERATED = [11, 12, 13]
SHOWN = {"NaN": "NaN", "Infinity": "\N{INFINITY}", "-Infinity": f"{MINUS}\N{INFINITY}"}


@pytest.fixture(scope="module", autouse=True)
def numbered(site: Site) -> None:
    close = [{"run_id": f"close{s}", "name": f"close {s}", "seed": s, "logged": "close"} for s in (1, 2)]
    generated = [{"run_id": f"gen{s}", "name": f"gen {s}", "seed": s, "logged": "generated"} for s in GENERATED]
    points = [{"run_id": f"points{s}", "name": f"points {s}", "seed": s, "logged": "by_point"} for s in (2, 3, 4)]
    steps = [{"run_id": f"stepped{s}", "name": f"stepped {s}", "seed": s, "logged": "counting_steps"} for s in (1, 2)]
    site.seed_all("warm", [*close, *generated, *points, *steps], kind="Numbers")


@pytest.fixture
def untold(site: Site) -> Iterator[None]:
    """A run without summaries, which other tests of the site don't know of."""
    site.seed("warm", kind="Untold", run_id="untold", name="untold", epochs=40)
    yield
    site.seed("put", run_id="untold", name="untold", epochs=40)


def saved(page: Page, kind: str, path: Path) -> str:
    with page.expect_download() as caught:
        page.locator("[data-part=actions]").get_by_role("button", name=kind, exact=True).click()
    caught.value.save_as(path)
    return path.read_bytes().decode("utf-8-sig")


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def texts(page: Page, field: str) -> list[str]:
    expect(row(page, field)).to_be_visible()
    return row(page, field).locator("td .value").all_inner_texts()


def titles(page: Page, field: str) -> list[str | None]:
    return [value.get_attribute("title") for value in row(page, field).locator("td .value").all()]


def test_numbers_that_differ_in_the_ninth_digit_are_told_apart(look: Look) -> None:
    page = look(f"{CLOSE_RUNS}&baseline=0&axes=metric.val_score&up=metric.val_score&across=param.seed")
    score = row(page, "val_score")
    assert texts(page, "val_score") == ["123456788", "123456789"]
    expect(score).to_have_class("varies")
    expect(score.locator("td").nth(0).locator(".best")).to_have_count(0)
    expect(score.locator("td").nth(1).locator(".best")).to_be_visible()
    expect(score.locator("td").nth(1).locator(".delta")).to_have_text("+1 (+8.1e-7 %), better")
    expect(page.locator(".parallel .axis-line text")).to_contain_text(["123456788", "123456789", "123456788.5"])
    page.locator(".scatter-plot").focus()
    page.keyboard.press("End")
    expect(page.locator("#scatter .readout")).to_have_text("close 2: seed 2, val_score 123456789")
    handle = page.get_by_role("slider", name="val_score, lowest")
    handle.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("1 of 2 runs match")).to_be_visible()
    assert parameters(page)["brush"].startswith("metric.val_score:123456789")


def test_the_last_value_is_mlflow_s_though_no_sample_has_it(look: Look) -> None:
    page = look(CLOSE_RUNS)
    expect(page.locator(".epochs")).to_contain_text("epochs")
    for run in compared(page, "close1,close2"):
        last = run["summaries"]["metrics"]["val_loss"]["last"]
        assert last["step"] not in run["history"]["epochs"]
        assert last["value"] not in run["history"]["loss"]["val"]
    assert texts(page, "val_loss") == ["0.125", "0.25"]
    figure = chart(page, "val_loss")
    expect(figure.locator(".legend output")).to_have_text(["0.125 @597", "0.25 @597"])
    expect(figure.locator(".summary")).to_contain_text("close 1 1 → 0.125")
    page.get_by_role("button", name="Elapsed").click()
    expect(chart(page, "val_loss").locator(".legend output")).to_have_text(["0.125", "0.25"])
    expect(chart(page, "val_loss").locator(".summary")).to_contain_text("at epoch ")
    assert texts(page, "again") == ["9", "10"], "of points with one step and time, the greatest value"


def test_what_is_not_finite_is_shown_as_it_is_and_is_never_best(look: Look, tmp_path: Path) -> None:
    page = look(f"{CLOSE_RUNS},stepped1&layout=rows&sort=metric.ends/nan")
    expect(page.locator(".matrix.by-rows")).to_be_visible()
    page.get_by_role("button", name="Runs as columns").click()
    for name, word in (("nan", "NaN"), ("high", "Infinity"), ("low", "-Infinity")):
        assert texts(page, f"ends/{name}") == [SHOWN[word], SHOWN[word], "\N{EN DASH}"]
        expect(row(page, f"ends/{name}").locator(".best, .delta")).to_have_count(0)
        assert {line[f"metric.ends/{name}"] for line in lines(saved(page, "CSV", tmp_path / "csv"))} == {word, ""}
    axes = look(f"{CLOSE_RUNS}&axes=metric.ends/nan,metric.val_score")
    expect(axes.locator(".parallel .axis h3")).to_have_text(["val_score"])


def test_metrics_in_chunks_and_of_any_name_are_fields_at_once(look: Look, tmp_path: Path) -> None:
    page = look("/compare/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{CLOSE_RUNS}&up=metric.own/axis&across=metric.__proto__")
    assert texts(page, "own/axis") == ["49.25", "49.5"]
    assert texts(page, "constructor") == ["599", "1198"]
    expect(page.locator(".point")).to_have_count(2)
    line = lines(saved(page, "CSV", tmp_path / "csv"))[1]
    assert (line["metric.__proto__"], line["metric.constructor"]) == (digits(599 / 4), "1198")
    assert not [url for url in asked if "/metrics/" in url]


def last_of(points: list[tuple[int, float, int]]) -> float:
    return max(points, key=lambda point: (point[0], point[2]))[1]


def test_every_number_equals_the_one_of_all_points(look: Look, tmp_path: Path) -> None:
    page = look(f"/compare/?runs={','.join(f'gen{seed}' for seed in GENERATED)}&baseline=0")
    expect(page.locator(".matrix")).to_be_visible()
    raw = {f"gen{seed}": Numbers(f"gen{seed}", seed=seed, logged="generated").raw() for seed in GENERATED}
    document = json.loads(saved(page, "JSON", tmp_path / "json"))
    found = lines(saved(page, "CSV", tmp_path / "csv"))
    assert [line["run_id"] for line in found] == list(raw)
    keys = sorted({key for of_run in raw.values() for key in of_run})
    wanted: dict[str, list[float | None]] = {
        key: [last_of(of_run[key]) if key in of_run else None for of_run in raw.values()] for key in keys
    }
    for key, lasts in wanted.items():
        assert [line[f"metric.{key}"] for line in found] == ["" if x is None else digits(x) for x in lasts], key
        shown = [title and title.replace("∞", "Infinity").replace(MINUS, "-") for title in titles(page, key)]
        assert [title and digits(float(title)) for title in shown] == [None if x is None else digits(x) for x in lasts]
        check_row(page, key, lasts)
    for run in document["runs"]:
        for key, points in raw[run["mlflow_run_id"]].items():
            check_summary(run["summaries"]["metrics"][key], points)


def check_row(page: Page, key: str, lasts: list[float | None]) -> None:
    """Different values have different texts; the least finite one is the best; deltas are from the first run's."""
    td = row(page, key).locator("td")
    told = td.locator(".value").all_inner_texts()
    known = [(text, digits(x + 0.0)) for text, x in zip(told, lasts, strict=True) if x is not None]
    assert len({text for text, _ in known}) == len({exact for _, exact in known}), key
    finite = [x for x in lasts if x is not None and math.isfinite(x)]
    best = min(finite) if len(set(finite)) > 1 else None
    for at, value in enumerate(lasts):
        assert td.nth(at).locator(".best").count() == (value is not None and value == best), key
    zero = lasts[0]
    for at, value in enumerate(lasts[1:], 1):
        delta = td.nth(at).locator(".delta")
        same = value == zero or (value is not None and zero is not None and math.isnan(value) and math.isnan(zero))
        assert delta.count() == (not same), key
        if zero is not None and value is not None and math.isfinite(zero) and math.isfinite(value) and not same:
            assert delta.inner_text().startswith("+" if value > zero else MINUS), key


def check_summary(summary: dict[str, Any], points: list[tuple[int, float, int]]) -> None:
    values = [value for _, value, _ in points]
    finite = [value for value in values if math.isfinite(value)]
    assert summary["count"] == len(points)
    assert (summary["nan"], summary["infinity"]) == (sum(map(math.isnan, values)), values.count(math.inf))
    low, high = summary["min"], summary["max"]
    assert (low and low["value"], high and high["value"]) == (min(finite), max(finite)) if finite else (None, None)


def test_charts_are_exported_with_every_step_and_all_digits(look: Look, tmp_path: Path) -> None:
    page = look(f"{CLOSE_RUNS}&metrics=val_score,own%252Faxis")
    expect(chart(page, "val_score").locator(".legend button")).to_have_count(2)
    head, *rows = csv.reader(io.StringIO(exported(page, "val_score", "CSV", tmp_path / "csv")))
    assert head == ["epoch", "close 1 (close1)", "close 2 (close2)"]
    assert len(rows) == 600
    assert rows[-1] == ["599", str(CLOSE + 1), str(CLOSE + 2)]
    expect(chart(page, "own/axis").locator(".legend button")).to_have_count(2)
    head, *rows = csv.reader(io.StringIO(exported(page, "own/axis", "CSV", tmp_path / "csv")))
    assert head[0] == "step"
    assert [int(line[0]) for line in rows] == [step * 70 + 3 for step in range(50)]


def test_the_list_s_file_has_the_same_cells(look: Look, tmp_path: Path) -> None:
    page = look(CLOSE_RUNS)
    expect(page.locator(".matrix")).to_be_visible()
    metrics = ["val_score", "ends/nan", "ends/high", "ends/low", "__proto__", "val_loss", "again"]
    columns = [*(f"param.{name}" for name in HOSTILE), *(f"metric.{name}" for name in metrics)]
    ours = lines(saved(page, "CSV", tmp_path / "csv"))
    query = "&".join(f"columns={_quoted(column)}" for column in columns)
    answer = page.request.get(f"/runs/export.csv?q=close&{query}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    theirs = {line["run_id"]: line for line in lines(answer.body().decode("utf-8-sig"))}
    for line in ours:
        for column in map(text_of, columns):
            assert line[column] == theirs[line["run_id"]][column], column
    assert ours[0]["param.=1+1"] == "-0.5"
    assert ours[0]["param.@note"] == "'=2+3"
    assert ours[0]["param.text"] == HOSTILE["text"]
    assert ours[0]["param.digits"] == "1e-05", "a parameter is written as it was logged"


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def test_runs_logged_by_point_have_a_chart_of_their_own(look: Look) -> None:
    page = look("/compare/?runs=points2,points4&metrics=val%252Fscore")
    figure = chart(page, "val/score")
    expect(figure.locator(".at")).to_have_text("point 39")
    expect(figure.locator(".legend output")).to_have_text(["12.65", "25.3"])
    mixed = look("/compare/?runs=points2,points4,points3&metrics=val%252Fscore")
    expect(chart(mixed, "val/score").locator(".legend button")).to_have_text(["points 318.97"])
    expect(chart(mixed, "val/score").locator(".at")).to_have_text("step 39")
    counted = chart(mixed, "val/score, by point")
    expect(counted.locator(".legend button")).to_have_count(2)
    expect(counted.locator(".summary")).to_contain_text("All points are of step 0, drawn by time.")
    mixed.get_by_role("button", name="Elapsed").click()
    expect(chart(mixed, "val/score").locator(".legend button")).to_have_count(3)
    expect(counted).to_have_count(0)


def test_runs_that_count_steps_are_compared_by_steps(look: Look) -> None:
    page = look("/compare/?runs=stepped1,stepped2")
    expect(page.locator(".epochs .tabular")).to_contain_text("steps")
    expect(page.get_by_role("group", name="Horizontal axis").get_by_role("button").first).to_have_text("Step")
    expect(row(page, "steps")).to_have_count(1)
    expect(row(page, "epochs")).to_have_count(0)
    expect(chart(page, "train/loss").locator(".at")).to_contain_text("step ")
    assert is_drawn(chart(page, "val/loss").locator("canvas"))


def test_long_curves_in_chunks_are_overviews_until_every_step_is_asked_for(look: Look, site: Site) -> None:
    fields = {"logged": "training", "size": 3000}
    site.seed_all(
        "warm", [{"run_id": f"loop{s}", "seed": s, "name": f"loop {s}", **fields} for s in (1, 2)], "Framework"
    )
    page = look("/compare/?runs=loop1,loop2")
    expect(page.locator("#curves h3").first).to_have_text("train/loss")
    told = page.locator(".epochs .tabular")
    expect(told).to_contain_text("of 6,000 steps in 2 runs; bands show min and max in between")
    expect(page.locator("#curves h3").filter(has_text="system/")).to_have_count(0)
    page.get_by_role("button", name="Every step").click()
    expect(told).to_have_text("6,000 of 6,000 steps in 2 runs")


@pytest.mark.usefixtures("untold")
def test_a_run_without_summaries_says_so_and_breaks_nothing(look: Look) -> None:
    page = look("/compare/?runs=search0,untold,close1&metrics=val_loss&baseline=0")
    expect(page.get_by_role("heading", name="The numbers of 1 of 3 runs are being rebuilt")).to_be_visible()
    figure = chart(page, "val_loss")
    assert is_drawn(figure.locator("canvas"))
    expect(figure.locator(".legend output").nth(1)).to_have_text("…")
    expect(figure.locator(".summary")).to_contain_text("untold: numbers are being rebuilt.")
    assert texts(page, "val_loss")[1] == "\N{EN DASH}"
    assert texts(page, "test_loss")[1] == "2.51", "a single value is in the run's row"
    assert cells(page.locator("#table"))


def test_a_field_is_found_by_its_name(look: Look) -> None:
    page = look(CLOSE_RUNS)
    page.get_by_label("Search parameters and metrics").fill("ends low")
    expect(page.locator(".matrix tbody th[scope=row]")).to_have_text(["ends/low"])
    assert parameters(page)["find"] == "ends low"
    page.reload()
    expect(page.locator(".matrix tbody th[scope=row]")).to_have_text(["ends/low"])


def test_of_thousands_of_metrics_the_first_are_in_the_table(look: Look, site: Site) -> None:
    fields = {"logged": "many", "size": 3000}
    runs = [{"run_id": f"thousands{s}", "name": f"thousands {s}", "seed": s, **fields} for s in (1, 2)]
    site.seed_all("warm", runs, kind="Framework")
    page = look("/compare/?runs=thousands1,thousands2")
    expect(row(page, "val_loss")).to_have_count(1)
    assert page.locator(".matrix tbody tr").count() < 230
    page.get_by_role("button", name="Show 1,000 more of 2,803").click()
    expect(page.get_by_role("button", name="Show 1,000 more of 1,803")).to_be_visible()
    page.get_by_label("Search parameters and metrics").fill("probe_02996")
    expect(page.locator(".matrix tbody th[scope=row]")).to_have_text(["probe_02996"])


def test_any_value_of_the_summary_is_compared_on_the_whole_page(look: Look, tmp_path: Path) -> None:
    runs = "gen11,gen12,gen13"
    page = look(f"/compare/?runs={runs}&layout=columns")
    told = [run["summaries"]["metrics"] for run in compared(page, runs)]
    # All of these are losses: the best is the least.
    points = {"Max": "max", "Best": "min"}
    for name, member in points.items():
        page.get_by_role("group", name="Value of metrics").get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("rowheader").filter(has_text=f"_loss ({name.lower()})").first).to_be_visible()
        for line, metrics in zip(lines(saved(page, "CSV", tmp_path / name)), told, strict=True):
            found = {key: line.get(f"metric.{key}.{name.lower()}", "") for key in metrics}
            wanted = {key: (summary[member] or {"value": None})["value"] for key, summary in metrics.items()}
            assert found == {key: "" if value is None else text_of(value) for key, value in wanted.items()}
    expect(page.locator("#parallel h3").filter(has_text="(best)").first).to_be_visible()
    expect(page.locator("#scatter .summary")).to_contain_text("(best)")
    assert parameters(page)["value"] == "best"
