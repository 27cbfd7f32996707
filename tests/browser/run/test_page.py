"""The run page in a real browser: its charts, texts and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import LAYOUT_SHIFT, cells, chart, is_drawn, picture, screenshot, soon
from tests.webapp.samples import golden

Look = Callable[..., Page]
RUN = "/runs/abc123def456/"
API = "/api/runs/abc123def456"


def as_number(text: str) -> float | None:
    return None if text in ("", "NaN", "Infinity", "-Infinity") else float(text)


def json_of(page: Page, address: str) -> Any:
    return page.request.get(address).json()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_chart_is_drawn(look: Look, theme: str) -> None:
    page = look(RUN, theme=theme)
    expect(page.locator("figure.chart:visible")).to_have_count(6)
    expect(page.locator(".readout").first).to_contain_text("Fullest bin: epoch 19")
    for plot in page.locator(".plot:visible canvas").all():
        assert is_drawn(plot)
    for canvas in page.locator(".ridges canvas, .bars canvas").all():
        assert is_drawn(canvas)
    expect(page.locator("figure.panel")).to_have_count(2)
    screenshot(page, f"run-1400-{theme}")


def test_a_warm_run_is_drawn_from_what_its_page_carries(look: Look) -> None:
    page = look("/sign-in/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(RUN)
    expect(page.locator("figure.chart:visible")).to_have_count(6)
    expect(page.locator(".readout").first).to_contain_text("Fullest bin: epoch 19")
    assert not [url for url in asked if "/api/" in url]
    page.get_by_role("button", name="Gradients").click()
    expect(page.locator("figure.panel", has_text="Gradients, query tower").locator(".readout")).to_contain_text(
        "Fullest"
    )
    assert len([url for url in asked if "type=gradients" in url]) == 2


COUNT_FORMATS = """
  window.made = [];
  const charts = () => document.querySelectorAll(".u-wrap canvas").length;
  for (const name of ["NumberFormat", "DateTimeFormat", "Collator"]) {
    const construct = (Kind, given) => (made.push([name, charts()]), new Kind(...given));
    Intl[name] = new Proxy(Intl[name], { construct });
  }"""


def test_charts_are_drawn_before_anything_needs_intl(look: Look) -> None:
    page = look("/sign-in/")
    page.add_init_script(COUNT_FORMATS)
    page.goto(RUN)
    expect(page.locator("#provenance time").first).to_be_attached()
    made = page.evaluate("window.made")
    assert made, "the times of the provenance need Intl"
    assert [name for name, charts in made if charts < 6] == []


def test_what_a_page_carries_is_not_shown_later(look: Look, site: Site) -> None:
    site.seed("warm", run_id="grows", epochs=10)
    page = look("/runs/grows/", width=360)
    expect(page.locator("figure.panel .readout")).to_contain_text("epoch 9 ")
    site.seed("put", run_id="grows", epochs=12)
    page.get_by_role("button", name="Candidate tower").click()
    panel = page.locator("figure.panel", has_text="Weights, candidate tower")
    expect(panel.locator(".readout")).to_contain_text("epoch 11 ")


def test_every_chart_has_a_name_a_summary_and_a_table(look: Look) -> None:
    page = look(RUN)
    expect(page.locator("figure.chart:visible")).to_have_count(6)
    for figure in page.locator("figure.chart:visible").all():
        plot = figure.get_by_role("img")
        assert figure.locator(".summary").inner_text() in (plot.get_attribute("aria-label") or "")
        assert figure.locator("details").count() == 1
    expect(chart(page, "Loss").locator(".summary")).to_contain_text("1 value is not finite")


def test_the_table_of_a_chart_has_the_values_of_the_json(look: Look) -> None:
    page = look(RUN)
    history = json_of(page, f"{API}/training-history/?resolution=full")
    wanted = {
        "Loss": [history["loss"]["train"], history["loss"]["val"]],
        "Gradient norms": [history["gradient_norm"]["query"], history["gradient_norm"]["candidate"]],
        "Weight norms": [history["weight_norm"][name] for name in ("total", "query", "candidate")],
    }
    for title, columns in wanted.items():
        figure = chart(page, title)
        figure.locator("summary").click()
        rows = cells(figure)
        assert [int(row[0]) for row in rows] == history["epochs"]
        for number, column in enumerate(columns, 1):
            assert [as_number(row[number]) for row in rows] == column
    assert cells(chart(page, "Loss"))[6][1] == "NaN"


def test_final_metrics_and_parameters_are_those_of_the_json(look: Look) -> None:
    page = look(RUN)
    history = json_of(page, f"{API}/training-history/")
    finals = {name: float(value) for name, value in cells(page.locator("#final"))}
    assert finals == history["final_metrics"]
    assert dict(cells(page.locator("#params"))) == history["params"]


def test_the_cursor_is_shared_and_moves_by_keyboard(look: Look) -> None:
    page = look(RUN)
    plot = chart(page, "Loss").locator(".plot")
    plot.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "PageDown", "ArrowLeft"):
        page.keyboard.press(key)
    for title in ("Loss", "Recall", "Weight norms"):
        expect(chart(page, title).locator(".at")).to_have_text("epoch 11")
    history = json_of(page, f"{API}/training-history/?resolution=full")
    shown = chart(page, "Loss").locator("output").nth(1).inner_text()
    assert float(shown) == pytest.approx(history["loss"]["val"][11], rel=1e-3)


def test_a_logarithmic_axis_and_hidden_curves_draw_again(look: Look) -> None:
    page = look(RUN)
    canvas = chart(page, "Loss").locator("canvas")
    assert is_drawn(canvas)
    linear = picture(canvas)
    page.get_by_role("button", name="Log y").click()
    assert soon(canvas, lambda: picture(canvas) != linear)
    logarithmic = picture(canvas)
    button = chart(page, "Loss").get_by_role("button", name="validation")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert soon(canvas, lambda: picture(canvas) not in (linear, logarithmic))


def test_the_epoch_slider_works_by_keyboard(look: Look) -> None:
    page = look(RUN)
    slider = page.get_by_role("slider", name="Epoch")
    expect(page.locator(".scrub output")).to_have_text("19 of 19")
    bars = page.locator(".bars canvas").first
    assert is_drawn(bars)
    last = picture(bars)
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".scrub output")).to_have_text("3 of 19")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 3")
    assert soon(bars, lambda: picture(bars) != last)


@pytest.mark.parametrize(("type_", "tower"), [("weights", "query"), ("gradients", "candidate")])
def test_the_bins_of_an_epoch_are_those_of_the_json(look: Look, type_: str, tower: str) -> None:
    page = look(RUN)
    histogram = json_of(page, f"{API}/histogram-data/?type={type_}&tower={tower}&resolution=full")
    tools = page.locator("#distributions")
    tools.get_by_role("button", name=type_.capitalize(), exact=True).click()
    tools.get_by_role("button", name=f"{tower.capitalize()} tower", exact=True).click()
    section = page.locator("figure.panel")
    expect(section).to_have_count(1)
    expect(section.locator(".summary", has_text=f"{type_.capitalize()}, {tower} tower")).to_be_visible()
    tools.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    section.locator("details summary").click()
    below, *rows, above = cells(section)
    edges = histogram["bin_edges_by_epoch"][1]
    assert [float(row[1]) for row in rows] == edges[:-1]
    assert [float(row[2]) for row in rows] == edges[1:]
    assert [float(row[3]) for row in rows] == histogram["counts"][1]
    assert (float(below[3]), float(above[3])) == (histogram["underflow"][1], histogram["overflow"][1])
    for canvas in page.locator(".ridges canvas, .bars canvas").all():
        assert is_drawn(canvas)
    screenshot(page, f"{type_}-{tower}")


def test_pointing_at_a_ridge_reads_exact_numbers(look: Look) -> None:
    page = look(RUN)
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    canvas = page.locator(".ridges canvas").first
    assert is_drawn(canvas)
    plain = picture(canvas)
    page.locator(".ridges").first.hover(position={"x": 300, "y": 300})
    expect(page.locator(".readout").first).not_to_contain_text("Fullest bin")
    expect(page.locator(".readout").first).to_contain_text("epoch")
    assert soon(canvas, lambda: picture(canvas) != plain), "the ridge under the pointer is marked"
    page.mouse.move(0, 0)
    assert soon(canvas, lambda: picture(canvas) == plain), "the mark is gone"


def test_a_long_run_shows_an_overview_and_every_epoch_on_demand(look: Look, site: Site) -> None:
    site.seed("warm", run_id="long", epochs=600, name="quick-test-8")
    page = look("/runs/long/", theme="dark")
    expect(page.locator(".epochs")).to_contain_text("of 600 epochs; bands show min and max in between")
    screenshot(page, "run-long-1400-dark")
    page.get_by_role("button", name="All epochs").click()
    expect(page.locator(".epochs")).to_have_text("600 of 600 epochs")
    expect(page.locator("#distributions .summary", has_text="600 of 600 epochs")).to_have_count(2)


def test_the_way_from_event_to_warm_is_told(look: Look) -> None:
    page = look(RUN)
    expect(page.get_by_role("link", name="after publish")).to_be_visible()
    expect(page.locator("#provenance .strip li")).to_have_count(4)
    expect(page.locator(".facts")).to_contain_text("abc123def456")


def test_a_page_of_a_hundred_epochs_is_light(look: Look, site: Site) -> None:
    site.seed("warm", run_id="hundred", epochs=100)
    page = look("/")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto("/runs/hundred/")
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    assert 30_000 < sum(received) < 150_000


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_that_is_there_moves_when_data_come(look: Look, site: Site, width: int) -> None:
    site.seed("warm", run_id="steady", epochs=100)
    page = look("/", width=width)
    page.add_init_script(LAYOUT_SHIFT)
    page.goto("/runs/steady/")
    for place in range(0, 4000, 400):
        page.evaluate(f"scrollTo(0, {place})")
        page.wait_for_timeout(60)
    expect(page.locator(".readout").first).to_contain_text("Fullest bin")
    assert page.evaluate("window.movers") == []


def test_the_theme_is_the_systems_or_a_chosen_one_that_is_kept(look: Look) -> None:
    page = look(RUN, theme="dark")
    root = page.locator("html")
    expect(root).to_have_css("color-scheme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_css("color-scheme", "light")
    for before, after, theme in (("system", "light", "light"), ("light", "dark", "dark")):
        page.get_by_role("button", name=f"Theme: {before}").click()
        expect(page.get_by_role("button", name=f"Theme: {after}")).to_be_focused()
        expect(root).to_have_css("color-scheme", theme)
    page.reload(wait_until="commit")
    expect(root).to_have_css("color-scheme", "dark")
    page.get_by_role("button", name="Theme: dark").click()
    expect(root).to_have_css("color-scheme", "light")


def test_the_golden_documents_are_shown(look: Look, site: Site) -> None:
    site.seed("warm", kind="Golden", run_id="0123456789abcdef0123456789abcdef", epochs=12)
    page = look("/runs/0123456789abcdef0123456789abcdef/")
    expect(page.locator(".readout").first).to_contain_text("Fullest bin: epoch 11")
    titles = page.locator("figure.chart:visible h3")
    expect(titles).to_have_text(
        ["Loss", "Recall", "Regularization loss", "Gradient norms", "Weight norms", "batch/loss"]
    )
    chart(page, "Loss").locator("summary").click()
    rows = cells(chart(page, "Loss"))
    assert [as_number(row[1]) for row in rows] == golden("history-full")["loss"]["train"]
    assert [as_number(row[2]) for row in rows] == golden("history-full")["loss"]["val"]
    page.get_by_role("button", name="Gradients").click()
    expect(page.locator("#distributions .summary", has_text="Gradients, query tower: 5 bins")).to_be_visible()
    for canvas in page.locator(".plot:visible canvas, .ridges canvas:visible, .bars canvas:visible").all():
        assert is_drawn(canvas)
    chart(page, "Loss").locator("summary").click()
    screenshot(page, "golden")
    page.get_by_role("button", name="Candidate tower", exact=True).click()
    expect(page.get_by_text("The run has no histogram of the candidate tower's gradients.")).to_be_visible()


def test_a_long_parameter_unfolds_when_it_is_selected(look: Look) -> None:
    page = look(RUN)
    box = page.locator("#params .table-box")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth"), "folded, the table fits"
    value = page.locator("#params .long").first
    folded = value.bounding_box()
    value.click()
    unfolded = value.bounding_box()
    assert folded
    assert unfolded
    assert unfolded["height"] > 2 * folded["height"]
