"""Takes the pictures of the documents, of a made-up run, in a real Chromium: ``make screenshots``."""

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


@pytest.mark.parametrize(
    ("name", "width", "height", "theme"),
    [
        ("run-page", 1400, 2350, "light"),
        ("run-page-dark", 1400, 2350, "dark"),
        ("run-page-narrow", 360, 2400, "light"),
        ("run-page-narrow-dark", 360, 2400, "dark"),
    ],
)
def test_the_run_page(look: Look, run: str, name: str, width: int, height: int, theme: str) -> None:
    page = look(run, width=width, theme=theme)
    page.set_viewport_size({"width": width, "height": height})
    draw(page)
    page.screenshot(path=IMAGES / f"{name}.png")
    small(name)


def test_the_weight_analysis(look: Look, run: str) -> None:
    page = look(f"{run}?histogram=heatmap&what=both")
    page.set_viewport_size({"width": 1400, "height": 2600})
    draw(page)
    page.locator("#distributions .panels").screenshot(path=IMAGES / "weight-analysis.png")
    small("weight-analysis")


@pytest.mark.parametrize(
    ("name", "width", "height", "theme"),
    [
        ("comparison", 1400, 3300, "light"),
        ("comparison-dark", 1400, 3300, "dark"),
        ("comparison-narrow", 360, 2400, "light"),
        ("comparison-narrow-dark", 360, 2400, "dark"),
    ],
)
def test_the_comparison(look: Look, six: str, name: str, width: int, height: int, theme: str) -> None:
    page = look(f"{six}&baseline=0&differences=1", width=width, theme=theme)
    page.set_viewport_size({"width": width, "height": height})
    expect(page.locator(".epochs .tabular")).to_have_text("345 of 345 epochs")
    for canvas in page.locator(".plot:visible canvas").all():
        assert is_drawn(canvas)
    page.screenshot(path=IMAGES / f"{name}.png")
    small(name)


def draw(page: Page) -> None:
    expect(page.locator(".readout").first).to_contain_text("epoch 59")
    for canvas in page.locator(".plot:visible canvas, .ridges canvas:first-child:visible, .bars canvas:visible").all():
        assert is_drawn(canvas)


def small(name: str) -> None:
    """A palette of 64 colours is enough: a third of the bytes."""
    path = IMAGES / f"{name}.png"
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64, kmeans=4, dither=Image.Dither.NONE).save(path, optimize=True)
