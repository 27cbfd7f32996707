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


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (1400, "dark"), (360, "light"), (360, "dark")])
def test_the_run_page(look: Look, run: str, width: int, theme: str) -> None:
    page = look(f"{run}?smooth=ema-0.6" if width == 1400 else run, width=width, theme=theme)
    draw(page)
    keep(page, f"run-page-{width}-{theme}")


def test_the_weight_analysis(look: Look, run: str) -> None:
    page = look(f"{run}?histogram=heatmap&what=both")
    draw(page)
    page.locator("#distributions .panels").screenshot(path=IMAGES / "weight-analysis.png")
    small("weight-analysis")


def draw(page: Page) -> None:
    expect(page.locator(".readout").first).to_contain_text("epoch 59")
    for canvas in page.locator(".plot:visible canvas, .ridges canvas:first-child:visible, .bars canvas:visible").all():
        assert is_drawn(canvas)


def keep(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
    small(name)


def small(name: str) -> None:
    """64 colours are enough: a quarter of the bytes."""
    path = IMAGES / f"{name}.png"
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
