"""Which metrics a page draws together, and in which order: what matters first. Pure; no input or output.

docs/reference/run-page.md describes the order.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from string import digits
from typing import Literal, NamedTuple

from warmboard.contract.directions import Direction, direction
from warmboard.contract.entries import Chart
from workers.history.roles import (
    COUNTS,
    NORMS,
    RATES,
    SYSTEM,
    TESTING,
    THROUGHPUT,
    TRAINING,
    VALIDATION,
    is_gradient_norm,
    is_loss,
    is_plain_loss,
    words_of,
)

MANY = 8
"""Of more charts whose titles differ only in numbers, such as one for each layer, none is a main chart."""
SETS_OF_KEYS, KEYS_OF_SET = 32, 1_000
"""Charts are cached for so many sets of at most so many keys: a few megabytes. A project's runs have the same keys."""
Section = Literal["training", "system", "other"]
_TOKEN = re.compile(r"[a-z0-9]+")
_DIGITS = re.compile(r"[0-9]+")
_ENDS = frozenset({"epoch", "step"})
"""Lightning ends a key with one of these if it logs both."""
_SIDES = VALIDATION | TRAINING | TESTING
_SIDE = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(sorted(_SIDES))})(?![a-z0-9])[/_. -]*", re.IGNORECASE)
_END = re.compile(r"[/_. -](?:epoch|step)$", re.IGNORECASE)


class Role(IntEnum):
    """What a metric is, in the order of the page."""

    LOSS = 0
    SCORE = 1
    RATE = 2
    NORM = 3
    THROUGHPUT = 4
    OTHER = 5
    SYSTEM = 6


class _Found(NamedTuple):
    title: str
    role: Role
    metrics: list[str]


def charts_of(keys: Iterable[str]) -> list[Chart]:
    """Every key in exactly one chart. The order of ``keys`` does not matter."""
    ordered = tuple(sorted(keys))
    found = _cached_charts_of(ordered) if len(ordered) <= KEYS_OF_SET else _charts_of(ordered)
    return [{"title": title, "section": section, "metrics": list(metrics)} for title, section, metrics in found]


def _charts_of(keys: tuple[str, ...]) -> list[tuple[str, Section, tuple[str, ...]]]:
    """Title, section and metrics of each chart. ``keys`` are sorted."""
    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key in keys:
        together[_base(key)].append(key)
    found = sorted(map(_found, together.values()), key=_rank)
    family = Counter(_family(chart) for chart in found)
    return [(chart.title, _section(chart, family[_family(chart)]), tuple(chart.metrics)) for chart in found]


_cached_charts_of = lru_cache(maxsize=SETS_OF_KEYS)(_charts_of)


def role_of(key: str) -> Role:
    """What the words of the key say. A part of a loss, such as its regularisation, counts as a loss."""
    words = words_of(key)
    if key.startswith(SYSTEM):
        return Role.SYSTEM
    if words & RATES or words >= {"learning", "rate"}:
        return Role.RATE
    if any("loss" in word for word in words):
        return Role.LOSS
    if words & NORMS or is_gradient_norm(key):
        return Role.NORM
    if words & THROUGHPUT:
        return Role.THROUGHPUT
    judged = is_loss(key) or direction(key) is not Direction.UNKNOWN
    return Role.SCORE if judged and not words & COUNTS else Role.OTHER


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that compares numbers in the text by value: ``layers.9`` before ``layers.10``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text.lower())
    # Of two numbers, the one with more digits is greater.
    numbers = (part.lstrip("0") if part[0] in digits else None for part in parts)
    return tuple(
        (1, 0, part) if number is None else (0, len(number), number)
        for part, number in zip(parts, numbers, strict=True)
    )


def _base(key: str) -> tuple[str, ...]:
    """The words by which the sides of one metric are found: equal for ``val/loss`` and ``train_loss_epoch``."""
    if key.startswith(SYSTEM):
        return (key,)
    tokens = _TOKEN.findall(key.lower())
    base = [token for token in tokens if token not in _SIDES]
    if len(base) > 1 and base[-1] in _ENDS:
        base.pop()
    # A key with no other words, or none at all, has no other side.
    return tuple(base) or ("", key)


def _found(keys: list[str]) -> _Found:
    metrics = sorted(keys, key=lambda key: (_side(key), natural(key), key))
    title = _title(metrics[0]) if len(metrics) > 1 else metrics[0]
    return _Found(title, min(map(role_of, metrics)), metrics)


def _title(key: str) -> str:
    """The key without the words that tell the sides apart."""
    return _END.sub("", _SIDE.sub("", key)).strip("/_.- ") or key


def _side(key: str) -> int:
    words = words_of(key)
    return 1 if words & VALIDATION else 2 if words & TESTING else 0


def _rank(chart: _Found) -> tuple[object, ...]:
    first = chart.metrics[0]
    group, slash, _ = first.partition("/")
    return (
        chart.role,
        not is_plain_loss(first),
        len({_side(key) for key in chart.metrics}) == 1,
        # A layer's norm comes after that of all layers.
        chart.role is Role.NORM and bool(_DIGITS.search(first)),
        natural(group if slash and len(chart.metrics) == 1 else ""),
        natural(first),
        first,
    )


def _family(chart: _Found) -> tuple[Role, str]:
    return chart.role, _DIGITS.sub("#", chart.title)


def _section(chart: _Found, alike: int) -> Section:
    if chart.role is Role.SYSTEM:
        return "system"
    return "other" if chart.role is Role.OTHER or alike > MANY else "training"
