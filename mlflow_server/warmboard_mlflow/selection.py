"""A request's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Selection:
    """Points of one run: metrics whose key begins with one of ``prefixes`` (all if empty), from ``from_step`` on."""

    run_id: str
    prefixes: tuple[str, ...] = ()
    from_step: int | None = None

    def has(self, key: str) -> bool:
        return not self.prefixes or key.startswith(self.prefixes)


def step_of(text: str | None) -> int | None:
    """Parse the parameter ``from_step``. Raises ValueError if it is not a 64-bit whole number."""
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or int(text) not in STEPS:
        raise ValueError(text)
    return int(text)


def prefixes_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse the parameters ``prefix``. An empty prefix selects every metric."""
    found = tuple(dict.fromkeys(texts))
    return () if "" in found else found


def ranges_of(counts: Iterable[tuple[str, int]], limit: int) -> list[tuple[str, str]]:
    """Split keys into ranges (first, last) with at most ``limit`` points each.

    ``counts`` are keys with their numbers of points, in the database's order. A longer metric is its own range.
    """
    ranges: list[tuple[str, str]] = []
    room = -1
    for key, count in counts:
        if count <= room:
            ranges[-1] = ranges[-1][0], key
        else:
            ranges.append((key, key))
            room = limit
        room -= count
    return ranges
