"""The other ways to get a whole run out of MLflow, to compare a fetch with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import requests
import sqlalchemy

from benchmarks.runs import FINAL, epoch_keys
from workers.history.points import Points

GRAPHQL_ALIASES = 10
"""The limit of a stock server per request."""
GRAPHQL_POINTS = 2_500
"""MLflow's limit of points per metric when it samples; a longer metric is not complete."""
SECONDS = 300
BATCH = 500
# The run's ID is a bound parameter.
SELECT = "SELECT key, step, timestamp, value, is_nan FROM metrics WHERE run_uuid = "


def sequential(server: str, run_id: str) -> None:
    """The usual way: one request for the run, then one for each metric, each on a new connection."""
    api = f"{server}/api/2.0/mlflow/"
    _get(api + "runs/get", run_id=run_id)
    for key in [*epoch_keys(), *FINAL]:
        _get(api + "metrics/get-history", run_id=run_id, metric_key=key)


def bulk_interval(server: str, run_id: str) -> None:
    """The way of MLflow's own pages: one metric per request, at most 2,500 points of it."""
    with requests.Session() as session:
        for key in [*epoch_keys(), *FINAL]:
            query: dict[str, str | int] = {"run_ids": run_id, "metric_key": key, "max_results": GRAPHQL_POINTS}
            address = f"{server}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
            session.get(address, params=query, timeout=SECONDS).raise_for_status()


def graphql(server: str, run_id: str) -> None:
    """As many metrics in a request as a stock server allows."""
    keys = [*epoch_keys(), *FINAL]
    with requests.Session() as session:
        for begin in range(0, len(keys), GRAPHQL_ALIASES):
            fields = "\n".join(
                f'm{number}: mlflowGetMetricHistoryBulkInterval(input: {{runIds: ["{run_id}"], metricKey: "{key}"}})'
                " { metrics { step timestamp value } }"
                for number, key in enumerate(keys[begin : begin + GRAPHQL_ALIASES])
            )
            address = f"{server}/graphql?max_results={GRAPHQL_POINTS}"
            answer = session.post(address, json={"query": f"query {{ {fields} }}"}, timeout=SECONDS)
            answer.raise_for_status()
            if answer.json().get("errors"):
                raise RuntimeError(answer.text[:500])


def straight_sql(database_uri: str) -> tuple[Callable[[str], list[Any]], Callable[[str], dict[str, Points]]]:
    """The plain SELECT on an open connection: a function for its rows as the driver returns them, and one for the same
    curves that a fetch returns.
    """
    engine = sqlalchemy.create_engine(database_uri)
    cursor = engine.raw_connection().cursor()
    mark = "?" if engine.dialect.name == "sqlite" else "%s"

    def rows(run_id: str) -> list[Any]:
        cursor.execute(SELECT + mark, (run_id,))
        return list(cursor.fetchall())

    def batches(run_id: str) -> Iterator[Sequence[Any]]:
        cursor.execute(SELECT + mark, (run_id,))
        while batch := cursor.fetchmany(BATCH):
            yield batch

    return rows, lambda run_id: _curves(batches(run_id))


def _curves(rows: Iterable[Sequence[Any]]) -> dict[str, Points]:
    """The curves of the rows, as fast as NumPy allows: in small batches, which fit into the processor's cache."""
    numbers: dict[str, int] = {}
    parts = []
    for batch in rows:
        keys, steps, timestamps, values, nan = zip(*batch, strict=True)
        codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.uint16)
        numeric = np.array(values, dtype=np.float64)
        numeric[np.array(nan, dtype=bool)] = np.nan
        parts.append((codes, np.array(steps), numeric, np.array(timestamps)))
    codes, *columns = map(np.concatenate, zip(*parts, strict=True))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))[:-1]
    split = [np.split(column[order], ends) for column in columns]
    return {key: Points.of(*(column[number] for column in split)) for key, number in numbers.items()}


def _get(address: str, **query: Any) -> None:
    requests.get(address, params=query, timeout=SECONDS).raise_for_status()
