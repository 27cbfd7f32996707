"""Which runs are compared: added, removed, not warm, many."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.compare.parts import THREE, TWELVE, Look, chip, colour, parameters
from tests.browser.conftest import Site
from tests.chromium import chart, is_drawn, screenshot

WHOLE_ROWS = """list => {
    const box = list.getBoundingClientRect();
    return [...list.children].map(one => one.getBoundingClientRect())
        .every(({top, bottom}) => bottom <= box.bottom + 1 || top >= box.bottom - 1);
}"""
ALL_IN_VIEW = "list => list.scrollHeight <= list.clientHeight + 1"


def test_a_run_that_is_removed_takes_no_colour_of_others(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    kept = {name: colour(page, name) for name in ("search 0", "search 2")}
    gone = colour(page, "search 1")
    page.get_by_role("button", name="Remove search 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 runs")
    assert {name: colour(page, name) for name in kept} == kept
    assert parameters(page) == {"runs": "search0,search2", "slots": "0,2"}
    page.reload()
    expect(page.locator(".compared li")).to_have_count(2)
    assert {name: colour(page, name) for name in kept} == kept
    page.get_by_text("Add a run", exact=True).click()
    page.get_by_role("combobox", name="Search runs to add").fill("search 7")
    page.get_by_role("option", name="search 7").click()
    expect(page.locator(".compared li")).to_have_count(3)
    assert colour(page, "search 7") == gone, "it takes the free slot"
    assert parameters(page)["runs"] == "search0,search2,search7"
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("search 7")


def test_a_run_that_is_removed_and_added_again_is_read_again(look: Look) -> None:
    page = look(THREE)
    rows = page.locator(".matrix tbody tr[class]")
    expect(page.locator(".matrix")).to_be_visible()
    with page.expect_response("**/api/compare?**"):
        page.get_by_role("button", name="Remove search 2").click()
    expect(chart(page, "val_loss").locator(".legend button")).to_have_count(2)
    page.wait_for_timeout(100)  # the answer is taken
    page.get_by_text("Add a run", exact=True).click()
    page.get_by_role("combobox", name="Search runs to add").fill("search 2")
    page.get_by_role("option", name="search 2", exact=False).first.click()
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("search 2")
    page.locator(".matrix").scroll_into_view_if_needed()
    expect(rows.first).to_be_visible()
    expect(page.locator(".matrix .value").get_by_text("…", exact=True)).to_have_count(0)


def test_any_run_is_found_and_added_by_keyboard(look: Look) -> None:
    page = look(THREE)
    expect(page.locator(".compared li")).to_have_count(3)
    page.get_by_text("Add a run", exact=True).focus()
    page.keyboard.press("Enter")
    field = page.get_by_role("combobox", name="Search runs to add")
    expect(field).to_be_focused()
    page.keyboard.type("search and param.seed > 3 and param.seed < 6")
    options = page.locator("#found-runs > li")
    expect(options).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    marked = page.locator("#found-runs > [aria-selected=true]")
    assert field.get_attribute("aria-activedescendant") == marked.get_attribute("id")
    name = marked.locator("span").first.inner_text()
    page.keyboard.press("Enter")
    expect(chip(page, name)).to_be_visible()
    expect(field).to_be_focused()
    expect(options).to_have_count(1)
    field.fill("param.seed >")
    expect(page.get_by_text("Can't search: ")).to_be_visible()
    field.fill("no such run")
    expect(page.get_by_text("No other run matches.")).to_be_visible()
    expect(field).to_have_attribute("aria-expanded", "false")
    for word in ("adagrad", "not-yet-announced", "abcdef"):
        field.fill(word)
        page.wait_for_timeout(500)
        expect(options).to_have_count(0)
    field.fill("fedcba9876543210")
    expect(options).to_contain_text("by its run ID")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Add a run", exact=True)).to_be_focused()


def test_what_is_not_warm_is_told_and_appears(look: Look, site: Site) -> None:
    fields: dict[str, Any] = {"kind": "Varied", "run_id": "arrives", "name": "arrives", "seed": 20}
    site.seed(
        "announce",
        kind="Varied",
        run_id="broken",
        name="broken",
        arguments={"state": "failed", "reason": "MLflow is down"},
    )
    site.seed("announce", **fields)
    page = look("/compare/?runs=search0,arrives,broken,unknown-run")
    expect(page.get_by_text("3 of 4 runs are not warm")).to_be_visible()
    expect(page.locator(".not-warm .reason")).to_have_text("MLflow is down")
    assert is_drawn(chart(page, "val_loss").locator("canvas"))
    screenshot(page, "compare-partly-warm")
    site.seed("put", **fields)
    expect(page.get_by_text("2 of 4 runs are not warm")).to_be_visible()
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("arrives")


def test_none_is_warm(look: Look) -> None:
    page = look("/compare/?runs=nobody1,nobody2")
    expect(page.get_by_role("heading", name="None of these runs is warm yet")).to_be_visible()
    screenshot(page, "compare-cold")


@pytest.mark.parametrize("query", ["", "?runs=search3"])
def test_with_too_few_runs_the_page_says_how_to_choose(look: Look, query: str) -> None:
    page = look(f"/compare/{query}")
    expect(page.get_by_text("and conditions such as param.optimizer = adam")).to_be_visible()
    screenshot(page, f"compare-choose{len(query)}")
    search = page.get_by_role("combobox", name="Search runs to add")
    for name in ("search 1", "search 2"):
        search.fill(name)
        page.get_by_role("option", name=name).first.click()
    expect(chart(page, "val_loss").locator(".legend")).to_contain_text("search 2")
    search.fill("fedcba9876543210")
    page.get_by_role("option", name="fedcba9876543210").click()
    expect(chip(page, "fedcba9876543210").locator(".state")).to_have_text("not announced")


@pytest.mark.parametrize("width", [360, 1400])
def test_up_to_twelve_runs_are_all_named(look: Look, width: int) -> None:
    page = look(TWELVE, width=width)
    expect(page.locator(".compared li")).to_have_count(12)
    expect(chart(page, "val_loss").locator(".legend button")).to_have_count(12)
    for names in (page.locator(".compared"), chart(page, "val_loss").locator(".legend")):
        assert names.evaluate(ALL_IN_VIEW)
    expect(page.locator(".all-runs:visible")).to_have_count(0)


@pytest.mark.parametrize("width", [360, 1400])
def test_of_many_runs_whole_rows_are_shown_and_all_when_asked(look: Look, site: Site, width: int) -> None:
    seeds = range(200, 230)
    site.seed_all(
        "warm", [{"run_id": f"thirty{s}", "seed": s, "name": f"a longer name of run {s}"} for s in seeds], "Varied"
    )
    page = look(f"/compare/?runs={','.join(f'thirty{seed}' for seed in seeds)}", width=width)
    expect(chart(page, "val_loss").locator(".legend button")).to_have_count(30)
    for box in (page.locator(".picker"), chart(page, "val_loss")):
        names = box.locator(".whole-rows")
        assert not names.evaluate(ALL_IN_VIEW)
        assert names.evaluate(WHOLE_ROWS)
        box.get_by_role("button", name="all 30").click()
        assert names.evaluate(ALL_IN_VIEW)
        box.get_by_role("button", name="fewer").click()
        assert not names.evaluate(ALL_IN_VIEW)


def test_on_a_phone_names_of_one_program_are_told_apart(look: Look, site: Site) -> None:
    names = [f"quick-test-20261126-13452{s}-with-a-long-name-{s}" for s in range(2)]
    site.seed_all("warm", [{"run_id": f"alike{s}", "seed": s, "name": name} for s, name in enumerate(names)], "Varied")
    page = look("/compare/?runs=alike0,alike1", width=360)
    inside = """name => {
        const box = name.closest("button").getBoundingClientRect();
        const end = name.lastElementChild.getBoundingClientRect();
        return end.width > 0 && end.right <= box.right + 1 && end.right <= innerWidth;
    }"""
    for place in (".compared", "figure.chart:first-child .legend"):
        cut = page.locator(place).locator(".cut")
        expect(cut).to_have_text(names)
        for i in range(2):
            assert cut.nth(i).evaluate(inside)


def test_runs_of_one_name_show_it_beside_as_much_of_the_id_as_tells_them_apart(look: Look, site: Site) -> None:
    """Of a search that ran twice, the learning rate is in the names."""
    ids = ["955ccf5c", "40f117ed", "82a69180", "9f6d0790", "949a91d7", "949a9f7c"]
    names = ["lr 0.01", "lr 0.003", "lr 0.001", "lr 0.01", "lr 0.003", "lr 0.003"]
    runs = [{"run_id": id_, "seed": s, "name": name} for s, (id_, name) in enumerate(zip(ids, names, strict=True))]
    site.seed_all("warm", runs, "Varied")
    page = look(f"/compare/?runs={','.join(ids)}", width=1400)
    told = ["lr 0.01 · 955c", "lr 0.003 · 40f1", "lr 0.001", "lr 0.01 · 9f6d", "lr 0.003 · 949a91", "lr 0.003 · 949a9f"]
    whole = "name => name.firstElementChild.scrollWidth <= name.firstElementChild.clientWidth"
    for place in (".compared", "thead"):
        cut = page.locator(place).first.locator(".cut")
        expect(cut).to_have_text(told)
        assert [cut.nth(i).evaluate(whole) for i in range(len(told))] == [True] * len(told), place
