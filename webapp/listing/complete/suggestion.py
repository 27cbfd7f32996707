"""A suggestion, and how suggestions are chosen and counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from webapp.listing.known import Columns, counts
from webapp.listing.measured import SYSTEM
from webapp.listing.query import Condition, QueryError, parse


@dataclass(frozen=True)
class Suggestion:
    """``text`` is what a query has; ``label`` is for people. ``runs`` is the number of runs that have it, at most
    ``known.MOST_COUNTED``; None if that is not counted.
    """

    text: str
    label: str
    kind: str
    runs: int | None = None


def matching(names: Iterable[str], typed: str) -> list[str]:
    """The names that contain what is typed, in any case: first those that begin with it, then those in which a word
    does. The machine's metrics are the last of each.
    """
    folded = typed.casefold()
    begins = re.compile(rf"[\W_]{re.escape(folded)}")
    ranked = []
    for name in names:
        lower = name.casefold()
        if folded in lower:
            rank = 0 if lower.startswith(folded) else 1 if begins.search(lower) else 2
            ranked.append((rank, name.startswith(SYSTEM), name))
    return [name for *_, name in sorted(ranked)]


def counted(found: Sequence[Suggestion], values: Sequence[str], columns: Columns, key: str = "") -> list[Suggestion]:
    """The suggestions with their numbers of runs. ``values`` are what they have in these columns. One statement."""
    numbers = counts(columns, values, key)
    return [replace(one, runs=number) for one, number in zip(found, numbers, strict=True)]


def parsed(text: str) -> Condition | None:
    """The condition that the text is; None if it is none, or several."""
    try:
        found = parse(text).conditions
    except QueryError:
        return None
    return found[0] if len(found) == 1 else None
