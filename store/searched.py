"""Parameters and final metrics as rows, which lists search and sort. The run's own columns hold them for showing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeVar

from store.models import LONGEST_KEY, LONGEST_TEXT, Run, RunMetric, RunParam

V = TypeVar("V")


def write(run: Run, params: Mapping[str, str], final_metrics: Mapping[str, float | None]) -> None:
    """Makes the rows of a run those of these values; part of ``put``'s transaction, with the run's row locked.

    ``run`` is the row as it was, which says what rows there are: only what has changed is written, so that a run that
    goes on leaves its parameters alone.
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
    """The columns of each row but its run."""
    for key, value in params.items():
        if len(key) <= LONGEST_KEY:
            yield {"key": key, "text": str(value)[:LONGEST_TEXT], "number": number_of(str(value))}


def metric_rows(metrics: Mapping[str, float | None]) -> Iterator[dict[str, str | float]]:
    """The columns of each row but its run. A value that is not finite has none."""
    for key, value in metrics.items():
        if len(key) <= LONGEST_KEY and value is not None and math.isfinite(value):
            yield {"key": key, "value": value}


def number_of(text: str) -> float | None:
    """The finite number that a text is, else None: ``1e-3``, but neither ``nan`` nor ``1_000``."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _changed(old: Mapping[str, V], new: Mapping[str, V]) -> dict[str, V]:
    return {key: value for key, value in new.items() if key not in old or old[key] != value}
