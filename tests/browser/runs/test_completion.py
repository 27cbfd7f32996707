"""Suggestions below the list's search field: by keyboard, mouse and touch, in time, and with any name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Site
from tests.browser.test_accessibility import assert_axe_finds_nothing
from tests.chromium import screenshots, soon
from tests.waiting import PATIENCE, wait

Look = Callable[..., Page]
ENDLESS = "e" * 490
RTL, MARKUP = "\u05e9\u05dc\u05d5\u05dd", "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module", autouse=True)
def named(site: Site) -> None:
    """Runs whose metrics, parameters, tags and experiments have usual and hostile names."""
    site.seed("warm", run_id="typed1", name="typed 1", experiment="typing", epochs=12)
    site.seed("warm", run_id="typed2", name="typed 2", experiment=ENDLESS, epochs=14)
    site.seed(
        "warm", kind="Framework", run_id="typed3", name="typed 3", logged="inherited", size=20, experiment="typing"
    )
    tags = {"run_id": "typed1", "tags": {RTL: "1", MARKUP: "x", "odd name": "v"}, "note": ""}
    site.seeder(("Annotation", tags, "make", {}))
    # The webapp keeps names for some seconds.
    wait(lambda: "odd name" in asked(site, "tag.o") and "__proto__" in asked(site, "param.__"), "the names")


def asked(site: Site, query: str) -> list[str]:
    answer = requests.get(f"{site.address}/api/complete", {"q": query}, timeout=PATIENCE).json()
    return [one["label"] for one in answer["suggestions"]]


class Hands:
    """A page's search field and its list."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.field = page.get_by_role("combobox", name="Search the runs")
        self.list = page.get_by_role("listbox", name="Suggestions")
        self.options = self.list.get_by_role("option")
        self.marked = self.list.locator("[aria-selected=true]")

    def type(self, text: str) -> None:
        """Types at the end of the field, until there are suggestions for all of it."""
        self.field.focus()
        with self.page.expect_response(lambda answer: "/api/complete" in answer.url and answer.ok):
            self.page.keyboard.type(text)
        self.settled()

    def settled(self) -> None:
        """Waits until the list fits the text: a slow machine asks between two keys, too."""
        expect(self.list).not_to_have_attribute("aria-busy", "true")
        expect(self.options.first).to_be_visible()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def option(self, name: str) -> Locator:
        """The option with this label."""
        return self.options.filter(has=self.page.locator("bdi").get_by_text(name, exact=True))


@pytest.fixture
def hands(look: Look) -> Hands:
    return Hands(look("/"))


def test_a_query_is_written_by_keyboard(hands: Hands) -> None:
    hands.type("final_val")
    expect(hands.field).to_have_attribute("aria-expanded", "true")
    expect(hands.field).to_have_attribute("aria-controls", hands.list.get_attribute("id") or "")
    expect(hands.marked).to_have_count(0)
    hands.press("ArrowDown")
    expect(hands.marked).to_contain_text("final_val_loss")
    expect(hands.marked).to_contain_text("metric")
    expect(hands.field).to_have_attribute("aria-activedescendant", hands.marked.get_attribute("id") or "")
    hands.press("Enter")
    expect(hands.field).to_have_value("metric.final_val_loss ")
    expect(hands.options.first).to_have_text(re.compile("^= is"))
    expect(hands.field).to_be_focused()
    hands.press("ArrowUp", "Home", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown")
    expect(hands.marked).to_contain_text("<= at most")
    hands.press("Tab")
    expect(hands.field).to_have_value("metric.final_val_loss <= ")
    hands.page.keyboard.type("1000 and na")
    expect(hands.option("name")).to_be_visible()
    hands.settled()
    hands.press("ArrowDown", "Tab")
    expect(hands.field).to_have_value("metric.final_val_loss <= 1000 and name ")
    hands.type("= typed")
    hands.press("End", "ArrowDown", "End")
    expect(hands.options.last).to_have_attribute("aria-selected", "true")
    hands.press("Home")
    expect(hands.marked).to_contain_text("typed 1")
    hands.press("Enter")
    expect(hands.field).to_have_value('metric.final_val_loss <= 1000 and name = "typed 1" ')
    hands.press("Escape", "Enter")
    expect(hands.page).to_have_url(re.compile("q=metric"))
    expect(hands.page.locator("table.runs .name > a")).to_have_text(["typed 1"])


def test_enter_without_a_marked_suggestion_searches(hands: Hands) -> None:
    hands.type("typing")
    hands.press("Enter")
    expect(hands.page).to_have_url(re.compile(r"\?q=typing$"))


def test_escape_closes_the_list_and_then_leaves_the_field(hands: Hands) -> None:
    hands.type("status = ")
    hands.press("Escape")
    expect(hands.list).to_be_hidden()
    expect(hands.field).to_have_attribute("aria-expanded", "false")
    expect(hands.field).to_have_value("status = ")
    expect(hands.field).to_be_focused()
    hands.press("ArrowDown")
    expect(hands.option("failed")).to_be_visible()
    hands.press("Escape", "Escape")
    expect(hands.field).not_to_be_focused()


def test_a_word_in_the_middle_is_completed(hands: Hands) -> None:
    hands.field.fill("status = fini and epochs > 3")
    for _ in " and epochs > 3":
        hands.press("ArrowLeft")
    hands.press("ArrowDown")
    expect(hands.options).to_have_text([re.compile("^finished")])
    hands.press("ArrowDown", "Enter")
    expect(hands.field).to_have_value("status = finished and epochs > 3")
    assert hands.field.evaluate("field => field.selectionStart") == len("status = finished ")


def test_suggestions_for_a_place_that_the_cursor_has_left_are_not_shown(look: Look) -> None:
    page = look("/")
    hands, held = Hands(page), list[Route]()
    page.route("**/api/complete**", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/api/complete**"):
        hands.field.fill("status = fini or ")
    for _ in " or ":
        hands.press("ArrowLeft")
    with page.expect_response("**/api/complete**"):
        held[0].continue_()
    page.wait_for_timeout(100)
    expect(hands.list).to_be_hidden()
    hands.press("ArrowDown")
    expect(hands.options).to_have_text([re.compile("^finished")])


def test_a_key_right_after_one_that_moved_the_cursor_is_for_the_new_place(hands: Hands) -> None:
    hands.type("status = fini and epochs > 3 and ")
    # Both keys come before the browser's event of a moved cursor.
    hands.field.evaluate(
        """field => {
            field.setSelectionRange(13, 13);
            field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true, cancelable: true }));
        }"""
    )
    expect(hands.options).to_have_text([re.compile("^finished")])


def test_the_list_closes_when_the_cursor_or_the_focus_leaves(hands: Hands) -> None:
    hands.type("status = ")
    hands.press("ArrowLeft")
    expect(hands.list).to_be_hidden()
    hands.press("ArrowDown")
    expect(hands.list).to_be_visible()
    hands.press("Tab")
    expect(hands.list).to_be_hidden()


@pytest.mark.parametrize("touch", [False, True])
def test_a_suggestion_is_clicked_or_tapped(look: Look, touch: bool) -> None:
    hands = Hands(look("/", width=360 if touch else 1400, touch=touch))
    hands.type("param.optimiz")
    option = hands.option("optimizer")
    if touch:
        option.tap()
    else:
        option.click()
    expect(hands.field).to_have_value("param.optimizer ")
    expect(hands.field).to_be_focused()
    expect(hands.option("= is")).to_be_visible()
    hands.page.get_by_role("heading", name="Runs").click()
    expect(hands.list).to_be_hidden()


@pytest.mark.parametrize("width", [1400, 360])
def test_the_open_list_fits_and_axe_finds_nothing(look: Look, width: int) -> None:
    # Ten rows are like fifty, and axe looks at each.
    hands = Hands(look("/?limit=10", width=width))
    row = hands.page.locator("table.runs tbody tr").first
    before = row.bounding_box()
    for typed in ("e", "xperiment = ee"):  # all kinds; one name that is too long for a line
        hands.type(typed)
        hands.press("ArrowDown")
        assert hands.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert hands.list.evaluate("list => list.scrollWidth <= list.clientWidth")
        assert_axe_finds_nothing(hands.page)
        screenshots(hands.page, f"runs-typing-{len(typed)}-{width}")
        hands.press("Escape")
    assert row.bounding_box() == before


@pytest.mark.parametrize(
    ("typed", "name", "written"),
    [
        ("param.__", "__proto__", "param.__proto__ "),
        ("metric.const", "constructor", "metric.constructor "),
        ("metric.valueOf.la", "valueOf.last", "metric.valueOf.last "),
        ('tag."<', MARKUP, f'tag."{MARKUP}" '),
        (f"tags.{RTL[:2]}", RTL, f"tags.{RTL} "),
        ("tags.`odd", "odd name", "tags.`odd name` "),
        ("experiment = ee", ENDLESS, f"experiment = {ENDLESS} "),
    ],
)
def test_any_name_is_shown_as_text_and_found(hands: Hands, typed: str, name: str, written: str) -> None:
    hands.type(typed)
    expect(hands.option(name)).to_have_count(1)
    assert hands.list.locator("img").count() == 0
    hands.option(name).click()
    expect(hands.field).to_have_value(written)
    if not typed.startswith("metric.valueOf"):
        hands.press("Enter")
        expect(hands.page.locator("table.runs tbody tr")).not_to_have_count(0)


def test_outdated_answers_are_dropped(look: Look) -> None:
    page = look("/")
    hands, held, aborted = Hands(page), list[Route](), list[str]()
    page.on("requestfailed", lambda request: aborted.append(request.url))

    def hold(route: Route) -> Any:
        return held.append(route) if route.request.url.endswith("at=2") else route.continue_()

    page.route("**/api/complete**", hold)
    hands.field.focus()
    with page.expect_request("**/api/complete**"):
        page.keyboard.type("st")
    hands.type("atus = ")
    expect(hands.option("failed")).to_be_visible()
    soon(hands.list, lambda: bool(aborted))
    assert aborted, "the first request"
    expect(hands.options).to_have_count(5)


def test_keys_do_nothing_with_an_outdated_list(look: Look) -> None:
    page = look("/")
    hands = Hands(page)
    hands.type("status = fin")
    page.route("**/api/complete**", lambda _: None)  # is never answered
    with page.expect_request("**/api/complete**"):
        page.keyboard.type("ished")
    hands.press("End")
    expect(hands.list).to_have_attribute("aria-busy", "true")
    expect(hands.marked).to_have_count(0)
    hands.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=status"))


def test_the_search_works_without_suggestions(look: Look) -> None:
    page = look("/", may_fail=True)
    page.route("**/api/complete**", lambda route: route.fulfill(status=503, json={"error": "the database is down"}))
    hands = Hands(page)
    hands.field.focus()
    with page.expect_response("**/api/complete**"):
        page.keyboard.type("typed")
    page.wait_for_timeout(100)
    expect(hands.list).to_be_hidden()
    hands.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=typed$"))


def test_the_example_in_the_field_finds_something(hands: Hands) -> None:
    example = (hands.field.get_attribute("placeholder") or "").removeprefix("Search: ")
    assert re.match(r"metric\.\S+ <= \S+$", example)
    hands.field.fill(example)
    hands.press("Enter")
    expect(hands.page).to_have_url(re.compile(r"\?q=metric"))
    expect(hands.page.locator("table.runs tbody tr")).not_to_have_count(0)


def test_without_scripts_it_is_a_plain_field(look: Look, site: Site) -> None:
    context = look("/").context.browser.new_context(java_script_enabled=False, base_url=site.address)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto("/")
    expect(page.get_by_role("searchbox", name="Search the runs")).to_be_visible()
    expect(page.locator("[role=combobox], [role=listbox]")).to_have_count(0)
    context.close()
