"""The list of runs: find, sort, group, choose, annotate, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import screenshot, screenshots

Look = Callable[..., Page]


# Whether the bar of the chosen runs covers the focused element.
COVERED = """window.covered = () => {
  const [focused, bar] = [document.activeElement, document.querySelector(".chosen-bar")];
  const shown = focused.matches(".name a") ? focused.closest("tr") : focused;
  return !bar.contains(focused) && shown.getBoundingClientRect().bottom > bar.getBoundingClientRect().top + 1;
}"""


@pytest.fixture(scope="module")
def runs(site: Site) -> None:
    """Eight runs with two names and two experiments, and a viewer."""
    runs = [
        {
            "run_id": f"run{number}",
            "seed": number + 2,
            "epochs": 10 + number,
            "name": f"{['broad', 'deep'][number % 2]}-{number}",
            "experiment": ["towers", "sweeps"][number // 4],
            "status": ["FINISHED", "FAILED"][number == 5],
        }
        for number in range(8)
    ]
    site.seed_all("warm", runs)
    site.seeder(("Account", {"name": "vera", "password": "only looking"}, "make", {}))


def names(page: Page) -> list[str]:
    # After a click the address may be new already, and the rows not yet there.
    page.wait_for_load_state()
    return page.locator("table.runs .name > a").all_inner_texts()


def sign_in(page: Page, name: str, password: str) -> None:
    page.goto("/sign-in/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(name, exact=True)).to_be_visible()


@pytest.mark.usefixtures("runs")
def test_a_run_is_found_sorted_and_opened(look: Look) -> None:
    page = look("/")
    page.keyboard.press("/")
    page.keyboard.type("broad and epochs >= 12")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=broad\+and\+epochs\+%3E%3D\+12$"))
    assert names(page) == ["broad-6", "broad-4", "broad-2"]
    page.get_by_role("link", name="Epochs", exact=True).click()
    page.get_by_role("link", name="Epochs", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Epochs")
    assert names(page) == ["broad-2", "broad-4", "broad-6"]
    screenshot(page, "runs-search-1400-light")
    page.get_by_role("link", name="Remove the condition broad").click()
    assert len(names(page)) > 3
    page.go_back()
    page.get_by_role("link", name="broad-4").click()
    expect(page).to_have_url(re.compile("/runs/run4/$"))


@pytest.mark.usefixtures("runs")
def test_statuses_groups_and_columns_are_clicked(look: Look) -> None:
    page = look("/?q=experiment+~+s")
    page.get_by_role("navigation", name="Status").get_by_role("link", name="failed").click()
    assert names(page) == ["deep-5"]
    page.get_by_role("navigation", name="Status").get_by_role("link", name="failed").click()
    page.get_by_label("Group by").select_option("experiment")
    expect(page.locator(".group-head").first).to_contain_text("4 runs · lowest final_val_loss")
    screenshot(page, "runs-groups-1400-light")
    page.locator(".group-head").get_by_role("link", name="sweeps").click()
    assert sorted(names(page)) == ["broad-4", "broad-6", "deep-5", "deep-7"]
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name="test_recall_at_50").check()
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("columnheader", name="test_recall_at_50")).to_be_visible()
    address = page.url
    assert "columns=metric.test_recall_at_50" in address
    other = look(address)
    assert other.locator("thead").inner_text() == page.locator("thead").inner_text()


@pytest.mark.usefixtures("runs")
def test_three_runs_of_two_pages_are_compared(look: Look) -> None:
    page = look("/?q=broad&sort=name&limit=2")
    expect(page.get_by_role("button", name="Compare")).to_be_hidden()
    page.get_by_label("Choose broad-0").check()
    expect(page.get_by_role("button", name="Compare (1)")).to_be_disabled()
    page.get_by_role("link", name="Next").click()
    page.get_by_label("Choose broad-4").check()
    page.get_by_label("Choose broad-6").check()
    page.get_by_role("link", name="Previous").click()
    expect(page.get_by_label("Choose broad-0")).to_be_checked()
    page.route("**/compare/**", lambda route: route.fulfill(body="compared"))
    with page.expect_request("**/compare/**") as asked:
        page.get_by_role("button", name="Compare (3)").click()
    assert asked.value.url.endswith("/compare/?runs=run0,run4,run6")


@pytest.mark.usefixtures("runs")
def test_all_of_it_by_keyboard(look: Look) -> None:
    page = look("/?q=deep&sort=name")
    for key in ("j", "ArrowDown", "x", "k", "x"):
        page.keyboard.press(key)
    expect(page.get_by_label("Choose deep-1")).to_be_checked()
    expect(page.get_by_label("Choose deep-3")).to_be_checked()
    expect(page.get_by_role("button", name="Compare (2)")).to_be_enabled()
    page.keyboard.press("x")
    expect(page.get_by_label("Choose deep-1")).not_to_be_checked()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/runs/run3/$"))


@pytest.mark.usefixtures("runs")
def test_an_editor_pins_tags_and_archives(look: Look) -> None:
    page = look("/sign-in/")
    sign_in(page, "ada", "correct horse")
    page.goto("/?q=broad&sort=name")
    page.get_by_label("Choose broad-6").check()
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.locator("tbody.pinned .name > a")).to_have_text("broad-6")
    expect(page).to_have_url(re.compile(r"\?q=broad&sort=name$"))
    page.get_by_label("Tags").fill("owner=ada")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("link", name="owner=ada").click()
    assert names(page) == ["broad-6"]
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_role("heading", name="No runs match")).to_be_visible()
    page.get_by_role("link", name="Include them").click()
    for button in ("Restore", "Unpin"):
        page.get_by_role("button", name=button).click()
    expect(page.locator("tbody.pinned .name")).to_have_count(0)
    page.goto("/runs/run6/")
    page.get_by_text("Edit tags and note").click()
    page.get_by_label("Note").fill("worth a look")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".said-note")).to_have_text("worth a look")


@pytest.mark.usefixtures("runs")
def test_enter_in_the_field_of_tags_tags(look: Look) -> None:
    page = look("/sign-in/")
    sign_in(page, "ada", "correct horse")
    page.goto("/?q=deep&sort=name")
    page.get_by_label("Choose deep-1").check()
    page.get_by_label("Choose deep-3").check()
    field = page.get_by_label("Tags")
    expect(field).to_have_attribute("placeholder", "good, owner=ada")
    field.press("Enter")
    field.fill("entered, by=hand")
    field.press("Enter")
    expect(page.locator(".name", has_text="deep-1").locator(".chip")).to_have_text(["by=hand", "entered"])
    expect(page).to_have_url(re.compile(r"\?q=deep&sort=name$"))
    field.fill("entered, by")
    page.get_by_role("button", name="Untag", exact=True).click()
    expect(page.locator(".name .chip")).to_have_count(0)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("key", ["j", "Tab"])
def test_the_bar_hides_no_row_that_has_the_focus(look: Look, site: Site, key: str) -> None:
    site.seed_all("announce", [{"run_id": f"row{number}", "name": f"row {number}"} for number in range(15)])
    page = look("/?q=row&sort=name")
    page.set_viewport_size({"width": 1400, "height": 620})
    page.locator("input[name=run]").first.check()
    page.evaluate(COVERED)
    page.locator(".name a").first.focus()
    for _ in range(14 if key == "j" else 28):
        page.keyboard.press(key)
        assert not page.evaluate("window.covered()")
    expect(page.locator("tbody tr").last).to_be_in_viewport()


@pytest.mark.usefixtures("runs")
def test_a_viewer_looks_and_is_refused(look: Look) -> None:
    page = look("/sign-in/")
    sign_in(page, "vera", "only looking")
    page.goto("/?q=broad")
    page.get_by_label("Choose broad-6").check()
    expect(page.get_by_role("button", name="Compare (1)")).to_be_visible()
    expect(page.get_by_role("button", name="Pin", exact=True)).to_have_count(0)
    token = page.locator("[name=csrfmiddlewaretoken]").first.get_attribute("value")
    form: dict[str, str | float | bool] = {"run": "run6", "csrfmiddlewaretoken": token or ""}
    answer = page.request.post("/annotate/pin/", form=form, headers={"Referer": page.url})
    assert answer.status == 403
    assert "annotations.change_annotation" in answer.text()


@pytest.mark.usefixtures("runs")
def test_rows_follow_along_in_place(look: Look, site: Site) -> None:
    site.seed("warm", run_id="growing", name="growing", epochs=9, status="RUNNING")
    page = look("/?q=growing+is:all&sort=name")
    page.get_by_label("Choose growing").check()
    page.keyboard.press("j")
    page.evaluate("window.sameDocument = true; window.sameRow = document.querySelector('tbody tr')")
    site.seed("put", run_id="growing", name="growing", epochs=10, status="RUNNING")
    site.seed("warm", run_id="growing2", name="growing too", epochs=3, status="RUNNING")
    expect(page.locator("td[data-label=epochs]").first).to_have_text("10")
    expect(page.get_by_role("link", name="growing too")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="run")).to_have_text("2 runs")
    assert page.evaluate("window.sameDocument && window.sameRow.isConnected")
    expect(page.get_by_label("Choose growing", exact=True)).to_be_checked()
    expect(page.get_by_role("link", name="growing", exact=True)).to_be_focused()


@pytest.mark.usefixtures("runs")
def test_it_all_works_without_scripts(look: Look, site: Site) -> None:
    context = look("/").context.browser.new_context(java_script_enabled=False, base_url=site.address)  # type: ignore[union-attr]
    page = context.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("broad and epochs = 10")
    page.get_by_role("button", name="Search").click()
    assert names(page) == ["broad-0"]
    page.goto("/?q=broad")
    page.get_by_label("Sort").select_option("name")
    page.get_by_label("Rows").select_option("25")
    page.get_by_role("button", name="Apply").click()
    assert names(page) == ["broad-0", "broad-2", "broad-4", "broad-6"]
    page.get_by_label("Choose broad-0").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Choose 2 to 50 runs")).to_be_visible()
    context.close()


@pytest.mark.usefixtures("runs")
def test_many_columns_scroll_and_the_names_stay(look: Look) -> None:
    keys = [f"metric.test_{what}_at_{at}" for what in ("recall", "precision") for at in (5, 10, 50, 100)]
    keys += ["param.optimizer", "param.learning_rate", "param.batch_size", "metric.test_loss"]
    page = look(f"/?q=broad&{'&'.join(f'columns={key}' for key in keys)}")
    box = page.get_by_role("region", name="Runs")
    name = page.locator(".name").first
    before = name.bounding_box()
    box.focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    last = page.get_by_role("columnheader", name="Charts")
    expect(last).to_be_in_viewport(ratio=0.99)
    assert before
    after = name.bounding_box()
    assert after
    assert abs(after["x"] - before["x"]) < 1
    screenshot(page, "runs-many-columns-1400-light")
    page.mouse.click(1300, after["y"] + 10)
    expect(page).to_have_url(re.compile("/runs/run"))


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("width", [1400, 360])
def test_it_fits(look: Look, width: int) -> None:
    page = look("/?q=quick+is:all", width=width)
    page.goto("/?sort=-metric.test_recall_at_10&limit=25")
    page.locator("input[name=run]").nth(1).check()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    screenshots(page, f"runs-{width}")


# Cells that overflow, and how many pixels wider than its box the table is.
TOO_WIDE = """() => {
  const box = document.querySelector(".runs-box");
  const places = [...box.querySelectorAll("tbody tr > *")].map(cell => [cell, cell.getBoundingClientRect()]);
  const beyond = places.flatMap(([cell, place]) => [...cell.querySelectorAll("*")]
    .filter(part => !part.matches(".sr") && part.getBoundingClientRect().right > place.right + 1)
    .map(part => part.outerHTML.slice(0, 80)));
  return [beyond, box.scrollWidth - box.clientWidth, document.documentElement.scrollWidth - innerWidth];
}"""


@pytest.fixture(scope="module")
def endless(site: Site) -> None:
    """A run whose name, experiment and tag are single words of 200 letters."""
    site.seed("warm", run_id="endless", name="n" * 200, experiment="e" * 200)
    note = {"run_id": "endless", "tags": {"t" * 50: "v" * 200}, "note": "o" * 200}
    site.seeder(("Annotation", note, "make", {}))


@pytest.mark.usefixtures("runs", "endless")
@pytest.mark.parametrize("width", [1400, 1280, 360])
def test_endless_names_stay_in_their_cells(look: Look, width: int) -> None:
    page = look(f"/?q=experiment+%3D+{'e' * 200}", width=width)
    row = page.locator("[data-key=endless]")
    row.scroll_into_view_if_needed()
    screenshots(page, f"runs-endless-{width}")
    beyond, in_table, in_page = page.evaluate(TOO_WIDE)
    assert (beyond, in_table) == ([], 0)
    assert in_page <= 0
    place = row.bounding_box()
    assert place
    assert place["height"] < (120 if width > 820 else 300)
    expect(row.locator(".name > a")).to_have_attribute("title", "n" * 200)
    expect(row.locator(".sub").first).to_have_attribute("title", "e" * 200)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("width", [1400, 1280])
def test_usual_rows_are_two_lines_high(look: Look, width: int) -> None:
    page = look("/?q=deep&sort=name", width=width)
    assert page.evaluate(TOO_WIDE)[1] == 0
    place = page.locator("tbody tr").last.bounding_box()
    assert place
    assert place["height"] < 60


@pytest.mark.usefixtures("runs")
def test_cells_tell_their_titles_through_the_link_above_them(look: Look) -> None:
    page = look("/?q=name+%3D+broad-4")
    row, link = page.locator("tbody tr").last, page.locator(".name > a").last

    def told(over: str) -> str | None:
        row.locator(over).hover(force=True)
        return link.get_attribute("title")

    exact = row.locator("[data-label=final_val_loss]").get_attribute("title")
    assert exact
    assert len(exact) > 6
    assert told("[data-label=final_val_loss]") == exact
    assert told("[data-label=epochs]") == ""
    assert told("[data-label=started] time") == row.locator("time").first.get_attribute("title")
    assert told(".sub") == "sweeps"
    page.mouse.move(0, 0)
    row.locator("[data-label=epochs]").click(force=True)
    expect(page).to_have_url(re.compile("/runs/run4/$"))


@pytest.mark.usefixtures("runs")
def test_many_are_chosen_at_once(look: Look) -> None:
    page = look("/?q=broad&sort=name")
    boxes = page.locator("input[name=run]")
    every = page.get_by_role("checkbox", name="Choose all runs shown")

    def chosen() -> list[bool]:
        return [box.is_checked() for box in boxes.all()]

    boxes.nth(2).click()
    boxes.nth(0).click(modifiers=["Shift"])
    assert chosen() == [True, True, True, False]
    assert every.evaluate("box => [box.checked, box.indeterminate]") == [False, True]
    boxes.nth(1).click()
    boxes.nth(2).click(modifiers=["Shift"])
    assert chosen() == [True, False, False, False]
    every.check()
    assert chosen() == [True] * 4
    assert every.evaluate("box => [box.checked, box.indeterminate]") == [True, False]
    expect(page.get_by_text("4 chosen")).to_be_visible()
    page.goto("/?q=deep&sort=name")
    assert every.evaluate("box => [box.checked, box.indeterminate]") == [False, False]
    every.check()
    expect(page.get_by_text("8 chosen")).to_be_visible()
    screenshot(page, "runs-all-chosen-1400-light")
    every.uncheck()
    expect(page.get_by_text("4 chosen")).to_be_visible()
    boxes.nth(1).focus()
    page.keyboard.press("x")
    expect(page.get_by_text("5 chosen")).to_be_visible()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("address", ["/?q=deep&sort=name", "/?q=nothing-has-this-name"])
def test_the_sheet_of_keys_opens_and_switches_them_off(look: Look, address: str) -> None:
    page = look(address)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard and mouse")
    expect(sheet).to_contain_text("Search")
    assert ("Compare the chosen runs" in sheet.inner_text()) == ("deep" in address)
    assert "chart" not in sheet.inner_text()
    screenshot(page, f"runs-keys-{'deep' in address}-1400-light")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(page.locator("tbody tr:focus-within")).to_have_count(0)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    sheet.get_by_role("checkbox").uncheck()
    sheet.get_by_role("button", name="Close").click()
    page.evaluate("document.activeElement.blur()")
    for key in ("/", "j", "?", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement === document.body")
    expect(sheet).to_have_count(0)


@pytest.mark.usefixtures("runs")
def test_c_compares_what_is_chosen(look: Look) -> None:
    page = look("/?q=deep&sort=name")
    page.route("**/compare/**", lambda route: route.fulfill(body="compared"))
    for key in "jxc":
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Compare (1)")).to_be_disabled()
    page.get_by_role("combobox", name="Search the runs").focus()
    page.keyboard.type("jxc")
    expect(page.get_by_role("combobox", name="Search the runs")).to_have_value("jxcdeep")
    page.keyboard.press("Escape")
    with page.expect_request("**/compare/**") as asked:
        for key in "jjxc":
            page.keyboard.press(key)
    assert asked.value.url.endswith("/compare/?runs=run1,run3")
    expect(page.get_by_text("compared", exact=True)).to_be_visible()


@pytest.mark.usefixtures("runs")
def test_the_list_is_taken_along_as_a_table(look: Look) -> None:
    page = look("/?q=broad&sort=name&limit=2&columns=param.optimizer")
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download CSV").click()
    rows = caught.value.path().read_text("utf-8-sig").splitlines()
    assert rows[0] == "run_id,name,experiment,status,epochs,unit,started,ended,param.optimizer"
    assert [row.split(",")[1] for row in rows[1:]] == ["broad-0", "broad-2", "broad-4", "broad-6"]
    with page.expect_download() as caught:
        page.get_by_role("link", name="Download JSON").click()
    assert len(json.loads(caught.value.path().read_text())["runs"]) == 4
