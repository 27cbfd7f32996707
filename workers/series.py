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

MOST_NON_FINITE = {Resolution.OVERVIEW: 200, Resolution.FULL: 100_000}
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
        places = {key: np.flatnonzero(~np.isfinite(curve.values)) for key, curve in curves.items()}
        found: list[NonFinite] = [
            {"metric": key, "epoch": int(curves[key].steps[place]), "kind": _kind(curves[key].values[place])}
            for key, all_places in places.items()
            for place in all_places[:most]
        ]
        found.sort(key=lambda item: (item["epoch"], item["metric"]))
        return cls(found[:most], sum(map(len, places.values())))


def _kind(value: float) -> Literal["NaN", "Infinity", "-Infinity"]:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
