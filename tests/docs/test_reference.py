"""Reference pages that are made from the code are as the code is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from docs.site.reference import PAGES
from tests.environment import GIVEN
from tests.paths import ROOT


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each Python writes --help in another way")
@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_up_to_date(name: str) -> None:
    # In a process of its own: Django is set up in other ways here.
    command = [sys.executable, "-m", "docs.site.reference", name]
    printed = subprocess.run(command, cwd=ROOT, env=GIVEN, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    page = ROOT / "docs" / "reference" / f"{name}.md"
    assert page.read_text() == printed.stdout, (
        f"update it: python -m docs.site.reference {name} > docs/reference/{name}.md"
    )
