"""Shared by the tests of the comparison: parts of the page, the address, the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page

from tests.browser.conftest import settle

Look = Callable[..., Page]
THREE = "/compare/?runs=search0,search1,search2"
TWELVE = f"/compare/?runs={','.join(f'search{seed}' for seed in range(12))}"
MINUS = "\N{MINUS SIGN}"


def chip(page: Page, name: str) -> Locator:
    return page.locator(".compared li").filter(has=page.get_by_role("button", name=name, exact=True))


def colour(page: Page, name: str) -> str:
    return str(chip(page, name).locator(".line-swatch").evaluate("swatch => getComputedStyle(swatch).color"))


def row(page: Page, field: str) -> Locator:
    return page.locator(".matrix tbody tr").filter(has=page.get_by_role("rowheader", name=field, exact=True))


def parameters(page: Page) -> dict[str, str]:
    """The address's parameters, once it is up to date."""
    settle(page)
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def compared(page: Page, runs: str) -> list[Any]:
    return list(page.request.get(f"/api/compare?runs={runs}").json()["runs"])


def exported(page: Page, title: str, kind: str, path: Path) -> str:
    button = page.get_by_role("button", name=f"Export {title}", exact=True)
    button.scroll_into_view_if_needed()
    button.click()
    with page.expect_download() as caught:
        page.get_by_role("group", name=f"Export {title}", exact=True).get_by_text(kind).click()
    caught.value.save_as(path)
    assert caught.value.suggested_filename.endswith(f".{kind.lower()}")
    return path.read_text("utf-8-sig") if kind != "PNG" else ""
