"""Fetch a run from MLflow's own database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import unquote

from warmboard.contract.about import Dataset, LoggedModel, ModelMetric
from workers.errors import DeletedError
from workers.fetch.budget import Budget
from workers.fetch.database import statements
from workers.fetch.database.revisions import BEFORE_MODELS, KNOWN, NEWEST
from workers.fetch.database.snapshot import Database, Snapshot, UnreadableError
from workers.fetch.incremental import continued
from workers.history.fetched import FetchedRun, end_of, moment, run_name
from workers.history.ndjson import Reading
from workers.history.points import MLFLOW_INFINITY, Point, Points, number

Rows = list[tuple[Any, ...]]
STATUSES = {1: "PENDING", 2: "READY", 3: "FAILED"}
"""Of a logged model: ``LoggedModelStatus`` in https://github.com/mlflow/mlflow/blob/master/mlflow/protos/service.proto."""


class DatabaseRoute:
    """Reads runs from one database. Its methods raise UnreadableError if HTTP must be used in its place, and errors
    of the run itself as the other routes do.
    """

    def __init__(self, uri: str) -> None:
        self._database = _database(uri)

    def fetch(
        self, run_id: str, kept: FetchedRun | None, alive: Callable[[], None], budget: Budget
    ) -> FetchedRun | None:
        """Fetch the whole run, from the first step that ``kept`` lacks. None if the database has no such run: a copy
        may lag behind.
        """

        def read(from_step: int | None) -> Reading:
            return self.read(run_id, from_step, alive, budget)

        try:
            return (kept and continued(kept, read)) or read(None).run
        except NoSuchRunError:
            return None

    def look(self, budget: Budget) -> bool:
        """Whether the user could write, which we never do. Raises UnreadableError unless runs can be read."""
        with self._errors(budget), self._database.snapshot("", budget) as snapshot:
            _has_models(snapshot)
            snapshot.rows(statements.LATEST)
            return snapshot.may_write()

    def close(self) -> None:
        """End the connection that is kept."""
        self._database.close()

    def read(self, run_id: str, from_step: int | None, alive: Callable[[], None], budget: Budget) -> Reading:
        """Read the run, and its points from a step on. Raises NoSuchRunError as well."""
        with self._errors(budget), self._database.snapshot(run_id, budget) as snapshot:
            head = _Head(snapshot, run_id)
            points = {
                key: Points.of(steps, values, timestamps)
                for key, steps, timestamps, values in snapshot.points(from_step, alive)
            }
            return head.reading(points)

    @contextmanager
    def _errors(self, budget: Budget) -> Iterator[None]:
        try:
            yield
        except self._database.errors as error:
            if budget.is_over:
                raise budget.late() from error
            raise UnreadableError(f"it can't be read: {str(error).strip()}") from error


class NoSuchRunError(Exception):
    """The database does not have the run."""


class _Head:
    """A run without its points."""

    def __init__(self, snapshot: Snapshot, run_id: str) -> None:
        of_models = statements.OF_MODELS if _has_models(snapshot) else ()
        runs, tagged, latest, params, datasets, *models = snapshot.all_rows([*statements.OF_RUN, *of_models])
        if not runs:
            raise NoSuchRunError
        name, experiment_id, status, start, end, stage, user, experiment = runs[0]
        if stage == "deleted":
            raise DeletedError(f"run {run_id} is deleted in MLflow")
        tags = {key: value or "" for key, value in tagged}
        self._latest = {key: _point(*point) for key, *point in latest}
        self._run = FetchedRun(
            run_id=run_id,
            experiment_name=experiment,
            name=run_name({"run_name": name}, tags),
            status=status,
            start_time=moment(start),
            end_time=end_of({"status": status, "end_time": end}),
            params=dict(params),
            tags=tags,
            points={},
            experiment_id=str(experiment_id),
            user=user or "",
            datasets=_datasets(datasets),
            models=_models(snapshot, *models) if models else [],
        )

    def reading(self, points: dict[str, Points]) -> Reading:
        return Reading(replace(self._run, points=points), self._latest)


def _has_models(snapshot: Snapshot) -> bool:
    """Whether the schema has logged models. Raises UnreadableError unless all that is read is known to be there."""
    found = snapshot.revisions()
    if len(found) != 1 or found[0] not in KNOWN:
        name = " and ".join(found) or "none"
        raise UnreadableError(
            f"the revision of its schema is {name}; known are those of MLflow 2.9.2 to {NEWEST}. Upgrade Warmboard"
        )
    return found[0] not in BEFORE_MODELS


def _datasets(rows: Rows) -> list[Dataset]:
    found = [
        Dataset(name=name, digest=digest, context=context or "", source_type=kind, source=source)
        for name, digest, context, kind, source in rows
    ]
    return sorted(found, key=lambda each: (each["name"], each["digest"], each["context"]))


def _models(snapshot: Snapshot, logged: Rows, outputs: Rows, inputs: Rows) -> list[LoggedModel]:
    """The models that the run logged, then those that it used, each with the metrics that the run logged for it."""
    models: dict[str, LoggedModel] = {}
    for model_id, name, status in logged:
        models[model_id] = _model(model_id, "output", name, STATUSES.get(status, "UNSPECIFIED"))
    for model_id, step in outputs:
        models.setdefault(model_id, _model(model_id, "output"))["step"] = step
    for (model_id,) in inputs:
        models.setdefault(model_id, _model(model_id, "input"))
    last: dict[str, dict[tuple[str, str], ModelMetric]] = {}
    # The latest come first.
    for model_id, key, dataset, step, _, value in snapshot.rows(statements.MODEL_METRICS) if models else ():
        metric = ModelMetric(key=key, dataset=dataset or "", value=number(_value(value)), step=step)
        last.setdefault(model_id, {}).setdefault((key, metric["dataset"]), metric)
    for model_id, metrics in last.items():
        models[model_id]["metrics"] = [metrics[name] for name in sorted(metrics)]
    return list(models.values())


def _model(model_id: str, role: Literal["output", "input"], name: str = "", status: str = "") -> LoggedModel:
    return LoggedModel(model_id=model_id, name=name, role=role, status=status, step=None, metrics=[])


def _point(step: int, timestamp: int, value: float | None) -> Point:
    return step, timestamp, _value(value)


def _value(value: float | None) -> float:
    """The value that was logged: MLflow stores infinity as the largest number. None of the database is NaN."""
    if value is None or math.isnan(value):
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= MLFLOW_INFINITY else value


def _database(uri: str) -> Database:
    scheme, _, rest = uri.partition("://")
    # Only here: most servers have no such address, and the driver takes 40 ms to import.
    if scheme == "sqlite":
        from workers.fetch.database.sqlite import Sqlite

        return Sqlite(unquote(rest.removeprefix("/")))
    from workers.fetch.database.postgresql import PostgreSQL

    return PostgreSQL(uri)
