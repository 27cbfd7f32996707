"""The pages' catalogue of metrics is the contract's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from warmboard.contract import catalogue

SCRIPT = Path("webapp/static/webapp/charts/catalogue.js")


def of_the_contract() -> Iterator[tuple[str, ...]]:
    """(key, …place) of every metric that has a place of its own in a document."""
    for name, key in catalogue.LOSS.items():
        yield key, "loss", name
    for name, key in catalogue.WEIGHT_NORM.items():
        yield key, "weight_norm", name
    for name, key in catalogue.GRADIENT_NORM.items():
        yield key, "gradient_norm", name
    for member, stats in (("weight_stats", catalogue.WEIGHT_STATS), ("gradient_stats", catalogue.GRADIENT_STATS)):
        for tower, keys in stats.items():
            for name, key in keys.items():
                yield key, member, tower.value, name


def of_the_pages() -> list[tuple[str, ...]]:
    found = re.search(r"^const PLACES = (\[.*?^\]);", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return [tuple(row) for row in json.loads(re.sub(r",(\s*\])", r"\1", found[1]))]


def test_both_have_the_same_metrics_at_the_same_places() -> None:
    assert sorted(of_the_pages()) == sorted(of_the_contract())
