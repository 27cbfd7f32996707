"""Types of the API's responses. Those of warm entries are in `warmboard.contract.entries`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from store.state import State
from warmboard.contract.entries import History, NonFinite, Series, Summaries


class Error(TypedDict):
    """An error. ``parameter`` and ``allowed`` are present if a query parameter is invalid."""

    error: str
    parameter: NotRequired[str]
    allowed: NotRequired[list[str] | None]


class RunFields(TypedDict):
    """What is known of an announced run. ``epochs`` is its number of epochs, steps or points, as ``unit`` says.
    ``pending_metrics`` are still being fetched: above 0, the run has only its first charts.
    """

    name: str
    experiment_name: str
    tracking_server: str
    status: str
    start_time: str | None
    end_time: str | None
    newest_at: str | None
    deleted_at: str | None
    epochs: int | None
    unit: Literal["epoch", "step", "point"]
    pending_metrics: int
    params: dict[str, str]
    final_metrics: dict[str, float | None]
    announced_at: str
    warmed_at: str | None


class Annotation(TypedDict):
    """A run's annotation. A plain label is a tag with an empty value."""

    tags: dict[str, str]
    note: str
    pinned: bool
    archived: bool
    changed_by: str | None
    changed_at: str | None


class AnnotationChange(TypedDict):
    """One or more of these; ``tags`` replace all tags of the run."""

    tags: NotRequired[dict[str, str]]
    note: NotRequired[str]
    pinned: NotRequired[bool]
    archived: NotRequired[bool]


class ListedRun(RunFields):
    """One run of the list. ``sparkline`` is a sample of its validation loss."""

    mlflow_run_id: str
    state: Literal["warm"] | State
    reason: str
    quick_test_ids: list[int]
    sparkline: Series
    annotation: Annotation


class RunList(TypedDict):
    """A page of runs, in order. ``next`` and ``previous`` are cursors of the adjacent pages, `null` at the ends;
    ``problem`` is the error of an incomplete query, or names what no run has (`typing=1`)."""

    runs: list[ListedRun]
    next: str | None
    previous: str | None
    problem: str | None


class Suggestion(TypedDict):
    """What may be written at the cursor. ``text`` is for the query, ``label`` for people. ``runs`` is the number of
    runs that have it; 1,000 is 1,000 or more, `null` not counted."""

    text: str
    label: str
    kind: Literal["field", "flag", "word", "metric", "param", "tag", "experiment", "statistic", "operator", "value"]
    runs: int | None


class Completion(TypedDict):
    """At most 20 suggestions, the best first. Each may replace the characters from ``start`` to ``end``."""

    start: int
    end: int
    suggestions: list[Suggestion]


class AnyRun(TypedDict):
    """A run of a comparison. ``history`` is its overview, `null` if it is not warm; ``state`` is the reason.
    ``summaries`` are the numbers of its metrics, from all points; `null` also if an older worker warmed the run.
    """

    mlflow_run_id: str
    state: Literal["warm"] | State
    expect: str
    reason: str
    quick_test_ids: list[int]
    summaries: Summaries | None
    history: History | None


class ComparedRun(AnyRun, RunFields):
    """An announced run of a comparison."""


class ComparedMetric(TypedDict):
    """A metric of the index of a comparison. ``section`` is the first that any run's charts give it; `null` without a
    curve. ``runs`` have it, ``curves`` of them have a curve. The runs ``differ`` in these of its values.
    """

    key: str
    section: Literal["training", "other", "system"] | None
    runs: int
    curves: int
    differ: list[Literal["last", "first", "min", "max"]]


class Comparison(TypedDict):
    """The runs in the requested order. With `first`, their summaries have only the metrics of the first charts, and
    ``metrics`` are the names of all, in the order of the charts; at most 20,000 of ``metrics_total``.
    """

    available: Literal[True]
    runs: list[ComparedRun | AnyRun]
    metrics: NotRequired[list[ComparedMetric]]
    metrics_total: NotRequired[int]


class ToldRun(TypedDict):
    """Some metrics of a run. ``summaries`` are `null` as in the comparison."""

    mlflow_run_id: str
    summaries: Summaries | None


class ComparedSummaries(TypedDict):
    """The runs in the requested order, each with the requested metrics and those of its first chart."""

    available: Literal[True]
    runs: list[ToldRun]


class Timings(TypedDict):
    """Times of a run from its event to its charts. If it was not ``announced``, ``published_at`` is when the sweep
    found what had happened.
    """

    announced: bool
    event_time: str | None
    published_at: str | None
    received_at: str | None
    warmed_at: str | None
    publish_to_warm_seconds: float | None


class Event(TypedDict):
    """One event of the run and its state."""

    id: str
    type: str
    state: Literal["pending", "warming", "done", "failed", "unreadable"]
    reason: str
    attempts: int
    event_time: str | None
    published_at: str
    received_at: str
    done_at: str | None


class WaitingFor(TypedDict):
    """The tracking server that a pending run waits for: it is down, since when, and its last answer or why there is
    none.
    """

    tracking_server: str
    since: str
    reason: str


class AnnouncedRun(TypedDict):
    """A run known only by its events. ``next`` is the state of its newest event unless that is done. ``waiting_for`` is
    there only while the run is pending and its tracking server is down.
    """

    mlflow_run_id: str
    state: Literal["warm"] | State
    expect: str
    reason: str
    attempts: int
    waiting_for: NotRequired[WaitingFor]
    next: Literal["pending", "warming", "failed", "unreadable"] | None
    quick_test_ids: list[int]
    timings: Timings
    events: list[Event]


class NestedRun(TypedDict):
    """The parent or a child of a run."""

    mlflow_run_id: str
    name: str
    status: str


class RunSummary(AnnouncedRun, RunFields):
    """All data of one run except its charts. ``parent`` is null without one that the reader may see; ``children`` are
    the first hundred of ``children_total``.
    """

    parent: NestedRun | None
    children: list[NestedRun]
    children_total: int


class ExportedAxis(TypedDict):
    """Where points are: steps, ascending, and timestamps in milliseconds since 1970 (UTC). Steps may repeat.
    ``steps_total`` is their number.
    """

    steps: list[int]
    timestamps: list[int]
    steps_total: int


class ExportedMetric(TypedDict):
    """One value per step of ``axes[axis]``."""

    axis: int
    values: Series


class Export(TypedDict):
    """Every point of a run, each metric on its axis. Values that are not finite are ``null`` and listed in
    ``non_finite``; ``non_finite_unlisted`` counts those that entries of an older worker lack.

    ``tags`` are whole, the description among them. ``tags_cut`` has how many characters a tag of more than 20,000
    lacks, and ``tags_left_out`` how many tags beyond 1,000 are missing; MLflow's own have at most 8,000.
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
    tags_cut: dict[str, int]
    tags_left_out: int
    final_metrics: dict[str, float | None]
    non_finite: list[NonFinite]
    non_finite_unlisted: int
    axes: list[ExportedAxis]
    metrics: dict[str, ExportedMetric]
