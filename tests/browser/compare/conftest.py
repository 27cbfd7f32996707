"""Twelve runs to compare."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site


@pytest.fixture(scope="session", autouse=True)
def searched(site: Site) -> None:
    """Twelve runs of one search."""
    runs = [{"run_id": f"search{s}", "name": f"search {s}", "seed": s, "epochs": 40 + 5 * s} for s in range(12)]
    site.seed_all("warm", runs, kind="Varied")
