"""Takes the documents' pictures of made-up runs in a real Chromium: ``make screenshots``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.chromium import is_drawn

IMAGES = Path("docs/images")
Look = Callable[..., Page]
WIDE, NARROW = 1400, 360


EVERYWHERE = pytest.mark.parametrize(
    ("width", "theme"), [(width, theme) for width in (WIDE, NARROW) for theme in ("light", "dark")]
)


@pytest.fixture(scope="module")
def run(site: Site) -> str:
    site.seed("warm", {"quick_test": 42}, run_id="3f8ac2e19b7d4c60", epochs=60, name="quick-test-42", seed=4)
    return "/runs/3f8ac2e19b7d4c60/"


@pytest.fixture(scope="module")
def six(site: Site) -> str:
    names = [f"search-{number}" for number in range(6)]
    runs = [{"run_id": name, "name": name, "seed": seed, "epochs": 45 + 5 * seed} for seed, name in enumerate(names)]
    site.seed_all("warm", runs, kind="Varied")
    return f"/compare/?runs={','.join(names)}"


@pytest.fixture(scope="module")
def others(site: Site) -> None:
    """Runs that failed or are pending."""
    site.seed("warm", run_id="night1", name="nightly-1", experiment="nightly", epochs=30, seed=9, status="FAILED")
    site.seed("warm", run_id="night2", name="nightly-2", experiment="nightly", epochs=30, seed=10)
    reason = "the tracking server answered 404: no run has this ID"
    site.seed(
        "announce", {"state": "failed", "reason": reason}, run_id="night3", name="nightly-3", experiment="nightly"
    )
    site.seed("announce", {"state": "pending"}, run_id="night4", name="nightly-4", experiment="nightly")
    site.seed("make", kind="Point", name="before-upgrade")


@EVERYWHERE
def test_the_run_page(look: Look, run: str, width: int, theme: str) -> None:
    page = look(run, width=width, theme=theme)
    page.set_viewport_size({"width": width, "height": 2350})
    draw(page)
    keep(page, "run-page", width, theme)


def test_the_weight_analysis(look: Look, run: str) -> None:
    page = look(f"{run}?histogram=heatmap&what=both")
    page.set_viewport_size({"width": 1400, "height": 2600})
    draw(page)
    page.locator("#distributions .panels").screenshot(path=IMAGES / "weight-analysis.png")
    small("weight-analysis")


@EVERYWHERE
def test_the_comparison(look: Look, six: str, width: int, theme: str) -> None:
    page = look(f"{six}&baseline=0&differences=1", width=width, theme=theme)
    page.set_viewport_size({"width": width, "height": 3300 if width == WIDE else 2400})
    expect(page.locator(".epochs .tabular")).to_have_text("345 of 345 epochs in 6 runs")
    for canvas in page.locator(".plot:visible canvas").all():
        assert is_drawn(canvas)
    keep(page, "comparison", width, theme)


@EVERYWHERE
@pytest.mark.usefixtures("run", "six", "others")
def test_the_runs(look: Look, width: int, theme: str) -> None:
    columns = "columns=param.optimizer&columns=metric.test_recall_at_100&columns=metric.test_loss"
    page = look(f"/?{columns}", width=width, theme=theme)
    expect(page.locator("table.runs tbody tr").first).to_be_visible()
    keep(page, "runs", width, theme)


@EVERYWHERE
@pytest.mark.usefixtures("run", "others")
def test_operations(look: Look, width: int, theme: str) -> None:
    page = signed_in(look, width, theme)
    page.goto("/operations/?experiment=nightly")
    page.locator("details summary").first.click()
    page.set_viewport_size({"width": width, "height": 1300})
    page.evaluate("scrollTo(0, 0)")
    keep(page, "operations", width, theme)


@EVERYWHERE
def test_the_pages_around(look: Look, width: int, theme: str) -> None:
    keep(look("/sign-in/", width=width, theme=theme), "sign-in", width, theme)
    page = signed_in(look, width, theme)
    page.goto("/tokens/")
    keep(page, "tokens", width, theme)
    page.goto("/api/docs/")
    keep(page, "api", width, theme)


def signed_in(look: Look, width: int, theme: str) -> Page:
    page = look("/sign-in/", width=width, theme=theme)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("ada", exact=True)).to_be_visible()
    return page


def draw(page: Page) -> None:
    expect(page.locator(".readout").first).to_contain_text("epoch 59")
    for canvas in page.locator(".plot:visible canvas, .ridges canvas:visible, .bars canvas:visible").all():
        assert is_drawn(canvas)


def keep(page: Page, name: str, width: int, theme: str) -> None:
    """As ``NAME``, ``NAME-dark``, ``NAME-narrow``, ``NAME-narrow-dark``."""
    file = name + ("" if width == WIDE else "-narrow") + ("" if theme == "light" else "-dark")
    page.screenshot(path=IMAGES / f"{file}.png")
    small(file)


def small(name: str) -> None:
    """Reduces the picture to 64 colours: a third of the bytes."""
    path = IMAGES / f"{name}.png"
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)
