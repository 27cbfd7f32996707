"""Parameters and final metrics as rows, for searching and sorting. The run's JSON columns hold them for display."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeVar

from store.models import LONGEST_KEY, LONGEST_TEXT, Run, RunMetric, RunParam

V = TypeVar("V")


def write(run: Run, params: Mapping[str, str], final_metrics: Mapping[str, float | None]) -> None:
    """Replace a run's rows by these values. Call it in ``put``'s transaction, with the run's row locked.

    ``run`` still has the previous values. Only differences are written, so a running run's parameters, which don't
    change, cost nothing.
    """
    RunParam.objects.filter(run=run, key__in=run.params.keys() - params.keys()).delete()
    RunParam.objects.bulk_create(
        [RunParam(run=run, **row) for row in param_rows(_changed(run.params, params))],
        update_conflicts=True,
        unique_fields=["run", "key"],
        update_fields=["text", "number"],
    )
    gone = {key for key in run.final_metrics if final_metrics.get(key) is None}
    RunMetric.objects.filter(run=run, key__in=gone).delete()
    RunMetric.objects.bulk_create(
        [RunMetric(run=run, **row) for row in metric_rows(_changed(run.final_metrics, final_metrics))],
        update_conflicts=True,
        unique_fields=["run", "key"],
        update_fields=["value"],
    )


def param_rows(params: Mapping[str, str]) -> Iterator[dict[str, str | float | None]]:
    """The columns of each row, except its run. Keys longer than LONGEST_KEY are left out."""
    for key, value in params.items():
        if len(key) <= LONGEST_KEY:
            yield {"key": key, "text": str(value)[:LONGEST_TEXT], "number": number_of(str(value))}


def metric_rows(metrics: Mapping[str, float | None]) -> Iterator[dict[str, str | float]]:
    """The columns of each row, except its run. NaN, ±∞ and keys longer than LONGEST_KEY are left out."""
    for key, value in metrics.items():
        if len(key) <= LONGEST_KEY and value is not None and math.isfinite(value):
            yield {"key": key, "value": value}


def number_of(text: str) -> float | None:
    """Parse a finite number such as ``1e-3``. None for any other text, including ``nan`` and ``1_000``."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _changed(old: Mapping[str, V], new: Mapping[str, V]) -> dict[str, V]:
    return {key: value for key, value in new.items() if key not in old or old[key] != value}
