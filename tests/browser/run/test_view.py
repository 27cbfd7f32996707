"""Looking closer at charts: zoom, axes, smoothing, and the link that holds all of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.chromium import becomes, changes, chart, is_drawn, picture, soon

Look = Callable[..., Page]
RUN = "/runs/abc123def456/"
LAST = 19
"""The last epoch of that run."""


def canvas_of(page: Page, title: str) -> Locator:
    return chart(page, title).locator("canvas")


def parameters(page: Page) -> dict[str, list[str]]:
    # An address settles for a moment before it changes.
    address = page.evaluate("new Promise(resolve => setTimeout(() => resolve(location.href), 250))")
    return parse_qs(urlparse(address).query)


def zoom(page: Page) -> tuple[float, float] | None:
    found = parameters(page).get("zoom.epochs")
    if not found:
        return None
    low, high = map(float, found[0].split("~"))
    return low, high


def drag(page: Page, box: Locator, start: float, end: float, shift: bool = False) -> None:
    """Drags over a plot, from one share of its width to another."""
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    assert place
    y = place["y"] + place["height"] / 2
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(place["x"] + start * place["width"], y)
    page.mouse.down()
    page.mouse.move(place["x"] + end * place["width"], y, steps=6)
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")


def test_zooming_one_chart_zooms_all_of_its_axis(look: Look) -> None:
    page = look(RUN)
    whole = {}
    for title in ("Loss", "Weight norms"):
        assert is_drawn(canvas_of(page, title))
        whole[title] = picture(canvas_of(page, title))
    over = chart(page, "Loss").locator(".u-over")
    drag(page, over, 0.25, 0.75)
    for title, before in whole.items():
        assert changes(canvas_of(page, title), before)
    closer = zoom(page)
    assert closer == pytest.approx((LAST * 0.25, LAST * 0.75), abs=0.3)
    drag(page, over, 0.8, 0.4, shift=True)
    aside = zoom(page)
    assert aside
    assert closer
    assert aside[0] > closer[0] + 1, "what is dragged to the left shows what comes later"
    assert aside[1] - aside[0] == pytest.approx(closer[1] - closer[0])
    drag(page, over, 0.9, 0.1, shift=True)
    at_end = zoom(page)
    assert at_end
    assert at_end[1] == LAST, "there is nothing after the last epoch"
    over.dblclick()
    assert zoom(page) is None
    for title, before in whole.items():
        assert becomes(canvas_of(page, title), before)


class Fingers:
    """Up to two fingers on a plot, at shares of its width."""

    def __init__(self, page: Page, box: Locator) -> None:
        box.scroll_into_view_if_needed()
        self.session = page.context.new_cdp_session(page)
        self.place: Any = box.bounding_box()

    def move(self, start: list[float], end: list[float], steps: int = 8) -> None:
        self._send("touchStart", start)
        for step in range(1, steps + 1):
            self._send("touchMove", [a + (b - a) * step / steps for a, b in zip(start, end, strict=True)])
        self._send("touchEnd", [])

    def _send(self, kind: str, shares: list[float]) -> None:
        place = self.place
        y = place["y"] + place["height"] / 2
        points = [{"x": place["x"] + share * place["width"], "y": y, "id": i} for i, share in enumerate(shares)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_two_fingers_zoom_and_one_pans_or_reads(look: Look) -> None:
    page = look(RUN, width=360, touch=True)
    assert is_drawn(canvas_of(page, "Loss"))
    at = chart(page, "Loss").locator(".at")
    expect(at).to_have_text(f"epoch {LAST}")
    fingers = Fingers(page, chart(page, "Loss").locator(".u-over"))
    fingers.move([0.4], [0.5])
    assert zoom(page) is None
    expect(at).to_have_text(re.compile("^epoch (9|10)$"))
    fingers.move([0.45, 0.55], [0.25, 0.75])
    closer = zoom(page)
    assert closer
    assert closer[1] - closer[0] == pytest.approx(LAST / 5, rel=0.1)
    assert sum(closer) / 2 == pytest.approx(LAST / 2, abs=0.5), "what was between the fingers stays there"
    fingers.move([0.7], [0.2])
    aside = zoom(page)
    assert aside
    assert aside[1] - aside[0] == pytest.approx(closer[1] - closer[0])
    assert aside[0] - closer[0] == pytest.approx((closer[1] - closer[0]) / 2, rel=0.1)
    fingers.move([0.1, 0.9], [0.45, 0.55])
    assert zoom(page) is None, "all that there is, is no zoom"


def test_the_wheel_zooms_and_pans_only_with_a_key(look: Look) -> None:
    page = look(RUN)
    over = chart(page, "Loss").locator(".u-over")
    over.scroll_into_view_if_needed()
    over.hover()
    top = page.evaluate("scrollY")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    closer = zoom(page)
    assert closer
    assert page.evaluate("scrollY") == top
    page.keyboard.down("Shift")
    page.mouse.wheel(0, 60)
    page.keyboard.up("Shift")
    aside = zoom(page)
    assert aside
    assert aside[0] > closer[0]
    page.mouse.wheel(0, 200)
    assert zoom(page) == aside
    assert page.evaluate("scrollY") > top


def test_zoom_by_keyboard_and_by_buttons(look: Look) -> None:
    page = look(RUN)
    plot = chart(page, "Weight norms").locator(".plot")
    plot.focus()
    page.keyboard.press("+")
    assert zoom(page) == pytest.approx((LAST / 4, LAST * 3 / 4))
    page.keyboard.press("Shift+ArrowRight")
    assert zoom(page) == pytest.approx((LAST * 3 / 8, LAST * 7 / 8))
    page.keyboard.press("Home")
    expect(chart(page, "Loss").locator(".at")).to_have_text("epoch 0")
    moved = zoom(page)
    assert moved
    assert moved[0] == 0, "the cursor is always in view"
    page.keyboard.press("Escape")
    assert zoom(page) is None
    reset = page.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_disabled()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Pan left").click()
    assert zoom(page) == pytest.approx((LAST / 8, LAST * 5 / 8))
    page.get_by_role("button", name="Zoom out").click()
    reset.click()
    assert zoom(page) is None


@pytest.mark.parametrize("control", ["Log x", "Log y", "Elapsed", "Clock"])
def test_every_axis_draws_again_and_back(look: Look, control: str) -> None:
    page = look(RUN)
    canvas = canvas_of(page, "Loss")
    assert is_drawn(canvas)
    before = picture(canvas)
    page.get_by_role("button", name=control).click()
    assert changes(canvas, before)
    assert is_drawn(canvas)
    back = "Epoch" if control in ("Elapsed", "Clock") else control
    page.get_by_role("group", name="Horizontal axis").get_by_role("button", name=back).or_(
        page.locator(".toggle", has_text=back)
    ).click()
    assert becomes(canvas, before)


def test_elapsed_time_counts_from_the_start_of_the_run(look: Look) -> None:
    page = look(f"{RUN}?x=relative")
    expect(chart(page, "Loss").locator(".at")).to_have_text("epoch 19 · 60 s")
    chart(page, "Loss").locator(".plot").focus()
    page.keyboard.press("Home")
    expect(chart(page, "Weight norms").locator(".at")).to_have_text("epoch 0 · 3 s")


def test_smoothing_is_what_it_says(look: Look) -> None:
    page = look(RUN)
    values = page.request.get(f"/api{RUN}training-history/?resolution=full").json()["loss"]["val"]
    canvas = canvas_of(page, "Loss")
    assert is_drawn(canvas)
    before = picture(canvas)
    slider = page.get_by_role("slider", name="Smoothing")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    shown = chart(page, "Loss").locator("output").nth(1)
    expect(shown).to_contain_text("~")
    assert changes(canvas, before)
    assert parameters(page)["smooth"] == ["ema-0.6"]
    weights = [0.6 ** (LAST - i) for i in range(LAST + 1)]
    assert smoothed(shown) == pytest.approx(mean(values, weights), rel=1e-3)
    page.get_by_role("button", name="Gaussian").click()
    expect(page.get_by_role("button", name="Gaussian")).to_have_attribute("aria-pressed", "true")
    deviation = 0.6 / 0.4
    near = [math.exp(-0.5 * ((LAST - i) / deviation) ** 2) if LAST - i <= 3 * deviation else 0 for i in range(LAST + 1)]
    assert smoothed(shown) == pytest.approx(mean(values, near), rel=1e-3)
    slider.focus()
    page.keyboard.press("Home")
    expect(shown).not_to_contain_text("~")
    assert becomes(canvas, before)


def smoothed(shown: Locator) -> float:
    return float(shown.inner_text().partition("~")[2])


def mean(values: list[float], weights: list[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def test_a_link_shows_the_same_to_somebody_else(look: Look) -> None:
    page = look(RUN)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Log y").click()
    page.get_by_role("button", name="Log x").click()
    page.get_by_role("button", name="Elapsed").click()
    chart(page, "Loss").get_by_role("button", name="train").click()
    drag(page, chart(page, "Loss").locator(".u-over"), 0.4, 0.8)
    page.get_by_role("slider", name="Smoothing").fill("0.7")
    for name in ("Heatmap", "Symlog", "Candidate tower", "Fit bars"):
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("slider", name="Epoch").fill("12")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    other = look(link)
    assert other.context != page.context
    for name in ("Log y", "Log x", "Elapsed", "Heatmap", "Symlog", "Candidate tower", "Fit bars"):
        expect(other.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
    expect(chart(other, "Loss").get_by_role("button", name="train")).to_have_attribute("aria-pressed", "false")
    expect(other.get_by_role("slider", name="Smoothing")).to_have_value("0.7")
    expect(other.locator(".scrub output")).to_have_text("12 of 19")
    page.mouse.move(0, 0)
    for place in ("#training canvas", "figure.panel canvas"):
        for number, canvas in enumerate(page.locator(place).all()):
            there = other.locator(place).nth(number)
            assert becomes(there, picture(canvas)), f"{place} {number}"


@pytest.mark.parametrize(
    "query",
    [
        "x=nothing&smooth=ema-9&zoom.epochs=a~b&epoch=-1&histogram=pie&tower=third&counts=&hide=,,",
        "zoom.epochs=9~2&smooth=-",
    ],
)
def test_nonsense_in_a_link_is_as_if_it_were_not_there(look: Look, query: str) -> None:
    page = look(f"{RUN}?{query}")
    assert is_drawn(canvas_of(page, "Loss"))
    expect(page.locator(".scrub output")).to_have_text("19 of 19")
    expect(page.locator("figure.panel")).to_have_count(2)


def test_a_zoom_into_a_long_run_brings_every_epoch(look: Look, site: Site) -> None:
    site.seed("warm", run_id="closer", epochs=600)
    page = look("/runs/closer/")
    expect(page.locator(".epochs")).to_contain_text("of 600 epochs; bands")
    page.evaluate("window.sameDocument = true")
    drag(page, chart(page, "Loss").locator(".u-over"), 0.5, 0.6)
    closer = zoom(page)
    expect(page.locator(".epochs")).to_contain_text("600 of 600 epochs")
    assert zoom(page) == closer
    assert page.evaluate("window.sameDocument")
    full = page.request.get("/api/runs/closer/training-history/?resolution=full").json()
    chart(page, "Loss").locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    at = int(chart(page, "Loss").locator(".at").inner_text().split()[1])
    shown = float(chart(page, "Loss").locator("output").nth(1).inner_text())
    assert shown == pytest.approx(full["loss"]["val"][at], rel=1e-3)


def test_a_zoom_into_another_metric_brings_its_every_step(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="steps-closer", logged="batches", size=20_000)
    page = look("/runs/steps-closer/?zoom.steps%20of%20batch=5000~5040")
    figure = chart(page, "batch/loss").filter(has=page.get_by_role("img"))
    plot = figure.locator(".plot")
    expect(figure.locator("canvas")).to_be_visible()
    plot.focus()

    def at_a_step_of_the_full_curve() -> bool:
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        return figure.locator(".at").inner_text().startswith("step 1 ")

    assert soon(plot, at_a_step_of_the_full_curve)


def test_a_live_run_keeps_zoom_scroll_and_focus(look: Look, site: Site) -> None:
    site.seed("warm", run_id="live-zoomed", epochs=40, status="RUNNING")
    page: Any = look("/runs/live-zoomed/")
    plot = chart(page, "Loss").locator(".plot")
    plot.focus()
    page.keyboard.press("+")
    closer = zoom(page)
    assert closer
    page.evaluate("scrollTo(0, 200)")
    page.wait_for_timeout(100)
    top = page.evaluate("scrollY")
    site.seed("put", run_id="live-zoomed", epochs=44, status="RUNNING")
    expect(page.locator(".epochs")).to_contain_text("44 of 44 epochs")
    assert zoom(page) == closer
    assert page.evaluate("scrollY") == top
    expect(plot).to_be_focused()
    page.keyboard.press("Escape")
    assert zoom(page) is None
    page.keyboard.press("End")
    expect(chart(page, "Recall").locator(".at")).to_have_text("epoch 43")


COVERED = """([canvas, [r, g, b]]) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const far = (i) => Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b);
  const near = (i) => far(i) < 60 && data[i + 3] > 200;
  let covered = 0;
  for (let x = 60; x < width - 20; x++) {
    for (let y = 0; y < height; y++) if (near(4 * (y * width + x))) { covered++; break; }
  }
  return covered / (width - 80);
}"""
"""The share of a chart's width at which a curve of this colour can be seen."""


@pytest.mark.parametrize("query", ["smooth=ema-0.8&zoom.epochs=5~15", "zoom.epochs=2.2~2.8", "zoom.epochs=0.16~1.8"])
def test_curves_stay_in_view_smoothed_and_between_their_points(look: Look, query: str) -> None:
    page = look(f"{RUN}?hide=loss&{query}")
    canvas = canvas_of(page, "Loss")
    blue = [29, 111, 184]
    assert soon(canvas, lambda: page.evaluate(COVERED, [canvas.element_handle(), blue]) > 0.97)


def test_an_insight_out_of_view_is_brought_into_it(look: Look) -> None:
    page = look(f"{RUN}?zoom.epochs=0~6")
    assert is_drawn(canvas_of(page, "Loss"))
    page.locator(".insight").get_by_role("button", name="epochs 16 to 19").click()
    shown = zoom(page)
    assert shown
    assert shown[0] <= 16
    assert shown[1] == LAST
    page.goto(f"{RUN}?zoom.epochs=0~2")
    page.locator(".insight").get_by_role("button", name="epochs 16 to 19").click()
    assert zoom(page) is None, "it is longer than what was shown"


def test_a_logarithmic_axis_says_what_it_leaves_out(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", run_id="below-zero", logged="many", size=40)
    page = look("/runs/below-zero/?y-scale=log&search=probe")
    page.locator("#metrics").scroll_into_view_if_needed()
    summary = page.locator("figure.metric .summary").first
    expect(summary).to_contain_text(
        re.compile(r"[0-9]+ values? of zero or less (is|are) not shown on the logarithmic axis")
    )
    page.get_by_role("button", name="Log y").click()
    expect(summary).not_to_contain_text("no place")


def test_a_zoom_of_steps_is_none_of_the_clock(look: Look) -> None:
    page = look(f"{RUN}?zoom.epochs=5~15")
    reset = page.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_enabled()
    page.get_by_role("button", name="Elapsed").click()
    expect(reset).to_be_disabled()
    page.get_by_role("button", name="Epoch", exact=True).click()
    expect(reset).to_be_enabled()
