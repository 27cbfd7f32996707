"""Parameters, MLflow's tags and the numbers of metrics as rows, for searching and sorting."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Model

from store.models import LONGEST_KEY, LONGEST_TEXT, Run, RunMetric, RunParam, RunTag
from warmboard.contract.entries import PointSummary, Summary

V = TypeVar("V")
NUMBERS = ["last", "first", "min", "max", "count"]
"""The columns of a metric's row."""
ROWS = 100
"""The max number of rows that one statement writes: fewer parameters than SQLite's old limit of 999."""
MOST_METRICS = 10_000
"""The max number of a run's metrics that can be searched."""
MOST_TAGS = 1_000
"""The max number of MLflow's tags of a run that can be searched."""


def write(run: Run, params: Mapping[str, str], tags: Mapping[str, str], summaries: Mapping[str, Summary]) -> None:
    """Replace a run's rows by these values. Call it in ``put``'s transaction, with the run's row locked.

    ``run`` still has the previous parameters. Only differences are written, so what does not change costs nothing.
    """
    _delete(RunParam, run, run.params.keys() - params.keys())
    _upsert(RunParam, run, param_rows(_changed(run.params, params)), ["text", "number"])
    _replace(RunTag, run, tag_rows(tags), ["text"])
    _replace(RunMetric, run, metric_rows(summaries), NUMBERS)


def _replace(table: type[Model], run: Run, wanted: Iterable[dict[str, Any]], columns: list[str]) -> None:
    rows = {row["key"]: row for row in wanted}
    # A run that was never fetched has none.
    of_run = table._default_manager.filter(run=run).values("key", *columns) if run.fetched_at else ()
    known = {row["key"]: row for row in of_run}
    _delete(table, run, known.keys() - rows.keys())
    _upsert(table, run, _changed(known, rows).values(), columns)


def _upsert(table: type[Model], run: Run, rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
    """Write rows, replacing those with the same key, in one statement per ROWS. ``bulk_create`` would write the same,
    but makes an object of each row, which takes longer than writing it.
    """
    quote = connection.ops.quote_name
    column_of = {field.name: quote(str(field.column)) for field in table._meta.concrete_fields}
    names = [column_of[name] for name in ("run", "key", *columns)]
    marks = f"({', '.join(['%s'] * len(names))})"
    update = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[2:])
    into = f"INSERT INTO {quote(table._meta.db_table)} ({', '.join(names)}) VALUES "  # noqa: S608
    conflict = f" ON CONFLICT ({names[0]}, {names[1]}) DO UPDATE SET {update}"
    values = [[run.pk, row["key"], *(row[column] for column in columns)] for row in rows]
    with connection.cursor() as cursor:
        for begin in range(0, len(values), ROWS):
            batch = values[begin : begin + ROWS]
            cursor.execute(into + ", ".join([marks] * len(batch)) + conflict, list(chain.from_iterable(batch)))


def _delete(table: type[Model], run: Run, keys: Collection[str]) -> None:
    if keys:
        table._default_manager.filter(run=run, key__in=keys).delete()


def param_rows(params: Mapping[str, str]) -> Iterator[dict[str, str | float | None]]:
    """The columns of each row, except its run. Keys longer than LONGEST_KEY are left out."""
    for key, value in params.items():
        if len(key) <= LONGEST_KEY:
            yield {"key": key, "text": str(value)[:LONGEST_TEXT], "number": number_of(str(value))}


def tag_rows(tags: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The columns of each row, except its run; of at most MOST_TAGS. Keys longer than LONGEST_KEY are left out."""
    for key in [key for key in sorted(tags) if len(key) <= LONGEST_KEY][:MOST_TAGS]:
        yield {"key": key, "text": tags[key][:LONGEST_TEXT]}


def metric_rows(summaries: Mapping[str, Summary]) -> Iterator[dict[str, Any]]:
    """The columns of each row, except its run; of at most MOST_METRICS. Keys longer than LONGEST_KEY are left out."""
    for key in [key for key in summaries if len(key) <= LONGEST_KEY][:MOST_METRICS]:
        summary = summaries[key]
        low, high = summary["min"], summary["max"]
        yield {
            "key": key,
            "last": _known(summary["last"]),
            "first": _known(summary["first"]),
            "min": low and _known(low),
            "max": high and _known(high),
            "count": summary["count"],
        }


def _known(point: PointSummary) -> float | None:
    """The value as a column has it: ±∞ as they are, null for NaN, which databases sort differently."""
    value = float(point["value"])
    return None if math.isnan(value) else value


def number_of(text: str) -> float | None:
    """Parse a finite number such as ``1e-3``. None for any other text, including ``nan`` and ``1_000``."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _changed(old: Mapping[str, V], new: Mapping[str, V]) -> dict[str, V]:
    return {key: value for key, value in new.items() if key not in old or old[key] != value}
