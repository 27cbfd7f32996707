"""Types of the JSON of ``/api/operations/``."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class StateOfInbox(TypedDict):
    """Events in one state. ``by_age`` counts them between the ``age_limits``, youngest first, then older ones."""

    count: int
    oldest_received_at: str | None
    by_age: list[int]


class Subscriber(TypedDict):
    newest_received_at: str | None


class Workers(TypedDict):
    newest_claimed_at: str | None
    in_flight: int


class Sweep(TypedDict):
    overdue: int


class ServerDown(TypedDict):
    """A tracking server that is down, since when and why, and how many runs wait for it. ``down_since`` is `null` if it
    is back and its runs are let through one after the other.
    """

    name: str
    down_since: str | None
    reason: str
    asked_at: str | None
    waiting: int


class EarlierRuns(TypedDict):
    """The runs of a tracking server that ended before anyone announced them: how many were found when they were last
    listed, how many of these were not fetched then, and how many of those are warm or have failed since.
    ``finished_at`` is `null` until they all are.
    """

    name: str
    found: int
    experiments: int
    to_warm: int
    done: int
    listed_at: str | None
    finished_at: str | None


class Parts(TypedDict):
    """The last known state of the other programs."""

    database: Literal["answers"]
    redis: Literal["answers", "away"]
    subscriber: Subscriber
    workers: Workers
    sweep: Sweep
    tracking_servers: list[ServerDown]
    earlier_runs: list[EarlierRuns]


class InFlight(TypedDict):
    """One event that a worker is processing."""

    id: int
    mlflow_run_id: str | None
    run_name: str
    experiment_name: str
    worker: str
    claimed_at: str | None
    attempts: int


class InboxRow(TypedDict):
    """One event, with its message."""

    id: int
    source: str
    event_id: str
    type: str
    mlflow_run_id: str | None
    run_name: str
    experiment_name: str
    state: Literal["pending", "warming", "done", "failed", "unreadable"]
    reason: str
    attempts: int
    happened_at: str | None
    published_at: str | None
    received_at: str | None
    claimed_at: str | None
    claimed_by: str
    due_at: str | None
    done_at: str | None
    attributes: dict[str, Any]
    payload: str


class SnapshotRow(TypedDict):
    """A snapshot of the subscription. ``oldest_at`` is about the publish time of its oldest message."""

    name: str
    oldest_at: str
    expires_at: str


class Operations(TypedDict):
    """The inbox and the programs that work on it. ``before`` is the start of the next older page, `null` at the end."""

    states: dict[str, StateOfInbox]
    age_limits: list[str]
    done_last_day: int
    parts: Parts
    in_flight: list[InFlight]
    events: list[InboxRow]
    before: int | None
    snapshots: list[SnapshotRow]
