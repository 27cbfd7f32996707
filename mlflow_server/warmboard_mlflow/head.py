"""Read a run without its history: its attributes, parameters, tags, data sets and models, and the latest point of every
metric.
"""

from __future__ import annotations

import math
from typing import Any

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLatestMetric, SqlParam, SqlRun, SqlTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from sqlalchemy import select
from sqlalchemy.orm import Session

from warmboard_mlflow.linked import LARGEST, read_datasets, read_models

FORMAT = 1
_OF_RUN = {
    "run_id": SqlRun.run_uuid,
    "run_name": SqlRun.name,
    "experiment_id": SqlRun.experiment_id,
    "status": SqlRun.status,
    "start_time": SqlRun.start_time,
    "end_time": SqlRun.end_time,
    "lifecycle_stage": SqlRun.lifecycle_stage,
    "user_id": SqlRun.user_id,
    "artifact_uri": SqlRun.artifact_uri,
}
_EXPERIMENT_NAME = (
    select(SqlExperiment.name)
    .where(SqlExperiment.experiment_id == SqlRun.experiment_id)
    .correlate(SqlRun)
    .scalar_subquery()
)


def read_head(store: Any, session: Session, run_id: str) -> dict[str, Any]:
    """Read the response's first line. Raises MlflowException if the run is unknown, deleted or of another workspace."""
    run = _read_run(store, session, run_id)
    tags = {key: value or "" for key, value in session.execute(_pairs(SqlTag, run_id))}
    run["run_name"] = run["run_name"] or tags.get(MLFLOW_RUN_NAME)
    return {
        "version": FORMAT,
        "run": run,
        "params": dict(session.execute(_pairs(SqlParam, run_id)).all()),
        "tags": tags,
        "datasets": read_datasets(session, run_id),
        "models": read_models(session, run_id),
        "latest": {key: [*at, _number(value, is_nan)] for key, *at, value, is_nan in session.execute(_latest(run_id))},
    }


def _read_run(store: Any, session: Session, run_id: str) -> dict[str, Any]:
    # The store's own query: with workspaces enabled, it only finds runs of the request's workspace.
    query = store._get_query(session, SqlRun).filter(SqlRun.run_uuid == run_id)
    found = query.with_entities(*_OF_RUN.values(), _EXPERIMENT_NAME).one_or_none()
    if found is None:
        raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
    run = dict(zip((*_OF_RUN, "experiment_name"), found, strict=True))
    if run["lifecycle_stage"] == LifecycleStage.DELETED:
        raise MlflowException(f"Run with id={run_id} is deleted", RESOURCE_DOES_NOT_EXIST)
    return {**run, "experiment_id": str(run["experiment_id"])}


def _pairs(table: Any, run_id: str) -> Any:
    return select(table.key, table.value).where(table.run_uuid == run_id)


def _latest(run_id: str) -> Any:
    table = SqlLatestMetric
    columns = (table.key, table.step, table.timestamp, table.value, table.is_nan)
    return select(*columns).where(table.run_uuid == run_id)


def _number(value: float, is_nan: bool) -> float | str:
    """A number, or a string for NaN and ±∞, which strict JSON lacks."""
    if is_nan or math.isnan(value):
        return "NaN"
    if abs(value) >= LARGEST:
        return "Infinity" if value > 0 else "-Infinity"
    return value
