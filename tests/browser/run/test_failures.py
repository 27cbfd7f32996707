"""What can't be drawn says so in its place until it can, and the rest of the page works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn
from tests.waiting import PATIENCE_MS

Spoil = Callable[[dict[str, Any]], None]


@pytest.fixture
def page(chromium: Browser, site: Site) -> Iterator[Page]:
    """A page that may have errors: they are what is tested."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, base_url=site.address)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def spoiled(page: Page, address: str, spoil: Spoil) -> None:
    """Changes the documents of this address, also where a page carries them."""

    def change(text: str) -> str:
        document = json.loads(text)
        spoil(document)
        return json.dumps(document).replace("<", "\\u003c")

    def answer(route: Route) -> None:
        asked = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
        given = route.fetch(headers=asked)
        headers = {name: value for name, value in given.headers.items() if name != "etag"}
        route.fulfill(response=given, body=change(given.text()), headers=headers)

    def other(found: re.Match[str]) -> str:
        return re.sub('data-etag="[^"]*"', 'data-etag=""', found[1]) + change(found[2]) + found[3]

    def carry(route: Route) -> None:
        given = route.fetch()
        carried = re.compile(rf'(<script[^>]*data-address="[^"]*{address}[^"]*"[^>]*>)(.*?)(</script>)', re.DOTALL)
        route.fulfill(response=given, body=carried.sub(other, given.text()))

    page.route(re.compile(f"/api/.*{address}"), answer)
    page.route(re.compile("/runs/[^/]+/$"), carry)


def test_a_chart_that_cant_be_drawn_says_so_until_it_is(page: Page) -> None:
    def spoil(history: dict[str, Any]) -> None:
        history["status"] = "RUNNING"  # so that the page asks again
        history["weight_norm"]["total"][3] = None
        history["envelope"] = {"weight_norm": {"min": None, "max": None}}

    spoiled(page, "training-history", spoil)
    page.goto("/runs/abc123def456/")
    failed = page.get_by_role("alert")
    expect(failed).to_have_text(re.compile("Weight norms can't be shown: .+"))
    assert is_drawn(chart(page, "Loss").locator("canvas"))
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    page.get_by_role("button", name="Log y").click()  # draws all charts again
    expect(chart(page, "Weight norms").get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Zoom in").click()
    assert is_drawn(chart(page, "Loss").locator("canvas"))
    page.unroute_all()
    expect(failed).to_have_count(0)
    assert is_drawn(chart(page, "Weight norms").locator("canvas"))


def test_what_uplot_draws_later_fails_in_its_place_too(page: Page) -> None:
    def spoil(history: dict[str, Any]) -> None:
        history["envelope"] = {"loss": {"min": None, "max": None}}  # needed first for the range of an axis

    spoiled(page, "training-history", spoil)
    page.goto("/runs/abc123def456/")
    expect(chart(page, "Loss").get_by_role("alert")).to_have_text(re.compile("Loss can't be shown: .+"))
    assert is_drawn(chart(page, "Weight norms").locator("canvas"))


def test_a_histogram_that_cant_be_drawn_says_so(page: Page) -> None:
    spoiled(page, "histogram-data", lambda histogram: histogram.update(counts=[None]))
    page.goto("/runs/abc123def456/")
    expect(page.locator("figure.panel").get_by_role("alert").first).to_have_text(re.compile("Weights.*can't be shown"))
    assert is_drawn(chart(page, "Loss").locator("canvas"))


def test_a_part_of_a_comparison_fails_alone(page: Page, site: Site) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["runs"][0]["history"]["envelope"] = {"loss": {"min": None, "max": None}}

    site.seed("warm", run_id="other", seed=3)
    spoiled(page, "compare", spoil)
    # The page reads every epoch of short runs.
    page.route(re.compile("/api/runs/.*training-history"), lambda route: route.abort())
    page.goto("/compare/?runs=abc123def456,other")
    expect(chart(page, "loss").get_by_role("alert")).to_have_text(re.compile("loss can't be shown: .+"))
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    expect(page.locator(".matrix")).to_be_visible()


def test_other_errors_are_told_at_the_top(page: Page) -> None:
    page.goto("/")
    page.evaluate("setTimeout(() => { throw new Error('the first') })")
    page.evaluate("Promise.reject(new Error('the second')) && null")
    line = page.get_by_role("alert")
    expect(line).to_have_text(
        re.compile("Something on this page has failed: the (first|second), and 1 more before. What is shown may be .*")
    )
    # Notices of the browser are none.
    page.evaluate("dispatchEvent(new ErrorEvent('error', {message: 'ResizeObserver loop completed.'}))")
    expect(line).to_contain_text("and 1 more before")
