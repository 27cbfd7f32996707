"""Pages without data yet: they say what to expect, and show the charts when they are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import Site
from tests.chromium import screenshot
from tests.waiting import wait

Look = Callable[..., Page]


def test_a_page_that_waits_turns_into_the_charts(look: Look, site: Site) -> None:
    site.seed("announce", run_id="cold")
    page = look("/runs/cold/")
    expect(page.get_by_role("heading", name="Waiting for a worker")).to_be_visible()
    screenshot(page, "waiting")
    page.evaluate("window.sameDocument = true")
    site.seed("put", run_id="cold")
    expect(page.locator("figure.chart:visible")).to_have_count(6)
    assert page.evaluate("window.sameDocument")


def test_an_unknown_run_may_still_come(look: Look, site: Site) -> None:
    page = look("/runs/tomorrow/")
    expect(page.get_by_role("heading", name="Not announced")).to_be_visible()
    site.seed("warm", run_id="tomorrow")
    expect(page.locator("figure.chart:visible")).to_have_count(6)


def test_a_failed_run_says_why(look: Look, site: Site) -> None:
    site.seed("announce", {"state": "failed", "reason": "MLflow answered 404: no such run"}, run_id="failed")
    page = look("/runs/failed/", theme="dark")
    expect(page.get_by_role("heading", name="Warming failed")).to_be_visible()
    expect(page.get_by_text("MLflow answered 404: no such run")).to_be_visible()
    screenshot(page, "failed-dark")


def test_a_quick_test_without_a_run_leads_to_it_later(look: Look, site: Site) -> None:
    page = look("/quick-tests/21/")
    expect(page.get_by_text("Quick test 21 has no run yet.")).to_be_visible()
    site.seed("warm", {"quick_test": 21}, run_id="late")
    page.wait_for_url("**/runs/late/")
    expect(page.locator("figure.chart:visible")).to_have_count(6)


FIRST: dict[str, Any] = {"logged": "epochs_alone", "run_id": "first-charts"}


def test_first_charts_say_what_is_missing_until_it_is_there(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", **FIRST, pending=128)
    page = look("/runs/first-charts/")
    notice = page.get_by_text("These are the first charts. 128 more metrics will follow: they are being fetched.")
    expect(notice).to_be_visible()
    expect(page.locator("figure.chart canvas").first).to_be_visible()
    screenshot(page, "first-charts")
    page.evaluate("window.sameDocument = true")
    site.seed("put", kind="Framework", **FIRST)
    expect(notice).to_be_hidden()
    expect(page.get_by_text(" after publish")).to_be_visible()
    assert page.evaluate("window.sameDocument")


def test_first_charts_say_why_the_rest_is_missing(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", logged="epochs_alone", run_id="no-more", pending=1)
    page = look("/runs/no-more/", width=360, theme="dark")
    expect(page.get_by_text("1 more metric will follow: it is being fetched.")).to_be_visible()
    site.seed("announce", {"state": "failed", "reason": "MLflow answered 500"}, run_id="no-more")
    expect(page.get_by_text("1 more metric could not be fetched yet: MLflow answered 500")).to_be_visible()
    screenshot(page, "first-charts-failed-narrow-dark")


def test_lists_and_comparisons_say_that_a_run_has_only_first_charts(look: Look, site: Site) -> None:
    site.seed("warm", kind="Framework", logged="epochs_alone", run_id="partial1", name="partial-1", pending=128)
    site.seed("warm", kind="Framework", logged="epochs_alone", run_id="whole1", name="whole-1")
    page = look("/?q=run_id = partial1")
    expect(page.get_by_text("first charts")).to_have_attribute("title", "128 more metrics being fetched")
    page = look("/compare/?runs=partial1,whole1")
    expect(page.get_by_role("heading", name="1 of 2 runs: only the first charts so far")).to_be_visible()
    expect(page.get_by_text("128 more metrics.")).to_be_visible()
    site.seed("put", kind="Framework", logged="epochs_alone", run_id="partial1", name="partial-1")
    expect(page.get_by_role("heading", name="1 of 2 runs: only the first charts so far")).to_be_hidden()


def test_a_live_run_grows_in_place(look: Look, site: Site) -> None:
    site.seed("warm", run_id="live", epochs=9, status="RUNNING")
    statuses: list[int] = []

    def note(response: Response) -> None:
        if "training-history" in response.url:
            statuses.append(response.status)

    page = look("/runs/live/")
    page.on("response", note)
    expect(page.locator(".epochs")).to_have_text("9 of 9 epochs")
    page.evaluate("window.sameDocument = true")

    def asked_again() -> bool:
        page.wait_for_timeout(50)
        return len(statuses) >= 2

    wait(asked_again, "the page to ask twice more")
    assert set(statuses) == {304}
    site.seed("put", run_id="live", epochs=10, status="RUNNING")
    expect(page.locator(".epochs")).to_have_text("10 of 10 epochs")
    expect(page.locator(".scrub output")).to_have_text("9 of 9")
    assert page.evaluate("window.sameDocument")
