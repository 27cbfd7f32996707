"""Everything works by keyboard alone: the focus is visible at each stop, and no page traps it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.keyboard import Keyboard

Look = Callable[..., Page]
RUN = "/runs/abc123def456/"
PAGES = {
    "runs": ("/?q=keyed", "keyed 1"),
    "run": (RUN, "Fullest bin"),
    "failed run": ("/runs/keyed-lost/", "Warming failed"),
    "comparison": ("/compare/?runs=keyed0,keyed1,keyed2&baseline=0", "105 of 105 epochs"),
    "operations": ("/operations/?experiment=keyed", "no such run"),
    "API": ("/api/docs/", "OpenAPI"),
    "sign in": ("/sign-in/", "Training runs that open instantly."),
    "no such page": ("/nothing/", "404"),
}


@pytest.fixture(scope="module", autouse=True)
def keyed(site: Site) -> None:
    runs = [
        {"run_id": f"keyed{seed}", "name": f"keyed {seed}", "seed": seed, "epochs": 30 + 5 * seed} for seed in range(3)
    ]
    site.seed_all("warm", runs, kind="Varied")
    lost = {"state": "failed", "reason": "MLflow answered 404: no such run"}
    site.seed("announce", lost, run_id="keyed-lost", name="lost", experiment="keyed")


def sign_in(hands: Keyboard, to: str = "/") -> None:
    """On the sign-in page the first field has the focus already."""
    hands.page.goto(f"/sign-in/?next={to}")
    # Browsers give the first field the focus with the next frame.
    expect(hands.page.get_by_label("Name")).to_be_focused()
    hands.type("ada")
    hands.press("Tab")
    hands.type("correct horse")
    hands.press("Enter")
    expect(hands.page.get_by_role("button", name="Sign out")).to_be_visible()
    expect(hands.page).to_have_url(re.compile(f"(?<!next=){re.escape(to)}$"))


@pytest.mark.parametrize("width", [1400, 360])
@pytest.mark.parametrize("name", PAGES)
def test_every_stop_is_visible_and_the_page_ends(look: Look, name: str, width: int) -> None:
    address, ready = PAGES[name]
    page = look(address, width=width, may_fail=name == "no such page")
    expect(page.get_by_text(ready).first).to_be_visible()
    hands = Keyboard(page)
    back = [stop.name for stop in hands.stops("Shift+Tab")]
    forth = [stop.name for stop in hands.stops()]
    assert len(forth) > 4
    assert set(back) <= set(forth)


@pytest.mark.parametrize("address", ["/?q=keyed", RUN, "/compare/?runs=keyed0,keyed1", "/operations/", "/api/docs/"])
def test_the_first_stop_leads_past_the_bar(look: Look, address: str) -> None:
    page = look(address)
    hands = Keyboard(page)
    hands.press("Tab")
    assert hands.focused
    assert hands.focused.name == "Skip to content"
    hands.press("Enter", "Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_run_is_found_read_and_taken_along(look: Look) -> None:
    page = look("/")
    hands = Keyboard(page)
    hands.press("/")
    hands.type("quick_test = 7")
    hands.press("Enter")
    expect(page).to_have_url(re.compile("q=quick_test"))
    hands.press("j", "Enter")
    expect(page).to_have_url(re.compile(f"{RUN}$"))
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    for name in ("Weight analysis", "Parameters", "Provenance", "Training"):
        hands.to(name)
        hands.press("Enter")
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_in_viewport()
    hands.to("Loss")
    hands.press("ArrowLeft", "+")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_enabled()
    hands.to("Reset zoom")
    hands.press("Space")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_disabled()
    hands.to(lambda stop: stop.tag == "input" and stop.name == "Epoch")
    hands.press("Home", "ArrowRight", "ArrowRight")
    expect(page.locator(".scrub output")).to_have_text("2 of 19")
    hands.press("?")
    expect(page.get_by_role("dialog", name="Keyboard and mouse")).to_be_visible()
    hands.press("Escape")
    assert hands.focused
    assert hands.focused.name == "Epoch"
    hands.to("Export Loss")
    hands.press("Enter")
    with page.expect_download() as caught:
        hands.to("Data as CSV")
        hands.press("Enter")
    assert caught.value.suggested_filename.endswith(".csv")
    expect(page.get_by_role("button", name="Export Loss")).to_be_focused()
    hands.to(lambda stop: stop.name.startswith("Theme"))
    for _ in range(3):
        hands.press("Enter")
        if page.locator("html").get_attribute("data-theme") == "dark":
            break
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_three_runs_are_chosen_and_compared(look: Look, site: Site) -> None:
    page = look("/?q=keyed&sort=name")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hands = Keyboard(page)
    hands.press(*"jxjxjx")
    hands.to("Compare (3)")
    hands.press("Enter")
    expect(page.get_by_role("heading", name="Compare 3 runs")).to_be_visible()
    expect(page.locator(".epochs .tabular")).to_have_text("105 of 105 epochs in 3 runs")
    hands.to("no baseline")
    hands.press("ArrowRight", "ArrowRight")
    expect(page.get_by_label("Baseline: keyed 1")).to_be_checked()
    expect(page.locator(".matrix .delta").first).to_be_visible()
    hands.press("ArrowRight")
    assert hands.focused
    assert hands.focused.name == "Baseline: keyed 2"
    hands.to("Copy link")
    hands.press("Enter")
    link = page.evaluate("navigator.clipboard.readText()")
    other = look(link.removeprefix(site.address))
    expect(other.get_by_label("Baseline: keyed 2")).to_be_checked()


def test_an_operator_replays_what_failed(look: Look, site: Site) -> None:
    hands = Keyboard(look("/"))
    page = hands.page
    sign_in(hands, "/operations/?experiment=keyed")
    hands.to("Replay lost…")
    hands.press("Enter")
    expect(page.get_by_role("heading", name="Replay 1 run?")).to_be_visible()
    before = len(site.pubsub.messages)
    hands.to("Replay 1 run")
    hands.press("Enter")
    expect(page.get_by_label("Your request")).to_contain_text("on its way through Pub/Sub")
    assert len(site.pubsub.messages) == before + 1
    hands.to("Sign out")
    hands.press("Enter")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_token_is_made_and_revoked(look: Look) -> None:
    hands = Keyboard(look("/"))
    page = hands.page
    sign_in(hands)
    hands.to("ada")
    hands.press("Enter")
    expect(page.get_by_role("heading", name="Tokens")).to_be_visible()
    hands.to(lambda stop: stop.name == "Name")
    hands.type("keyed by hand")
    hands.press("Enter")
    expect(page.get_by_role("heading", name="keyed by hand: copy it now")).to_be_visible()
    hands.to("Revoke keyed by hand")
    hands.press("Enter")
    expect(page.get_by_role("row", name="keyed by hand")).to_have_count(0)
