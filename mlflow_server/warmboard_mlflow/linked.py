"""Read the data sets of a run, and the models that it logged or used, with the metrics that it logged for them.

Only what Warmboard shows is read: a data set's schema and profile may have megabytes.
"""

from __future__ import annotations

import math
from typing import Any

from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.store.tracking.dbmodels.models import (
    SqlDataset,
    SqlInput,
    SqlInputTag,
    SqlLoggedModel,
    SqlLoggedModelMetric,
)
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

CONTEXT = "mlflow.data.context"
LARGEST = 1.7976931348623157e308
"""MLflow's databases store infinity as this value."""
LONGEST_SOURCE = 2_000
MOST = 1_000
"""The max number of data sets, of models, and of their metrics that are read."""


def read_datasets(session: Session, run_id: str) -> list[dict[str, Any]]:
    """Read the run's data sets, by name."""
    context = and_(SqlInputTag.input_uuid == SqlInput.input_uuid, SqlInputTag.name == CONTEXT)
    query = (
        select(
            SqlDataset.name,
            SqlDataset.digest,
            SqlInputTag.value.label("context"),
            SqlDataset.dataset_source_type.label("source_type"),
            func.substr(SqlDataset.dataset_source, 1, LONGEST_SOURCE).label("source"),
        )
        .select_from(SqlInput)
        .join(SqlDataset, SqlInput.source_id == SqlDataset.dataset_uuid)
        .outerjoin(SqlInputTag, context)
        .where(SqlInput.destination_type == "RUN", SqlInput.destination_id == run_id)
        .limit(MOST)
    )
    found = [{name: value or "" for name, value in row._mapping.items()} for row in session.execute(query)]
    return sorted(found, key=lambda each: (each["name"], each["digest"], each["context"]))


def read_models(session: Session, run_id: str) -> list[dict[str, Any]]:
    """Read the models that the run logged, then those that it used."""
    model = SqlLoggedModel
    query = (
        select(model.model_id, model.name, model.status)
        .where(model.source_run_id == run_id, model.lifecycle_stage == "active")
        .order_by(model.creation_timestamp_ms.desc(), model.model_id)
        .limit(MOST)
    )
    models: dict[str, dict[str, Any]] = {
        model_id: _model(model_id, "output", name, str(LoggedModelStatus.from_int(status)))
        for model_id, name, status in session.execute(query)
    }
    for role, source, destination in (
        ("output", "RUN_OUTPUT", "MODEL_OUTPUT"),
        ("input", "RUN_INPUT", "MODEL_INPUT"),
    ):
        for model_id, step in session.execute(_linked(run_id, source, destination)):
            known = models.setdefault(model_id, _model(model_id, role))
            if role == "output":
                known["step"] = step
    for model_id, *metric in session.execute(_metrics(run_id, list(models))) if models else ():
        _keep_last(models[model_id]["metrics"], *metric)
    for each in models.values():
        each["metrics"] = [each["metrics"][name] for name in sorted(each["metrics"])]
    return list(models.values())


def _model(model_id: str, role: str, name: str = "", status: str = "") -> dict[str, Any]:
    return {"model_id": model_id, "name": name, "role": role, "status": status, "step": None, "metrics": {}}


def _linked(run_id: str, source: str, destination: str) -> Any:
    where = (SqlInput.source_type == source, SqlInput.source_id == run_id, SqlInput.destination_type == destination)
    return select(SqlInput.destination_id, SqlInput.step).where(*where).order_by(SqlInput.destination_id).limit(MOST)


def _metrics(run_id: str, model_ids: list[str]) -> Any:
    """The metrics that the run logged for these models, the latest first. The table's index is by model."""
    table = SqlLoggedModelMetric
    columns = (table.model_id, table.metric_name, table.dataset_name, table.metric_step, table.metric_value)
    ranked = (table.metric_step.desc(), table.metric_timestamp_ms.desc(), table.metric_value.desc())
    return select(*columns).where(table.model_id.in_(model_ids), table.run_id == run_id).order_by(*ranked).limit(MOST)


def _keep_last(
    metrics: dict[tuple[str, str], dict[str, Any]], key: str, dataset: str | None, step: int, value: float | None
) -> None:
    name = (key, dataset or "")
    metrics.setdefault(name, {"key": key, "dataset": name[1], "value": _number(value), "step": step})


def _number(value: float | None) -> float | str:
    """A number, or a string for NaN and ±∞, which strict JSON lacks."""
    if value is None or math.isnan(value):
        return "NaN"
    if abs(value) >= LARGEST:
        return "Infinity" if value > 0 else "-Infinity"
    return value
