"""Runs without towers, and metrics that have no place in a history: what their pages show, and what they leave out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import Site
from tests.chromium import LAYOUT_SHIFT, acted, cells, chart, is_drawn, screenshot, screenshots, soon

Look = Callable[..., Page]


@pytest.fixture(scope="module")
def others(site: Site) -> Site:
    """The site with one run of each kind."""
    for logged, size in (("scikit", 0), ("steps", 5000), ("pytorch", 5000), ("batches", 20_000), ("many", 2000)):
        site.seed("warm", kind="Framework", run_id=logged, logged=logged, size=size)
    return site


def tile(page: Page, key: str) -> Locator:
    """The place of a metric's chart; what stands there changes when the curve has been read."""
    return page.locator(".metric-cell").filter(has=page.get_by_role("heading", name=key, exact=True))


def sections(page: Page) -> list[str]:
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    on_every_page = ("About", "Tags", "Provenance")
    return [title for title in page.locator("h2:visible").all_inner_texts() if title not in on_every_page]


def json_of(page: Page, address: str) -> Any:
    return page.request.get(address).json()


def test_a_run_of_single_values_is_two_tables(look: Look, others: Site) -> None:
    page = look("/runs/scikit/")
    assert sections(page) == ["Final metrics", "Parameters"]
    expect(page.locator("figure")).to_have_count(0)
    expect(page.locator(".tile")).to_have_count(5)
    assert dict(cells(page.locator("#final")))["training_log_loss"] == "0.0641"
    assert dict(cells(page.locator("#params")))["criterion"] == "gini"


def test_a_run_without_histograms_asks_for_none(look: Look, others: Site) -> None:
    page = look("/sign-in/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/runs/steps/")
    expect(chart(page, "train/loss")).to_be_visible()
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    assert not [url for url in asked if "/api/" in url]


def test_a_curve_logged_now_and_then_is_a_line_with_points(look: Look, others: Site) -> None:
    page = look("/runs/steps/")
    assert sections(page) == ["Insights", "Training", "Parameters"]
    expect(page.locator(".epochs")).to_contain_text("of 5,000 steps")
    figure = chart(page, "val/accuracy")
    assert is_drawn(figure.locator("canvas"))
    # Of its 20 steps the overview keeps the last; the others lie between two that it keeps.
    figure.locator("summary").click()
    texts = [text for _, text in cells(figure) if text]
    assert [text.startswith("≈ 0.") for text in texts] == 19 * [True] + [False]
    page.get_by_role("button", name="All steps").click()
    expect(page.locator(".epochs")).to_have_text("5,000 of 5,000 steps")
    found = [(int(step), float(value)) for step, value in cells(figure) if value]
    assert [step for step, _ in found] == list(range(249, 2000, 250)), "the table has its first 2,000 rows"
    expect(figure.get_by_text("3,000 more steps are in the export.")).to_be_visible()
    plot = figure.locator(".plot")
    plot.focus()
    page.keyboard.press("Home")
    for _ in range(26):
        page.keyboard.press("PageDown")
    # Between two values the one before is shown, with its step.
    expect(figure.locator(".at")).to_contain_text(f"{found[0][1]:.4g} @249")


def test_insights_lead_to_their_epochs_by_keyboard(look: Look, others: Site) -> None:
    page = look("/runs/abc123def456/")
    rows = page.locator(".insight")
    expect(rows).to_have_count(3)
    assert [row.split()[0] for row in rows.all_inner_texts()] == ["Problem", "Warning", "Note"]
    canvas = chart(page, "Loss").locator("canvas")
    assert is_drawn(canvas)
    plain = canvas.evaluate("canvas => canvas.toDataURL()")
    button = rows.nth(1).get_by_role("button", name="epochs 16 to 19")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(chart(page, "Loss").locator(".plot")).to_be_focused()
    expect(chart(page, "Loss")).to_be_in_viewport()
    assert soon(canvas, lambda: canvas.evaluate("canvas => canvas.toDataURL()") != plain)
    screenshot(page, "insight-marked")
    marked = canvas.evaluate("canvas => canvas.toDataURL()")
    expect(page).to_have_url(re.compile("insight="))
    other = look(page.url)
    expect(other.locator(".insight").nth(1).get_by_role("button")).to_have_attribute("aria-pressed", "true")
    same = chart(other, "Loss").locator("canvas")
    assert soon(same, lambda: same.evaluate("canvas => canvas.toDataURL()") == marked), "the link holds what is marked"
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert soon(canvas, lambda: canvas.evaluate("canvas => canvas.toDataURL()") == plain)


def test_an_insight_about_another_metric_opens_its_chart(look: Look, others: Site) -> None:
    page = look("/runs/batches/")
    page.locator(".insight", has_text="batch/loss was NaN").get_by_role("button").click()
    figure = tile(page, "batch/loss")
    expect(figure.locator(".plot")).to_be_focused()
    expect(figure).to_be_in_viewport()
    assert is_drawn(figure.locator("canvas"))
    expect(figure.locator(".summary")).to_contain_text("1 value is not finite.")
    expect(page).to_have_url(re.compile("insight="))
    other = look(page.url)
    marked = other.locator(".insight", has_text="batch/loss").get_by_role("button")
    expect(marked).to_have_attribute("aria-pressed", "true")
    assert is_drawn(tile(other, "batch/loss").locator("canvas"))


def test_the_horizontal_axis_is_steps_or_wall_time_everywhere(look: Look, others: Site) -> None:
    page = look("/runs/batches/")
    loss, batch = chart(page, "Loss"), tile(page, "batch/loss")
    expect(loss.locator(".at")).to_have_text("epoch 19")
    batch.scroll_into_view_if_needed()
    expect(batch.locator(".at")).to_contain_text("step 19999")
    page.get_by_role("button", name="Clock").click()
    for figure, text in ((loss, "epoch 19 · "), (batch, "step 19999 · ")):
        expect(figure.locator(".at")).to_contain_text(text)
        assert is_drawn(figure.locator("canvas"))
    loss.locator("summary").click()
    assert [row[0] for row in cells(loss)] == [str(epoch) for epoch in range(20)]
    assert cells(loss)[0][1].startswith("Jan 2")
    # One cursor: the loss of the epochs lasted 8 s, that of the batches 8,000.
    loss.locator(".plot").focus()
    page.keyboard.press("Home")
    expect(batch.locator(".at")).to_contain_text("step 0 · ")


def test_thousands_of_metrics_cost_nothing_until_they_are_looked_at(look: Look, others: Site) -> None:
    page = look("/")
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/metrics/" in request.url:
            asked.append(request.url.partition("/many/")[2])

    page.on("request", note)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto("/runs/many/")
    groups = page.locator("details.group")
    expect(page.get_by_text("2,000 metrics in 31 groups")).to_be_visible()
    expect(groups).to_have_count(31)
    assert asked == [], "curves out of view are not read"
    expect(page.locator("figure.metric")).to_have_count(0)
    summary = groups.nth(1).locator("> summary")
    expect(summary).to_contain_text("layer_01")
    expect(summary).to_contain_text("50")
    summary.focus()
    with acted(page):
        page.keyboard.press("Enter")
        expect(page.locator("figure.metric")).to_have_count(24)
        assert is_drawn(page.locator("figure.metric canvas").first)
    assert 1 <= len(asked) <= 2
    assert page.locator("figure.metric canvas").count() < 24, "those out of view are not drawn"
    with acted(page):
        page.get_by_role("button", name="Show 24 more of 26").click()
        expect(page.locator("figure.metric")).to_have_count(48)
        expect(page.locator("figure.metric .plot").nth(24)).to_be_focused()
    assert page.evaluate("document.querySelectorAll('*').length") < 2500
    assert page.evaluate("window.movers") == []


def test_a_link_holds_which_groups_are_open(look: Look, others: Site) -> None:
    page = look("/runs/many/")
    page.locator("#metrics").scroll_into_view_if_needed()
    summary = page.locator("#metrics details.group > summary").nth(1)
    name = summary.locator("h3").inner_text()
    summary.click()
    expect(page).to_have_url(re.compile("groups="))
    other = look(page.url)
    other.locator("#metrics").scroll_into_view_if_needed()
    opened = other.locator("#metrics details.group[open] h3")
    expect(opened).to_have_text([name])
    other.locator("#metrics details.group[open] > summary").click()
    expect(other).to_have_url(re.compile(r"groups=-"))


def test_what_the_machine_did_stands_last(look: Look, others: Site) -> None:
    page = look("/runs/pytorch/")
    titles = page.locator("section figure").get_by_role("heading")
    page.locator("#system").scroll_into_view_if_needed()
    expect(page.locator("#system figure.chart:not(.awaited)").first).to_be_visible()
    names = titles.all_text_contents()
    assert names[:3] == ["train/loss", "val/accuracy", "train/lr"]
    assert [name.startswith("system/") for name in names[3:]] == 5 * [True]


@pytest.mark.parametrize("width", [360, 1400])
def test_a_run_that_has_just_begun_says_so_and_moves_nothing_when_it_logs(look: Look, site: Site, width: int) -> None:
    run = f"begins-{width}"
    site.seed("warm", kind="Framework", run_id=run, logged="nothing", status="RUNNING")
    page = look("/", width=width)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto(f"/runs/{run}/")
    expect(page.get_by_text("No metric logged yet")).to_be_visible()
    page.wait_for_timeout(600)
    screenshot(page, f"begins-{width}")
    site.seed("put", kind="Framework", run_id=run, logged="epochs_alone", status="RUNNING")
    expect(page.get_by_role("heading", name="Loss", exact=True)).to_be_visible()
    expect(page.get_by_text("No metric logged yet")).to_be_hidden()
    page.wait_for_timeout(600)
    assert page.evaluate("window.movers") == []


def test_metrics_are_found_while_typing(look: Look, others: Site) -> None:
    page = look("/runs/many/")
    page.get_by_role("searchbox").fill("WEIGHT_007 layer_1")
    expect(page.get_by_text("8 of 2,000 metrics")).to_be_visible()
    expect(page.locator("figure.metric")).to_have_count(8)
    figure = tile(page, "layer_11/weight_007")
    assert is_drawn(figure.locator("canvas"))
    screenshot(page, "metrics-searched")
    figure.locator("summary").click()
    index = json_of(page, "/api/runs/many/metrics/")
    metric = next(m for group in index["groups"] for m in group["metrics"] if m["key"] == "layer_11/weight_007")
    curve = json_of(page, f"/api/runs/many/metrics/{metric['chunk']}/")["metrics"][metric["key"]]
    assert [float(value) for _, value in cells(figure)] == curve["values"]
    plot = figure.get_by_role("img")
    assert "layer_11/weight_007" in (plot.get_attribute("aria-label") or "")
    assert figure.locator(".summary").inner_text() in (plot.get_attribute("aria-label") or "")
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No metric matches.")).to_be_visible()


def test_other_metrics_follow_a_running_run(look: Look, site: Site) -> None:
    fields: dict[str, Any] = {"kind": "Framework", "run_id": "growing", "logged": "batches", "status": "RUNNING"}
    site.seed("warm", size=100, **fields)
    page = look("/runs/growing/")
    page.evaluate("window.sameDocument = true")
    figure = tile(page, "batch/loss")
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".at")).to_contain_text("step 99")
    insight = page.locator(".insight", has_text="batch/loss was NaN")
    expect(insight.get_by_role("button")).to_contain_text("50")
    figure.locator(".plot").focus()
    site.seed("put", size=200, **fields)
    expect(figure.locator(".at")).to_contain_text("step 199")
    expect(insight.get_by_role("button")).to_contain_text("100")
    expect(figure.locator(".plot")).to_be_focused()
    assert page.evaluate("window.sameDocument")


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("run", ["scikit", "steps", "pytorch", "batches", "many"])
def test_nothing_shifts_and_nothing_scrolls_sideways(look: Look, others: Site, run: str, width: int) -> None:
    page = look("/", width=width)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto(f"/runs/{run}/")
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    page.wait_for_timeout(300)
    for place in range(0, page.evaluate("document.documentElement.scrollHeight"), 600):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.shifted") < 0.01
    screenshots(page, f"{run}-{width}")


def test_bodies_come_as_zstd_to_a_browser_that_reads_it(look: Look, others: Site) -> None:
    page = look("/runs/steps/")
    with page.expect_response("**/training-history/**") as caught:
        page.get_by_role("button", name="All steps").click()
    accepts = caught.value.request.all_headers()["accept-encoding"]
    assert caught.value.all_headers()["content-encoding"] == ("zstd" if "zstd" in accepts else "gzip")
    expect(chart(page, "train/loss")).to_be_visible()


def test_steps_in_nanoseconds_are_drawn_and_the_chart_says_what_is_not(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="nanoseconds", logged="nanoseconds")
    page = look("/runs/nanoseconds/")
    close, second = chart(page, "close"), chart(page, "second")
    for drawn in (close, second):
        expect(drawn).to_contain_text("0 → 39")
        expect(drawn).to_contain_text("some neighbours are drawn as one")
    assert is_drawn(second.locator(".plot canvas"))


def test_the_leading_score_is_a_main_figure_and_what_can_not_be_drawn_is_said(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="scored", logged="scored")
    page = look("/runs/scored/")
    names = page.locator(".tile dt")
    expect(names).to_have_text(
        ["best validation loss", "last validation loss", "best val_accuracy", "last val_accuracy", "last accuracy"]
    )
    expect(chart(page, "huge")).to_contain_text("Its values lie too far apart for a browser to draw.")
