"""Runs of thousands of metrics: the page reads the numbers of those that are looked at."""

from __future__ import annotations

import pytest
from playwright.sync_api import Response, expect

from tests.browser.compare.parts import Look, compared, row
from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn

RUNS = "wide1,wide2"


@pytest.fixture(scope="module", autouse=True)
def wide(site: Site) -> None:
    fields = [{"run_id": f"wide{seed}", "name": f"wide {seed}", "seed": seed} for seed in (1, 2)]
    site.seed_all("warm", [{"logged": "many", "size": 3000} | one for one in fields], kind="Framework")


def test_the_last_of_three_thousand_metrics_is_found_and_drawn(look: Look) -> None:
    page = look("/compare/")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if "/api/compare" in answer.url else None)
    index = page.request.get(f"/api/compare?runs={RUNS}&first=1").json()["metrics"]
    last = index[-1]["key"]
    page.goto(f"/compare/?runs={RUNS}")
    expect(page.locator("figure.chart").first).to_be_visible()
    assert is_drawn(chart(page, "loss").locator("canvas"))
    whole = [run["summaries"]["metrics"] for run in compared(page, RUNS)]
    assert len(index) == len(whole[0]) > 3000
    page.get_by_role("searchbox", name="Search parameters and metrics").fill(last)
    values = row(page, last).locator(".value")
    for column, metrics in enumerate(whole):
        expect(values.nth(column)).to_have_attribute("title", str(metrics[last]["last"]["value"]))
    page.get_by_role("group", name="Value of metrics").get_by_role("button", name="Min").click()
    found = row(page, f"{last} (min)").locator(".value")
    expect(found.first).to_have_attribute("title", str(whole[0][last]["min"]["value"]))
    curves = page.locator("#curves")
    curves.locator(".chooser > summary").click()
    curves.get_by_role("searchbox").fill(last)
    curves.get_by_role("checkbox", name=last).check()
    figure = chart(page, last)
    expect(figure.locator(".legend button")).to_have_count(2)
    assert is_drawn(figure.locator("canvas"))
    expect(figure.locator(".summary")).to_contain_text("wide 2")
    sent = [(answer.url, len(answer.body())) for answer in answers]
    assert sent, "the page has asked"
    assert max(size for _, size in sent) < len(page.request.get(f"/api/compare?runs={RUNS}").body()) / 5


def test_a_file_has_all_metrics_also_those_that_were_not_looked_at(look: Look) -> None:
    page = look(f"/compare/?runs={RUNS}")
    expect(page.locator("figure.chart").first).to_be_visible()
    with page.expect_download() as caught:
        page.get_by_role("button", name="CSV", exact=True).click()
    head, *lines = caught.value.path().read_text("utf-8-sig").splitlines()
    known = compared(page, RUNS)[0]["summaries"]["metrics"]
    columns = head.split(",")
    assert {f"metric.{key}" for key in known} <= set(columns)
    assert len(lines) == 2
    cells = dict(zip(columns, lines[0].split(","), strict=True))
    assert all(float(cells[f"metric.{key}"]) == told["last"]["value"] for key, told in known.items())
