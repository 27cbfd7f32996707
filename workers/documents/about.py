"""Build the document ``about``: what MLflow knows of a run besides metrics and parameters. Everything is bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from warmboard.contract.about import NOTE, About, Dataset, LoggedModel, Source
from warmboard.contract.events import RUN_ID
from workers.documents.description import rendered
from workers.history.fetched import FetchedRun

PARENT, USER, MODELS = "mlflow.parentRunId", "mlflow.user", "mlflow.log-model.history"
UNKNOWN = "unknown"
"""MLflow's name of a user that no client has given."""
SOURCE = {
    "name": "mlflow.source.name",
    "type": "mlflow.source.type",
    "entry_point": "mlflow.project.entryPoint",
    "commit": "mlflow.source.git.commit",
    "branch": "mlflow.source.git.branch",
    "repository": "mlflow.source.git.repoURL",
}
LONGEST_DESCRIPTION = 100_000
LONGEST_TAG, MOST_TAGS, MOST_CHARACTERS = 20_000, 1_000, 400_000
"""Of one value; of a run; of all values and names. MLflow's own limits are 8,000 characters and no number."""
LONGEST_FIELD = 1_000
"""Of a single line, such as a commit or a name."""
MOST_DATASETS, MOST_MODELS, MOST_MODEL_METRICS = 100, 100, 1_000


def parent_of(tags: Mapping[str, str]) -> str:
    """The ID of the run's parent; empty if it has none, or one that no run can have."""
    parent = tags.get(PARENT, "").strip()
    return parent if RUN_ID.fullmatch(parent) else ""


def about(run: FetchedRun, cached_at: str) -> About:
    """The document of a run."""
    note = run.tags.get(NOTE, "")
    description = note[:LONGEST_DESCRIPTION]
    tags, cut = _tags({key: value for key, value in run.tags.items() if key != NOTE})
    logged = _models(run)
    models, model_metrics = _within(logged[:MOST_MODELS])
    return {
        "available": True,
        "description": description,
        "description_html": rendered(description),
        "user": (run.tags.get(USER) or ("" if run.user == UNKNOWN else run.user))[:LONGEST_FIELD],
        "source": _source(run.tags),
        "parent": parent_of(run.tags),
        "tags": tags,
        "cut": cut,
        "datasets": [_dataset(each) for each in run.datasets[:MOST_DATASETS]],
        "models": models,
        "left_out": {
            "description": len(note) - len(description),
            "tags": len(run.tags) - (NOTE in run.tags) - len(tags),
            "datasets": max(len(run.datasets) - MOST_DATASETS, 0),
            "models": max(len(logged) - MOST_MODELS, 0),
            "model_metrics": model_metrics,
        },
        "experiment_id": run.experiment_id,
        "cached_at": cached_at,
        "mlflow_run_id": run.run_id,
    }


def _source(tags: Mapping[str, str]) -> Source:
    return cast(Source, {name: tags.get(tag, "")[:LONGEST_FIELD] for name, tag in SOURCE.items()})


def _tags(tags: Mapping[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """The tags that fit, people's before MLflow's own, and how much each value lacks."""
    kept: dict[str, str] = {}
    cut: dict[str, int] = {}
    left = MOST_CHARACTERS
    for key in sorted(tags, key=lambda key: (key.startswith("mlflow."), key))[:MOST_TAGS]:
        left -= len(key)
        if left < 0:
            break
        value = tags[key]
        kept[key] = value[: min(LONGEST_TAG, left)]
        left -= len(kept[key])
        if len(kept[key]) < len(value):
            cut[key] = len(value) - len(kept[key])
    return kept, cut


def _dataset(dataset: Dataset) -> Dataset:
    return cast(Dataset, {name: str(value)[:LONGEST_FIELD] for name, value in dataset.items()})


def _models(run: FetchedRun) -> Sequence[LoggedModel]:
    """The run's models; those of an older client, which had only a tag for them, if MLflow knows of none."""
    if any(model["role"] == "output" for model in run.models):
        return run.models
    return [*_models_of_tag(run.tags.get(MODELS, "")), *run.models]


def _models_of_tag(text: str) -> Iterable[LoggedModel]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    for model in found if isinstance(found, list) else []:
        if isinstance(model, dict):
            yield LoggedModel(
                model_id=str(model.get("model_uuid") or "")[:LONGEST_FIELD],
                name=str(model.get("artifact_path") or "")[:LONGEST_FIELD],
                role="output",
                status="",
                step=None,
                metrics=[],
            )


def _within(models: Sequence[LoggedModel]) -> tuple[list[LoggedModel], int]:
    """The models with at most MOST_MODEL_METRICS metrics in all, and how many these lack."""
    left, lacking = MOST_MODEL_METRICS, 0
    kept = []
    for model in models:
        metrics = model["metrics"][:left]
        left -= len(metrics)
        lacking += len(model["metrics"]) - len(metrics)
        kept.append(LoggedModel(**{**model, "metrics": metrics}))
    return kept, lacking
