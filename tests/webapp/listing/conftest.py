"""Runs to look for."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store import searched
from store.models import Run
from warmboard.contract.entries import PointSummary, Summary

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
Make = Callable[..., Run]
Values = float | list[float] | None
"""A metric's value, or all its values; None is NaN."""


def summary(values: Values) -> Summary:
    """The numbers of a metric with these values, one a step."""
    points = values if isinstance(values, list) else [math.nan if values is None else values]
    finite = [point for point in points if math.isfinite(point)]
    low, high = (_point(end(finite)) if finite else None for end in (min, max))
    return {
        "count": len(points), "first": _point(points[0]), "last": _point(points[-1]), "min": low, "max": high,
        "nan": 0, "infinity": 0, "minus_infinity": 0,
    }  # fmt: skip


def _point(value: float) -> PointSummary:
    return {"value": value, "step": 0, "time": 0}


@pytest.fixture
def make(db: None) -> Make:
    """Makes runs, each a minute newer than the last: their rows as a warming leaves them."""
    made = 0

    def one(
        run_id: str,
        params: dict[str, str] | None = None,
        metrics: dict[str, Values] | None = None,
        tags: dict[str, str] | None = None,
        **fields: Any,
    ) -> Run:
        nonlocal made
        made += 1
        moment = NOON + timedelta(minutes=made)
        usual = {"tracking_server": "default", "experiment_name": "e", "status": "FINISHED", "announced_at": moment}
        run = Run.objects.create(run_id=run_id, **(usual | fields))
        summaries = {key: summary(values) for key, values in (metrics or {}).items()}
        searched.write(run, params or {}, tags or {}, summaries)
        run.params = params or {}
        run.save()
        return run

    return one
