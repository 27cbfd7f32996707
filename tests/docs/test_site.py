"""The documentation as a site: every page is in it once, and it asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import NOT_RUN
from tests.paths import ROOT

INDEX = ROOT / "docs" / "index.md"
SITE = ROOT / "build" / "docs"


def test_every_page_has_its_place() -> None:
    listed = Counter(
        (INDEX.parent / f"{line}.md").resolve()
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", INDEX.read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith(":")
    )
    pages = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {INDEX}
    assert listed == dict.fromkeys(pages, 1)


@pytest.mark.skipif(
    not os.environ.get("TEST_FRAMEWORKS"), reason=f"{NOT_RUN}the documentation as a site (make test-all)"
)
def test_it_is_built_without_a_warning_and_needs_no_other_host() -> None:
    built = subprocess.run([sys.executable, "-m", "docs.site"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = list(SITE.rglob("*.html"))
    assert len(pages) > 40
    foreign = [
        (page.name, address)
        for page in pages
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
    ]
    assert foreign == []
    assert "benchmarks" in (SITE / "searchindex.js").read_text()
