"""The migrations create the models' tables and keep the existing data."""

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from store.models import InboxEvent, Run, RunMetric, RunParam, WarmEntry
from store.state import run_state
from tests.store.samples import NOON
from tests.warmboard.contract.test_events import golden


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_migrations_keep_the_data_of_older_versions() -> None:
    old = _migrated("0001_initial")
    try:
        common = {"tracking_server": "default", "experiment_name": "e", "status": "FINISHED", "announced_at": NOON}
        old.get_model("store", "Run").objects.create(run_id="waits", **common)
        warm = old.get_model("store", "Run").objects.create(run_id="warm", **common, fetched_at=NOON, warmed_at=NOON)
        old.get_model("store", "WarmEntry").objects.create(
            run=warm, name="history", resolution="overview", schema_version=1, etag="e", body=b"old"
        )
        data, attributes = golden()
        event = {"run_id": "warm", "data": json.dumps(data).encode(), "published_at": NOON}
        attributes["ce-time"] = "2026-01-02T13:00:00+01:00"
        events = old.get_model("store", "InboxEvent").objects
        events.create(source="s", event_id="1", state="done", attributes=attributes, **event)
        events.create(source="s", event_id="2", state="unreadable", attributes={"ce-time": "noon"}, **event)
    finally:
        _migrated_to_the_end()
    assert not WarmEntry.objects.exists()
    assert {run.pk: run.schema_version for run in Run.objects.all()} == {"waits": None, "warm": 1}
    assert run_state("warm").state == "rebuilding"
    times = InboxEvent.objects.order_by("event_id").values_list("happened_at", flat=True)
    assert list(times) == [datetime(2026, 1, 2, 12, tzinfo=UTC), None]


def test_older_runs_can_be_searched() -> None:
    old = _migrated("0002_bounded_store")
    try:
        old.get_model("store", "Run").objects.create(
            run_id="old", tracking_server="default", experiment_name="e", status="FINISHED", announced_at=NOON,
            warmed_at=NOON, params={"lr": "1e-3", "optimizer": "adam", "edges": "0," * 500},
            final_metrics={"loss": 0.5, "recall": None},
        )  # fmt: skip
    finally:
        _migrated_to_the_end()
    params = RunParam.objects.order_by("key").values_list("run_id", "key", "text", "number")
    assert list(params) == [
        ("old", "edges", ("0," * 500)[:200], None), ("old", "lr", "1e-3", 0.001), ("old", "optimizer", "adam", None),
    ]  # fmt: skip
    assert list(RunMetric.objects.values_list("run_id", "key", "last")) == [("old", "loss", 0.5)]


def test_what_an_outage_has_parked_is_taken_up_again() -> None:
    old = _migrated("0007_changes")
    reasons = {
        "refused": "gave up after 8 attempts: MLflow at http://mlflow:5000 does not answer: connection refused",
        "answered": "gave up after 8 attempts: MLflow answered 503 to runs/get: no healthy upstream",
        "redis": "gave up after 8 attempts: Redis is down, run redis is warm in the tables only: refused",
        "database": "gave up after 8 attempts: database is locked",
        "unknown": "MLflow answered 404 to runs/get: Run with id=unknown not found",
        "killer": "gave up: attempt 8 ended without a result, as if its worker was killed",
        "bug": "KeyError: 'info'",
    }
    try:
        common = {"tracking_server": "default", "experiment_name": "e", "status": "FINISHED", "announced_at": NOON}
        for run_id, reason in reasons.items():
            old.get_model("store", "Run").objects.create(
                run_id=run_id, **common, schema_version=1, rebuild_attempts=8, rebuild_reason=reason
            )
            old.get_model("store", "InboxEvent").objects.create(
                source="s", event_id=run_id, run_id=run_id, attributes={}, data=b"", published_at=NOON,
                state="failed", reason=reason, attempts=8,
            )  # fmt: skip
    finally:
        _migrated_to_the_end()
    events = InboxEvent.objects.order_by("pk").values_list("run_id", "state", "attempts", "due_at")
    waits, parked = ("pending", 0, None), ("failed", 8, None)
    assert [event[1:] for event in events] == [waits] * 4 + [parked] * 3
    rebuilt = set(Run.objects.filter(rebuild_attempts=0, rebuild_due_at__isnull=False).values_list("pk", flat=True))
    assert rebuilt == {"refused", "answered", "redis", "database"}


def _migrated_to_the_end() -> None:
    """Migrate every app forward, because apps that depend on the store's tables were migrated back with them."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def _migrated(name: str) -> Any:
    """Migrate the store to a migration, and return the apps of that state."""
    executor = MigrationExecutor(connection)
    executor.migrate([("store", name)])
    return MigrationExecutor(connection).loader.project_state([("store", name)]).apps
