"""What Celery's processes do for their health."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery.signals import celeryd_init, heartbeat_sent
from celery.worker.control import Panel

from warmboard.contract.entries import SCHEMA_VERSION
from workers.health import signals
from workers.settings import Settings


def test_a_worker_that_takes_tasks_touches_its_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings.read({"WORKER_HEARTBEAT": str(tmp_path / "new folder" / "worker")})
    monkeypatch.setattr(signals, "settings", lambda: given)
    heartbeat_sent.send(sender=None)
    assert given.worker_heartbeat.exists()


def test_a_worker_answers_with_its_versions() -> None:
    celeryd_init.send(sender=None, instance=None, conf=None, options={})
    answer = Panel.data[signals.VERSIONS](None)
    assert answer["schema"] == SCHEMA_VERSION
    assert answer["celery"].startswith("5.")
