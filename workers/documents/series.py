"""Arrays as documents hold them.

``encoding.py`` writes an array directly as a JSON list, with null for NaN and ±∞, so a million values never become a
list of Python numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from warmboard.contract.entries import NonFinite, NonFiniteSteps, PointList, Resolution, Series
from workers.documents.sample import round_significant
from workers.history.drawing import Curve
from workers.history.points import Points, Values
from workers.history.points import number as strict

Kind = Literal["NaN", "Infinity", "-Infinity"]
MOST_NON_FINITE = {Resolution.OVERVIEW: 200, Resolution.FULL: 10_000}
"""The max number of NaN and ±∞ values that a document lists. It also gives their total number, and in full resolution
the steps of the others.
"""
KINDS: dict[Kind, Callable[[Values], NDArray[np.bool_]]] = {
    "NaN": np.isnan,
    "Infinity": np.isposinf,
    "-Infinity": np.isneginf,
}


def series(values: Values, resolution: Resolution) -> Series:
    """The values of one curve, rounded for an overview."""
    return cast(Series, round_significant(values) if resolution is Resolution.OVERVIEW else values)


def series_of(curves: Mapping[str, Values], resolution: Resolution) -> dict[str, Series]:
    """``series`` of curves of one length, by key. One rounding of all takes a fraction of the time of many."""
    if resolution is not Resolution.OVERVIEW or not curves:
        return {key: series(values, resolution) for key, values in curves.items()}
    rounded = cast("list[Series]", list(round_significant(np.stack(list(curves.values())))))
    return dict(zip(curves, rounded, strict=True))


def integers(values: NDArray[np.int64]) -> list[int]:
    return cast("list[int]", np.ascontiguousarray(values))


def counts(values: Values) -> list[Series]:
    """Bin counts of shape (epochs, bins), as whole numbers if all are whole."""
    whole = values.astype(np.int64)
    return cast("list[Series]", np.ascontiguousarray(whole if (whole == values).all() else values))


def number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def point_list(points: Points, resolution: Resolution) -> PointList:
    """Points that have no place on an axis."""
    values = round_significant(points.values) if resolution is Resolution.OVERVIEW else points.values
    return {
        "steps": integers(points.steps),
        "timestamps": integers(points.timestamps),
        "values": [strict(value) for value in values.tolist()],
    }


class Members(TypedDict):
    """As in a history and in a chunk."""

    non_finite: list[NonFinite]
    non_finite_total: int
    non_finite_rest: NotRequired[NonFiniteSteps]


@dataclass(frozen=True)
class Gaps:
    """NaN and ±∞ values, which JSON lacks: the first ones by epoch, then by metric, their total number, and in full
    resolution the steps of all others.
    """

    listed: list[NonFinite]
    total: int
    rest: NonFiniteSteps

    @classmethod
    def of(cls, curves: Mapping[str, Curve], resolution: Resolution) -> Gaps:
        if not curves:
            return cls([], 0, {})
        most, keys = MOST_NON_FINITE[resolution], sorted(curves)
        places = [curves[key].non_finite for key in keys]
        # Only the first ``most`` of each metric can be among the first ``most`` of all.
        first = [found[:most] for found in places]
        metrics = np.repeat(np.arange(len(keys)), list(map(len, first)))
        positions = np.concatenate(first)
        steps = np.concatenate([curves[key].steps[found] for key, found in zip(keys, first, strict=True)])
        listed = np.lexsort((metrics, steps))[:most]
        total = sum(map(len, places))
        rest: NonFiniteSteps = {}
        if resolution is Resolution.FULL and total > most:
            # The listed ones of a metric are its first.
            known = np.bincount(metrics[listed], minlength=len(keys))
            rest = {
                key: _steps(curves[key], found[seen:])
                for key, found, seen in zip(keys, places, known.tolist(), strict=True)
                if len(found) > seen
            }
        return cls([_gap(keys[metrics[n]], curves[keys[metrics[n]]], positions[n]) for n in listed], total, rest)

    def members(self) -> Members:
        """What a document has of them."""
        members: Members = {"non_finite": self.listed, "non_finite_total": self.total}
        if self.rest:
            members["non_finite_rest"] = self.rest
        return members


def _steps(curve: Curve, positions: NDArray[np.intp]) -> dict[Kind, list[int]]:
    steps, values = curve.steps[positions], curve.values[positions]
    return {kind: integers(steps[of_kind(values)]) for kind, of_kind in KINDS.items() if of_kind(values).any()}


def _gap(key: str, curve: Curve, position: int) -> NonFinite:
    return {"metric": key, "epoch": int(curve.steps[position]), "kind": _kind(curve.values[position])}


def _kind(value: float) -> Kind:
    return next(kind for kind, of_kind in KINDS.items() if of_kind(np.array([value]))[0])
