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


def _migrated_to_the_end() -> None:
    """Migrate every app forward, because apps that depend on the store's tables were migrated back with them."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def _migrated(name: str) -> Any:
    """Migrate the store to a migration, and return the apps of that state."""
    executor = MigrationExecutor(connection)
    executor.migrate([("store", name)])
    return MigrationExecutor(connection).loader.project_state([("store", name)]).apps
