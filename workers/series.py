"""Arrays as the documents hold them. ``encoding.py`` writes arrays as JSON lists, and what is not finite as ``null``:
no list of Python numbers is ever made of a million values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from contract.entries import NonFinite, Resolution, Series
from workers.fetched import Curve, Values
from workers.sample import round_significant

MOST_NON_FINITE = {Resolution.OVERVIEW: 200, Resolution.FULL: 10_000}
"""So many values that are not finite a document lists; their total number is beside them."""


def series(values: Values, resolution: Resolution) -> Series:
    """The values of one curve; an overview's are rounded."""
    return cast(Series, round_significant(values) if resolution is Resolution.OVERVIEW else values)


def integers(values: NDArray[np.int64]) -> list[int]:
    return cast("list[int]", np.ascontiguousarray(values))


def counts(values: Values) -> list[Series]:
    """Bin counts, (epochs, bins): whole numbers where all are."""
    whole = values.astype(np.int64)
    return cast("list[Series]", np.ascontiguousarray(whole if (whole == values).all() else values))


def number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class Gaps:
    """Values that JSON has no number for: the first of them by epoch, then by metric, and how many there are."""

    listed: list[NonFinite]
    total: int

    @classmethod
    def of(cls, curves: Mapping[str, Curve], resolution: Resolution) -> Gaps:
        most = MOST_NON_FINITE[resolution]
        keys = sorted(curves)
        places = {key: np.flatnonzero(~np.isfinite(curves[key].values)) for key in keys}
        # Of no metric can more than the first so many be among the first of all.
        first = [(number, places[key][:most]) for number, key in enumerate(keys)]
        metrics = np.concatenate([np.full(len(found), number) for number, found in first] or [np.zeros(0, dtype=int)])
        positions = np.concatenate([found for _, found in first] or [np.zeros(0, dtype=int)])
        steps = np.concatenate([curves[keys[number]].steps[found] for number, found in first] or [np.zeros(0)])
        listed = np.lexsort((metrics, steps))[:most]
        return cls(
            [_gap(keys[metrics[place]], curves[keys[metrics[place]]], positions[place]) for place in listed],
            sum(map(len, places.values())),
        )


def _gap(key: str, curve: Curve, position: int) -> NonFinite:
    return {"metric": key, "epoch": int(curve.steps[position]), "kind": _kind(curve.values[position])}


def _kind(value: float) -> Literal["NaN", "Infinity", "-Infinity"]:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
