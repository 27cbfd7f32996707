"""The data sets and models of a run, from MLflow's JSON. Pure; no input or output.

Only what the document ``about`` shows is kept, so that a data set's schema of megabytes never reaches the store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from warmboard.contract.about import Dataset, LoggedModel, ModelMetric
from workers.history.points import MLFLOW_INFINITY, number

CONTEXT = "mlflow.data.context"
LONGEST_SOURCE = 2_000
MOST = 1_000
"""The max number of data sets, of models, and of metrics of one model that are kept."""
STATUSES = {
    "LOGGED_MODEL_PENDING": "PENDING",
    "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "FAILED",
}


def datasets_of(run: Mapping[str, Any]) -> list[Dataset]:
    """The data sets of a run as `runs/get` returns it, by name."""
    found = []
    for item in run.get("inputs", {}).get("dataset_inputs", [])[:MOST]:
        dataset = item.get("dataset", {})
        context = next((tag.get("value", "") for tag in item.get("tags", []) if tag.get("key") == CONTEXT), "")
        found.append(
            Dataset(
                name=dataset.get("name", ""),
                digest=dataset.get("digest", ""),
                context=context,
                source_type=dataset.get("source_type", ""),
                source=dataset.get("source", "")[:LONGEST_SOURCE],
            )
        )
    return sorted(found, key=lambda each: (each["name"], each["digest"], each["context"]))


def models_of(run: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> list[LoggedModel]:
    """The models that a run logged, then those that it used. ``run`` is as `runs/get` returns it; ``found`` are models
    of `logged-models/search`, which has their names and metrics.
    """
    run_id = run["info"]["run_id"]
    models: dict[str, LoggedModel] = {}
    for model in found:
        info = model.get("info", {})
        status = info.get("status", "")
        models[info["model_id"]] = LoggedModel(
            model_id=info["model_id"],
            name=info.get("name", ""),
            role="output",
            status=STATUSES.get(status, status),
            step=None,
            metrics=_metrics_of(run_id, model.get("data", {}).get("metrics", [])),
        )
    for item in run.get("outputs", {}).get("model_outputs", []):
        _known(models, item["model_id"], "output")["step"] = int(item.get("step", 0))
    for item in run.get("inputs", {}).get("model_inputs", []):
        _known(models, item["model_id"], "input")
    return list(models.values())[:MOST]


def _known(models: dict[str, LoggedModel], model_id: str, role: Any) -> LoggedModel:
    unknown = LoggedModel(model_id=model_id, name="", role=role, status="", step=None, metrics=[])
    return models.setdefault(model_id, unknown)


def _metrics_of(run_id: str, metrics: Iterable[Mapping[str, Any]]) -> list[ModelMetric]:
    """The last value of each metric that this run logged, by key and data set."""
    last: dict[tuple[str, str], tuple[int, int, float]] = {}
    for metric in metrics:
        if metric.get("run_id", run_id) == run_id:
            name = metric["key"], metric.get("dataset_name", "")
            point = int(metric.get("step", 0)), int(metric.get("timestamp", 0)), float(metric["value"])
            last[name] = max(last.get(name, point), point)
    return [
        ModelMetric(key=key, dataset=dataset, value=number(_restored(value)), step=step)
        for (key, dataset), (step, _, value) in sorted(last.items())[:MOST]
    ]


def _restored(value: float) -> float:
    """The value that was logged: MLflow's databases store infinity as the largest number."""
    return math.copysign(math.inf, value) if abs(value) >= MLFLOW_INFINITY else value
