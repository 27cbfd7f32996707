"""Metrics, parameters and tags named like members that every JavaScript object inherits are shown like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import cells, chart, is_drawn
from tests.webapp.frameworks import INHERITED

Look = Callable[..., Page]
BY_EPOCH, OWN_AXIS, SINGLE = INHERITED[:3], INHERITED[3], INHERITED[4]
COMPARED = "/compare/?runs=inherits1,inherits2,inherits-nothing"


@pytest.fixture(scope="module", autouse=True)
def named(site: Site) -> None:
    """Two runs with such names, of 300 epochs, so that the overview has envelopes; and one without."""
    for seed in (1, 2):
        site.seed(
            "warm", kind="Framework", run_id=f"inherits{seed}", name=f"named {seed}", logged="inherited", size=300,
            seed=seed, experiment="names",
        )  # fmt: skip
    site.seed(
        "warm", kind="Framework", run_id="inherits-nothing", name="plain", logged="steps", size=300, experiment="names"
    )


def test_a_run_s_page_shows_them(look: Look) -> None:
    page = look("/runs/inherits1/")
    for at, name in enumerate(BY_EPOCH):
        figure = chart(page, name)
        figure.scroll_into_view_if_needed()
        assert is_drawn(figure.locator("canvas"))
        expect(figure.locator(".at b")).to_have_text(f"{at + 1 / 300:.4g}")
    page.locator("#metrics").scroll_into_view_if_needed()
    assert is_drawn(chart(page, OWN_AXIS).locator("canvas"))
    assert dict(cells(page.locator("#final"))) == {SINGLE: "1"}
    assert dict(cells(page.locator("#params"))) == {name: f"{at}.1" for at, name in enumerate(INHERITED)}
    tags = dict(cells(page.locator("#tags")))
    assert {name: tags[name] for name in INHERITED} == {name: f"tag {name}" for name in INHERITED}


def test_a_chart_of_them_zooms_and_smooths(look: Look) -> None:
    page = look("/runs/inherits1/?smooth=ema-0.6&y-scale=log&zoom.epochs=10~30")
    for name in BY_EPOCH:
        assert is_drawn(chart(page, name).locator("canvas"))


def test_a_comparison_shows_them(look: Look) -> None:
    page = look(f"{COMPARED}&metrics={','.join((*BY_EPOCH, OWN_AXIS))}&differences=0")
    for name in (*BY_EPOCH, OWN_AXIS):
        figure = chart(page, name)
        figure.scroll_into_view_if_needed()
        assert is_drawn(figure.locator("canvas"))
        expect(figure.locator(".legend button")).to_have_count(2)
    for at, name in enumerate(INHERITED):
        assert [f"{at}.1", f"{at}.2", "\N{EN DASH}"] in table(page, name)
    assert ["1", "2", "\N{EN DASH}"] in table(page, SINGLE)
    for name in (*BY_EPOCH, OWN_AXIS):
        assert len(table(page, name)) == 2, "a parameter and a metric"


def table(page: Page, name: str) -> list[list[str]]:
    """The rows of this name: a parameter's, a metric's."""
    rows = page.locator(".matrix tbody tr").filter(has=page.get_by_role("rowheader", name=name, exact=True))
    return [row.locator("td .value").all_inner_texts() for row in rows.all()]


def test_axes_of_a_comparison_show_them(look: Look) -> None:
    axes = ",".join(f"param.{name}" for name in INHERITED)
    page = look(f"{COMPARED}&axes={axes},metric.{SINGLE}&across=param.constructor&up=metric.{SINGLE}")
    expect(page.locator(".parallel .axis h3")).to_have_text([*sorted(INHERITED), SINGLE])
    expect(page.locator(".point")).to_have_count(2)
    handle = page.get_by_role("slider", name="__proto__, lowest")
    handle.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("1 of 3 runs match")).to_be_visible()


def test_the_list_has_columns_of_them_and_finds_by_them(look: Look) -> None:
    columns = "&".join(f"columns=param.{name}" for name in INHERITED)
    query = "experiment = names and param.__proto__ > 1.1 and metric.valueOf > 1"
    page = look(f"/?{columns}&columns=metric.{SINGLE}&q={query}&sort=-param.constructor")
    row = page.locator("table.runs tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("named 2")
    for at in range(len(INHERITED)):
        expect(row).to_contain_text(f"{at}.2")
