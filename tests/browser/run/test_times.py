"""Axes of time that can't be right are not offered, and say why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn

Look = Callable[..., Page]
SECONDS = "they are of 1970, as if logged in seconds"
FINER = "they are after 2099, as if logged in a finer unit"
OWN = "they count from a start of their own"


@pytest.fixture(scope="module")
def timed(site: Site) -> Site:
    """Runs of 20 epochs whose clocks are wrong, each in its own way."""
    for clock in ("seconds", "nanoseconds", "own", "back", "right"):
        site.seed("warm", kind="Clocks", run_id=f"clock-{clock}", name=clock, logged=clock)
    return site


@pytest.mark.parametrize(
    ("run", "disabled", "why"),
    [
        ("seconds", ["Clock", "Elapsed"], f"Times can't be used: {SECONDS}."),
        ("nanoseconds", ["Clock", "Elapsed"], f"Times can't be used: {FINER}."),
        ("own", ["Clock"], f"Times can't be used for Clock: {OWN}."),
        ("right", [], ""),
    ],
)
def test_an_axis_that_cant_be_right_is_not_offered(
    look: Look, timed: Site, run: str, disabled: list[str], why: str
) -> None:
    # The address asks for it.
    page = look(f"/runs/clock-{run}/?x=time")
    loss = chart(page, "Loss")
    assert is_drawn(loss.locator("canvas"))
    axes = page.get_by_role("group", name="Horizontal axis")
    for name in ("Clock", "Elapsed"):
        expect(axes.get_by_role("button", name=name)).to_be_enabled(enabled=name not in disabled)
    if why:
        expect(page.locator(".chart-tools").get_by_text(why)).to_be_visible()
        expect(loss.locator(".summary")).to_contain_text("Drawn by epoch, since its times can't be used: ")
        expect(loss.locator(".at")).to_have_text("epoch 19")
    else:
        expect(loss.locator(".summary")).not_to_contain_text("times")


def test_a_clock_that_goes_back_is_told(look: Look, timed: Site) -> None:
    page = look("/runs/clock-back/")
    loss = chart(page, "Loss")
    assert is_drawn(loss.locator("canvas"))
    expect(loss.locator(".summary")).not_to_contain_text("goes back")
    page.get_by_role("button", name="Clock", exact=True).click()
    expect(loss.locator(".summary")).to_contain_text("Its clock goes back: points are in the order of time")


def test_a_comparison_by_elapsed_time_leaves_out_impossible_times(look: Look, timed: Site) -> None:
    page = look("/compare/?runs=clock-right,clock-seconds,clock-own&x=relative")
    legend = chart(page, "loss").locator(".legend button")
    expect(legend).to_have_count(2)
    expect(page.get_by_text("By elapsed time without seconds, whose times can't be used.")).to_be_visible()
    page.get_by_role("group", name="Horizontal axis").get_by_role("button", name="Epoch").click()
    expect(legend).to_have_count(3)
    none = look("/compare/?runs=clock-seconds,clock-nanoseconds&x=relative")
    expect(chart(none, "loss").locator(".legend button")).to_have_count(2)
    expect(none.get_by_role("button", name="Elapsed")).to_be_disabled()
