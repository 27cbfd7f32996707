"""axe finds nothing on any page, in both themes, on wide and narrow screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.workers.golden_run import DATASETS, MODELS, TAGS

Look = Callable[..., Page]
# Each page has one line: its address, and a text that is there once it is ready. Lists are short: other tests have
# stored dozens of runs here, and axe takes seconds for as many rows alike.
PAGES = {
    "runs": ("/?limit=10", "two-tower"),
    "run": ("/runs/abc123def456/", "Fullest bin"),
    "heatmap": ("/runs/abc123def456/?histogram=heatmap&what=both&tower=both", "The colour of a cell"),
    "quantiles": ("/runs/abc123def456/?histogram=quantiles&smooth=ema-0.6&zoom.epochs=3~9", "95 %"),
    "what MLflow knows": ("/runs/axe-known/", "Data sets"),
    "other metrics": ("/runs/axe-many/", "40 metrics"),
    "waiting": ("/runs/axe-cold/", "Waiting for a worker"),
    "failed": ("/runs/axe-failed/", "MLflow answered 404"),
    "comparison": ("/compare/?runs=abc123def456,axe-many,axe-failed&baseline=0&hidden=1", "not warm"),
    "nothing to compare": ("/compare/", "Choose two or more runs"),
    "unreadable query": ("/?q=metric.loss+%3C", "Invalid query"),
    "no run": ("/?q=no-such-run", "No runs match"),
    "groups": ("/?group=status&limit=10", "finished"),
    "unknown": ("/runs/unknown-run/", "Not announced"),
    "quick test": ("/quick-tests/7/", "Fullest bin"),
    "quick test without a run": ("/quick-tests/77/", "has no run yet"),
    "operations": ("/operations/", "MLflow answered 404"),
    "API": ("/api/docs/", "OpenAPI"),
    "no such page": ("/nothing/", "404"),
    "sign in": ("/sign-in/", "Training runs that open instantly."),
}
FAILING = ("no such page", "unreadable query")
# Pages that need a user.
SIGNED_IN = {
    "tokens": ("/tokens/", "Create token"),
    "operations": ("/operations/", "Replay all failed"),
    "replay": ("/operations/replay/?failed=true", "again"),
    "runs": ("/?q=is:all&limit=10", "Sign out"),
    "annotations": ("/runs/abc123def456/", "Add tags or a note"),
}
ALIKE = 4
# Marks all but the first of the elements that look alike: they, all in them and all around them have the same names,
# classes, states and styles.
MARK_ALIKE = """most => {
  const seen = new Map();
  const shown = ({name, value}) => /^(class|style|type|aria-(?!label|describedby|controls))/.test(name) ? value : "";
  const looks = element => element.localName
    + [...element.attributes].filter(({name}) => name !== "data-alike").map(one => one.name + shown(one)).join();
  const visit = (element, around) => {
    const path = `${around} ${looks(element)}`;
    const key = `${path}: ${[...element.querySelectorAll("*")].map(looks).join(" ")}`;
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    element.toggleAttribute("data-alike", count > most);
    if (count <= most) [...element.children].forEach(child => visit(child, path));
  };
  visit(document.body, "");
}"""


@pytest.fixture(scope="module")
def seeded(site: Site) -> Site:
    site.seed("warm", kind="Framework", run_id="axe-many", logged="many", size=40)
    site.seed("warm", kind="Known", run_id="axe-known", logged_tags=TAGS, datasets=DATASETS, models=MODELS)
    site.seed("announce", run_id="axe-cold")
    site.seed("announce", {"state": "failed", "reason": "MLflow answered 404: no such run"}, run_id="axe-failed")
    return site


@pytest.mark.parametrize("width", [1400, 360])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(look: Look, seeded: Site, name: str, width: int) -> None:
    address, ready = PAGES[name]
    page = look(address, width=width, may_fail=name in FAILING)
    expect(page.get_by_text(ready).first).to_be_visible()
    assert_axe_finds_nothing(page)


@pytest.mark.parametrize("width", [1400, 360])
def test_axe_finds_nothing_for_a_user(look: Look, seeded: Site, width: int) -> None:
    page = look("/sign-in/?next=/tokens/", width=width)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Name").fill("of axe")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("heading", name="of axe: copy it now")).to_be_visible()
    assert_axe_finds_nothing(page)
    page.get_by_role("button", name="Revoke of axe").click()
    expect(page.get_by_role("button", name="Revoke of axe")).to_have_count(0)
    for address, ready in SIGNED_IN.values():
        page.goto(address)
        expect(page.get_by_text(ready).first).to_be_visible()
        assert_axe_finds_nothing(page)


def test_axe_finds_nothing_in_the_search_for_runs_to_add(look: Look, seeded: Site) -> None:
    page = look("/compare/?runs=abc123def456,axe-many")
    page.get_by_text("Add a run", exact=True).click()
    expect(page.get_by_role("combobox", name="Search runs to add")).to_be_focused()
    page.keyboard.type("axe")
    options = page.locator("#found-runs > li")
    expect(options.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    assert_axe_finds_nothing(page)
    page.keyboard.type(" nothing is called so")
    expect(options).to_have_count(0)
    assert_axe_finds_nothing(page)


def test_axe_finds_nothing_in_what_opens(look: Look, seeded: Site) -> None:
    page = look("/runs/abc123def456/")
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    page.get_by_role("button", name="Export Loss").click()
    page.locator("figure.chart summary").first.click()
    expect(page.locator("figure.chart tbody tr").first).to_be_visible()
    assert_axe_finds_nothing(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert_axe_finds_nothing(page)


def assert_axe_finds_nothing(page: Page) -> None:
    """By every rule in the light theme. The dark one differs in colours alone, so there by the rule of contrast."""
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert low_contrast(page) == []
    page.emulate_media(color_scheme="light")


def violations(page: Page) -> list[str]:
    """Rule and place of each."""
    return _found(page, {"rules": {"color-contrast": {"enabled": False}}}) + low_contrast(page)


def low_contrast(page: Page) -> list[str]:
    """Contrast alone takes most of axe's time, so of elements that are styled alike it is told of a few."""
    page.evaluate(MARK_ALIKE, ALIKE)
    return _found(page, {"runOnly": ["color-contrast"]}, {"exclude": [["[data-alike]"]]})


def _found(page: Page, options: dict[str, Any], context: dict[str, Any] | None = None) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)  # takes as long as to run it
    found: dict[str, Any] = Axe("").run(page, context, {"resultTypes": ["violations"], **options}).response
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]
