"""Every query on the page about the list of runs can be parsed."""

from __future__ import annotations

import re

import pytest

from tests.paths import ROOT
from webapp.listing.query import parse

PAGE = (ROOT / "docs/reference/runs.md").read_text()
TABLE = PAGE.split("| query | finds |")[1].split("\n\n")[0]


@pytest.mark.parametrize("query", re.findall(r"^\| `([^`]+)`", TABLE, re.MULTILINE))
def test_a_query_of_the_page_can_be_parsed(query: str) -> None:
    assert parse(query).conditions
