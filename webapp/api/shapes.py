"""The shapes of the API's answers that no worker makes: those of warm entries are in `warmboard.contract.entries`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from store.state import State
from warmboard.contract.entries import Axis, History, NonFinite, Series


class Error(TypedDict):
    """What is wrong. ``parameter`` and ``allowed`` are there when it is a query parameter."""

    error: str
    parameter: NotRequired[str]
    allowed: NotRequired[list[str] | None]


class RunFields(TypedDict):
    name: str
    experiment_name: str
    tracking_server: str
    status: str
    start_time: str | None
    end_time: str | None
    epochs: int | None
    params: dict[str, str]
    final_metrics: dict[str, float | None]
    announced_at: str
    warmed_at: str | None


class Annotation(TypedDict):
    """What people say about a run. A plain label is a tag with an empty value."""

    tags: dict[str, str]
    note: str
    pinned: bool
    archived: bool
    changed_by: str | None
    changed_at: str | None


class AnnotationChange(TypedDict):
    """Any of these, at least one; ``tags`` are then all of the run's."""

    tags: NotRequired[dict[str, str]]
    note: NotRequired[str]
    pinned: NotRequired[bool]
    archived: NotRequired[bool]


class ListedRun(RunFields):
    """One run of the list. ``sparkline`` is a few values of its validation loss, in order."""

    mlflow_run_id: str
    state: Literal["warm"] | State
    reason: str
    quick_test_ids: list[int]
    sparkline: Series
    annotation: Annotation


class RunList(TypedDict):
    """Some runs, in order. ``next`` and ``previous`` are cursors of the pages beside this one, `null` at the ends;
    ``problem`` says why a query that is still being typed can't be read yet."""

    runs: list[ListedRun]
    next: str | None
    previous: str | None
    problem: str | None


class AnyRun(TypedDict):
    """A run of a comparison. ``history`` is its overview, `null` while it is not warm; the state says why."""

    mlflow_run_id: str
    state: Literal["warm"] | State
    expect: str
    reason: str
    quick_test_ids: list[int]
    history: History | None


class ComparedRun(AnyRun, RunFields):
    """A run of a comparison that has been announced."""


class Comparison(TypedDict):
    """The runs in the order in which they were asked for."""

    available: Literal[True]
    runs: list[ComparedRun | AnyRun]


class Timings(TypedDict):
    """A run's way from its event to its charts."""

    event_time: str | None
    published_at: str | None
    received_at: str | None
    warmed_at: str | None
    publish_to_warm_seconds: float | None


class Event(TypedDict):
    """What became of one event of the run."""

    id: str
    type: str
    state: Literal["pending", "warming", "done", "failed", "unreadable"]
    reason: str
    attempts: int
    event_time: str | None
    published_at: str
    received_at: str
    done_at: str | None


class AnnouncedRun(TypedDict):
    """A run of which there are events and nothing else. ``next`` is its newest event's state unless that is done."""

    mlflow_run_id: str
    state: Literal["warm"] | State
    expect: str
    reason: str
    attempts: int
    next: Literal["pending", "warming", "failed", "unreadable"] | None
    quick_test_ids: list[int]
    timings: Timings
    events: list[Event]


class RunSummary(AnnouncedRun, RunFields):
    """Everything about one run but its charts."""


class ExportedMetric(TypedDict):
    """One value per step of ``axes[axis]``."""

    axis: int
    values: Series


class Export(TypedDict):
    """A whole run at full resolution, each metric on its axis. A value that is not finite is ``null`` and listed in
    ``non_finite``, as in the history; a step that a metric lacks is ``null`` alone. ``non_finite_unlisted`` counts what
    the store does not list: of a history or a chunk it lists 10,000.
    """

    available: Literal[True]
    mlflow_run_id: str
    run_name: str
    experiment_name: str
    status: str
    start_time: str | None
    end_time: str | None
    cached_at: str
    params: dict[str, str]
    tags: dict[str, str]
    final_metrics: dict[str, float | None]
    non_finite: list[NonFinite]
    non_finite_unlisted: int
    axes: list[Axis]
    metrics: dict[str, ExportedMetric]
