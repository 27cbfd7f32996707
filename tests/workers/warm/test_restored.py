"""The drill: the store is lost, its backup restored, and charts are fetched from MLflow again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from store.models import InboxEvent, Run, WarmEntry
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.test_inbox import message
from warmboard.contract.entries import Entry
from webapp.backup.tables import empty
from workers import inbox
from workers.fetch.fetcher import Fetcher
from workers.settings import Settings
from workers.warm import pipeline, rebuilds
from workers.warm.attempt import rebuild, warm

SETTINGS = Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test"})


def entries() -> dict[tuple[str, str], Any]:
    """Every body, but for the time at which it was made."""
    found = {}
    for row in WarmEntry.objects.all():
        body = dict(Entry(etag=row.etag, gzip=bytes(row.gzip), zstd=bytes(row.zstd)).decode())
        assert body.pop("cached_at")
        found[row.name, row.resolution] = list(body.items())
    return found


@pytest.mark.usefixtures("tables")
def test_a_lost_store_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow = FakeMlflow(golden_run.metrics(), golden_run.params())
    monkeypatch.setattr(pipeline, "fetcher", lambda server, _: Fetcher(server, transport=mlflow))
    assert inbox.record(message(run_id=RUN_ID))
    assert warm(RUN_ID, SETTINGS, "w1").startswith("warm")
    assert inbox.record(message(run_id="0" * 32, event_id="waits"))  # What no worker has taken yet.
    before, file = entries(), tmp_path / "backup.gz"
    assert len(before) > 5
    call_command("backup", str(file))
    empty()
    call_command("restore", str(file))
    assert not WarmEntry.objects.exists()
    states = dict(InboxEvent.objects.values_list("run_id", "state"))
    assert states == {RUN_ID: InboxEvent.State.DONE, "0" * 32: InboxEvent.State.PENDING}
    # As the sweep and a worker do.
    due = rebuilds.due(timezone.now(), max_attempts=3)
    assert [run.run_id for run in due] == [RUN_ID]
    assert rebuild(RUN_ID, 0, SETTINGS).startswith("warm")
    assert entries() == before
    assert Run.objects.get(pk=RUN_ID).is_warm
