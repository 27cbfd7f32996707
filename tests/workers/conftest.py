"""Fixtures of the workers' tests: tables with a real Valkey, and the queue."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from deploy.local.process import Process, free_port
from warmboard.contract.entries import SCHEMA_VERSION


@pytest.fixture
def tables(valkey: Process, transactional_db: None) -> None:
    """The tables and Redis, empty."""


@pytest.fixture
def queue(valkey: Process) -> Iterator[None]:
    """Celery's queue, empty before and after."""
    from workers.queue import app

    app.control.purge()
    yield
    app.control.purge()


def clock_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set this machine's clock an hour ahead of the database's."""
    from django.utils import timezone

    from store import clock

    right = timezone.now
    monkeypatch.setattr(clock, "now", right)
    monkeypatch.setattr(timezone, "now", lambda: right() + timedelta(hours=1))


def queued() -> list[tuple[str, list[object]]]:
    """Take all queued tasks: name and arguments, in the order in which a worker takes them."""
    from workers.queue import app

    found = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        while got := channel.basic_get("celery", no_ack=True):
            found.append((got.headers["task"], json.loads(got.body)[0]))
    return found


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Settings of tasks and sweep; no server listens at MLflow's address."""
    from workers.settings import Settings

    def configured(**environ: str) -> None:
        given = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "WARM_ATTEMPTS": "2", **environ}
        for module in ("tasks", "sweep"):
            monkeypatch.setattr(f"workers.{module}.settings", lambda: Settings.read(given))

    configured()
    return configured


def outdated(run_id: str = "run1", source: bytes | None = None) -> None:
    """A run that an older Warmboard has warmed."""
    from store import warm as door
    from store.models import Run, WarmEntry
    from tests.store.samples import NOON, announce, warm_run

    announce(run_id)
    if source:
        door.put(replace(warm_run("old", run_id=run_id), source=source))
    WarmEntry.objects.filter(run_id=run_id).delete()
    Run.objects.filter(pk=run_id).update(schema_version=SCHEMA_VERSION - 1, warmed_at=NOON)
