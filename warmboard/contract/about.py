"""The shape of the entry ``about``: what MLflow knows of a run besides its metrics and parameters.

``contract/examples/entry-about.json`` is a golden document. ``entries.py`` has the key.
"""

from __future__ import annotations

from typing import Literal, TypedDict

NOTE = "mlflow.note.content"
"""The tag that is the run's description."""


class Source(TypedDict):
    """The program that logged the run. What is unknown is empty. ``type`` is MLflow's word, such as ``LOCAL``."""

    name: str
    type: str
    entry_point: str
    commit: str
    branch: str
    repository: str


class Dataset(TypedDict):
    """A data set of the run. ``context`` is its use, such as ``training``; ``source`` is where it comes from, as MLflow
    has it: often JSON.
    """

    name: str
    digest: str
    context: str
    source_type: str
    source: str


class ModelMetric(TypedDict):
    """The last value of a metric that the run logged for a model. ``dataset`` is empty if it is of no data set."""

    key: str
    dataset: str
    value: float | Literal["NaN", "Infinity", "-Infinity"]
    step: int


class LoggedModel(TypedDict):
    """A model that the run logged (``output``) or used (``input``). MLflow 2 knows no status, step and metrics."""

    model_id: str
    name: str
    role: Literal["output", "input"]
    status: str
    step: int | None
    metrics: list[ModelMetric]


class LeftOut(TypedDict):
    """How much the document lacks: of the description, characters; otherwise the number of items."""

    description: int
    tags: int
    datasets: int
    models: int
    model_metrics: int


class About(TypedDict):
    """What MLflow knows of the run.

    ``description`` is the Markdown that was written. ``description_html`` is the same as HTML that is safe to insert
    into a page: a few plain elements, links to http, https and mailto alone, no images. It is empty if the description
    is to be shown as text. ``tags`` are all others, MLflow's own too; ``cut`` has the number of characters that the
    value of a tag lacks. ``parent`` is a run ID, or empty.
    """

    available: Literal[True]
    description: str
    description_html: str
    user: str
    source: Source
    parent: str
    tags: dict[str, str]
    cut: dict[str, int]
    datasets: list[Dataset]
    models: list[LoggedModel]
    left_out: LeftOut
    experiment_id: str
    cached_at: str
    mlflow_run_id: str
