"""CSV made in the browser: the same text as the server's for the same cells, and what Python's reader gets back."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

from tests.webapp.numbers import UNUSUAL
from webapp.exports.cells import BYTE_ORDER_MARK, Cell, pieces, text_of

SOURCE = Path("webapp/static/webapp/page/files.js").read_text()
HOSTILE = ["=", "+", "-", "@", "\t", "\r", "\n", '"', ",", ";", "'", " ", "1", ".", "e", "_", "\u0661", "é", "日", "😀",
           "\x00", "\ufeff", "\u2028", "Infinity", "NaN", "cmd|' /C calc'!A0"]  # fmt: skip


@pytest.fixture(scope="module")
def module(chromium: Browser) -> Iterator[Page]:
    """A page that has imported the module as ``files``."""
    page = chromium.new_page()
    page.evaluate("async address => { window.files = await import(address) }", f"data:text/javascript,{quote(SOURCE)}")
    yield page
    page.close()


def written(page: Page, rows: list[list[Cell]]) -> str:
    """What the browser writes. Numbers go there as text: JSON has no NaN and no -0."""
    sent = [[["number", repr(cell)] if isinstance(cell, float) else ["text", cell] for cell in row] for row in rows]
    return str(page.evaluate(
        """text => files.csv(JSON.parse(text).map(row => row.map(([kind, cell]) => kind === "text" ? cell :
            Number({ nan: "NaN", inf: "Infinity", "-inf": "-Infinity" }[cell] ?? cell))))""",
        json.dumps(sent),
    ))  # fmt: skip


def any_cell(chance: random.Random) -> Cell:
    kind = chance.random()
    if kind < 0.1:
        return None
    if kind < 0.25:
        size = 10 ** chance.uniform(-25, 25)
        return chance.choice([*UNUSUAL, chance.gauss(0, size), 10.0 ** chance.randint(-30, 30)])
    return "".join(chance.choice(HOSTILE) for _ in range(chance.randint(0, 6)))


@pytest.mark.parametrize("seed", range(12))
def test_browser_and_server_write_the_same_text(module: Page, seed: int) -> None:
    chance = random.Random(seed)
    rows = [[any_cell(chance) for _ in range(chance.randint(1, 6))] for _ in range(200)]
    text = written(module, rows)
    assert text == b"".join(pieces([rows])).decode()
    assert text.startswith(BYTE_ORDER_MARK)
    found = list(csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK), newline="")))
    assert found == [[text_of(cell) for cell in row] for row in rows]
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for row in found for cell in row)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (253402300799999, "9999-12-31T23:59:59.999Z"),
        (253402300800000, ""),
        (2**62, ""),
    ],
)
def test_a_time_beyond_the_calendar_is_empty(module: Page, time: Any, text: str) -> None:
    assert module.evaluate("time => files.isoTime(time)", time) == text
