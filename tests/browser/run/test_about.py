"""What MLflow knows of a run, on its page: descriptions by anyone, tags of any name and length, links between runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.browser.test_accessibility import assert_axe_finds_nothing
from tests.chromium import cells, screenshot, screenshots
from tests.workers.golden_run import DATASETS, MODELS, TAGS

Look = Callable[..., Page]
HOSTILE = """# Not <script>window.hacked = 1</script> a title

<script>window.hacked = 1</script>

<img src="https://elsewhere.example/a.png" onerror="window.hacked = 1"><svg onload="window.hacked = 1"></svg>

[run](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>) <javascript:window.hacked=1>

[here](/operations/replay/) [out](https://tickets.example/7 "a title") [write](mailto:ada@example.org)

![a remote image](https://elsewhere.example/b.png) [![badge](https://elsewhere.example/c.svg)](https://tickets.example)

<style>body { display: none }</style><iframe src="https://elsewhere.example"></iframe>

</template></div></script><!-- <base href="https://elsewhere.example">
"""
RIGHT_TO_LEFT = "\N{RIGHT-TO-LEFT OVERRIDE}gnp.evil"
ARABIC = "مرحبا بالعالم"
LONG = "n" * 500


def described(look: Look, site: Site, run_id: str, text: str, width: int = 1400) -> tuple[Page, Locator]:
    """The page of a run with this description, and the place of it."""
    site.seed("warm", kind="Known", run_id=run_id, logged_tags={"mlflow.note.content": text})
    page = look(f"/runs/{run_id}/", width=width)
    return page, page.get_by_role("group", name="Description")


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_a_hostile_description_shows_as_text_or_not_at_all(look: Look, site: Site) -> None:
    page, box = described(look, site, "hostile", HOSTILE)
    expect(box).to_contain_text("<script>window.hacked = 1</script>")
    expect(box).to_contain_text("a remote image")
    expect(box).to_contain_text("[run](javascript:window.hacked=1)")
    assert (
        box.locator("script, img, svg, iframe, style, base, [style], [onerror], [onload], [id], [class]").count() == 0
    )
    links = {link.inner_text(): link.get_attribute("href") for link in box.get_by_role("link").all()}
    assert links == {
        "out": "https://tickets.example/7", "write": "mailto:ada@example.org", "badge": "https://tickets.example",
    }  # fmt: skip
    for link in box.get_by_role("link").all():
        assert link.get_attribute("rel") == "noopener nofollow noreferrer"
    assert page.evaluate("window.hacked") is None
    expect(page.get_by_role("heading", name="Provenance")).to_be_visible()
    screenshot(page, "about-hostile")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{' ' * (depth % 1_000)}- <b>{depth}</b>\n" for depth in range(2_000)),
        "- " * 500_000,
        "> " * 500_000 + "quoted",
        "[![" * 330_000,
    ],
    ids=["lists", "one line of lists", "quotes", "brackets"],
)
def test_a_megabyte_of_nesting_is_text_and_the_page_works(
    look: Look, site: Site, text: str, request: pytest.FixtureRequest
) -> None:
    assert len(text) > 900_000
    page, box = described(look, site, f"described{abs(hash(text)) % 10**9}", text)
    expect(box.locator("pre")).to_contain_text(text[:20].strip())
    assert box.locator("li, b, blockquote, a").count() == 0
    expect(page.get_by_text("more characters in MLflow.")).to_be_visible()
    page.get_by_role("link", name="Parameters", exact=True).click()
    expect(page.get_by_role("heading", name="Parameters")).to_be_in_viewport()
    assert fits(page)


def test_a_description_is_markdown(look: Look, site: Site) -> None:
    text = (
        "## Plan\n\n1. **one**\n2. two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n"
        + f"\n{ARABIC}\n"
    )
    page, box = described(look, site, "markdown", text, 360)
    expect(box.get_by_role("heading", name="Plan", level=3)).to_be_visible()
    expect(box.get_by_role("listitem")).to_have_text(["one", "two"])
    expect(box.get_by_role("cell")).to_have_text(["1", "2"])
    expect(box.locator("pre")).to_have_text("print(1)\n")
    assert box.get_by_text(ARABIC).evaluate("one => getComputedStyle(one).unicodeBidi") == "plaintext"
    assert fits(page)


def test_every_tag_is_there_whatever_its_name_and_length(look: Look, site: Site) -> None:
    tags = {
        "__proto__": "inherited", "constructor": "x" * 251, LONG: LONG, RIGHT_TO_LEFT: ARABIC, "html": "<b>bold</b>",
        "lines": "one\ntwo <script>window.hacked = 1</script>", "huge": "y" * 20_003, "empty": "",
        "mlflow.user": "ada", "mlflow.log-model.history": "not JSON",
    }  # fmt: skip
    site.seed("warm", kind="Known", run_id="tagged", logged_tags=tags)
    page = look("/runs/tagged/", width=360)
    section = page.locator("#tags")
    expect(section.get_by_role("rowheader")).to_have_count(8)
    shown = dict(cells(section))
    assert shown["__proto__"] == "inherited"
    assert shown["html"] == "<b>bold</b>"
    assert shown[RIGHT_TO_LEFT] == ARABIC
    row = section.get_by_role("row").filter(has=page.get_by_role("rowheader", name="lines", exact=True))
    expect(row.locator("pre")).to_be_hidden()
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row.locator("pre")).to_have_text(tags["lines"])
    huge = section.get_by_role("row").filter(has=page.get_by_role("rowheader", name="huge", exact=True))
    expect(huge).to_contain_text("3 more characters in MLflow.")
    page.get_by_text("MLflow's own tags (2)").click()
    expect(page.locator("#about").get_by_role("rowheader")).to_have_text(["mlflow.log-model.history", "mlflow.user"])
    assert page.evaluate("window.hacked") is None
    assert fits(page)


def test_a_parent_and_its_nested_runs_link_to_each_other(look: Look, site: Site) -> None:
    site.seed("warm", run_id="search1", name="grid search")
    for number in range(3):
        tags = {"mlflow.parentRunId": "search1"}
        site.seed("warm", kind="Known", run_id=f"trial{number}", name=f"trial {number}", logged_tags=tags)
    page = look("/runs/search1/")
    page.get_by_role("link", name="3 nested runs").click()
    expect(page.get_by_role("heading", name="Nested runs (3)")).to_be_in_viewport()
    links = page.locator(".children").get_by_role("link")
    expect(links).to_have_text(["trial 0", "trial 1", "trial 2"])
    page.get_by_role("link", name="In the list").click()
    expect(page.locator("table.runs tbody tr")).to_have_count(3)
    page.go_back()
    links.nth(1).click()
    expect(page.get_by_role("heading", name="trial 1", level=1)).to_be_visible()
    page.locator(".facts").get_by_role("link", name="grid search").click()
    expect(page.get_by_role("heading", name="grid search", level=1)).to_be_visible()


def test_a_page_leads_to_mlflow_and_shows_what_it_knows(look: Look, site: Site) -> None:
    site.seed("warm", kind="Known", run_id="known", logged_tags=TAGS, datasets=DATASETS, models=MODELS)
    page = look("/runs/known/")
    address = "https://mlflow.example.org/tracking/#/experiments/7/runs/known"
    expect(page.locator(".facts").get_by_role("link", name="Open in MLflow")).to_have_attribute("href", address)
    section = page.locator("#about")
    facts = dict(zip(section.locator("dt").all_inner_texts(), section.locator("dd").all_inner_texts(), strict=True))
    assert facts["user"] == "trainer"
    assert facts["source"] == "train.py (local)"
    assert facts["git commit"].startswith(TAGS["mlflow.source.git.commit"][:12])
    assert facts["nested in"] == TAGS["mlflow.parentRunId"], "it has not been announced, so it has no page"
    expect(section.get_by_role("table", name="Data sets")).to_contain_text("purchases")
    expect(section.get_by_role("table", name="Models")).to_contain_text("test_recall_at_10 on purchases: 0.11")
    section.scroll_into_view_if_needed()


@pytest.mark.parametrize("width", [1400, 360])
def test_axe_finds_nothing_and_the_page_fits(look: Look, site: Site, width: int) -> None:
    tags = {**TAGS, LONG: "x" * 900, RIGHT_TO_LEFT: ARABIC, "mlflow.note.content": HOSTILE}
    site.seed("warm", kind="Known", run_id="axe-about", logged_tags=tags, datasets=DATASETS, models=MODELS)
    page = look("/runs/axe-about/", width=width)
    expect(page.get_by_role("group", name="Description")).to_be_visible()
    page.get_by_text("MLflow's own tags").click()
    for summary in page.locator(".folded summary").all():
        summary.click()
    assert fits(page)
    assert_axe_finds_nothing(page)
    page.locator("#about").scroll_into_view_if_needed()
    screenshots(page, f"about-{width}")
