"""Browsers have the catalogue of the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

from warmboard.contract.catalogue import PLACES, as_json

SCRIPT = Path("webapp/static/webapp/charts/catalogue.js")


def rows() -> list[list[str]]:
    """The literal in the script: JSON, but for the commas at the ends."""
    literal = re.search(r"const PLACES = (\[.*?\n\]);", SCRIPT.read_text(), re.DOTALL)
    assert literal
    found: list[list[str]] = json.loads(re.sub(r",(\s*\])", r"\1", literal[1]))
    return found


def test_browsers_have_every_named_array_under_the_same_key() -> None:
    assert sorted(rows()) == sorted(as_json())


def test_browsers_read_each_key_at_the_same_place() -> None:
    """A key that has two places is read at the first."""
    firsts = {key: tuple(path) for key, *path in reversed(rows())}
    assert firsts == PLACES
