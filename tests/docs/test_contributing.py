"""CONTRIBUTING.md's table "to add X, touch Y" names files that exist."""

from __future__ import annotations

import re

import pytest

from tests.paths import ROOT

SECTION = (ROOT / "CONTRIBUTING.md").read_text().split("\n## To add X, touch Y\n")[1].split("\n## ")[0]
ROWS = dict(re.findall(r"^\| (an? .*?) \| (.*) \|$", SECTION, re.MULTILINE))


def paths(cell: str) -> list[str]:
    """The paths in a cell: what is in backticks and is neither a command nor a single word."""
    named: list[str] = re.findall(r"`([^`]+)`", cell)
    return [name for name in named if " " not in name and ("/" in name or "." in name or name == "Makefile")]


def test_there_are_nineteen_rows() -> None:
    assert len(ROWS) == 19


@pytest.mark.parametrize("change", ROWS)
def test_the_files_of_a_row_exist(change: str) -> None:
    named = paths(ROWS[change])
    assert len(named) >= 3
    assert [name for name in named if not list(ROOT.glob(name))] == []


@pytest.mark.parametrize("change", ROWS)
def test_a_row_names_tests_or_documents(change: str) -> None:
    assert any(name.startswith(("tests/", "docs/")) for name in paths(ROWS[change]))
