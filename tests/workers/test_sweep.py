"""The sweep: what it queues, and in which order workers take it."""

from __future__ import annotations

import pytest

from store.models import InboxEvent, Run
from tests.store.samples import NOON
from tests.workers.conftest import outdated, queued
from tests.workers.test_inbox import RUN_ID, message
from workers import inbox
from workers.queue import dispatch
from workers.settings import Settings
from workers.sweep import _discover_for_ever, sweep

pytestmark = pytest.mark.usefixtures("tables", "queue", "configure")


def test_events_go_before_rebuilds_except_those_that_waited_long() -> None:
    outdated("waited")
    assert sweep() == 0
    assert queued() == [("rebuild_run", ["waited", 0])]
    Run.objects.update(rebuild_due_at=NOON)
    sweep()
    outdated("later")
    sweep()
    dispatch("fresh")
    assert queued() == [("rebuild_run", ["waited", 0]), ("warm_run", ["fresh"]), ("rebuild_run", ["later", 0])]


def test_the_sweep_queues_events_without_a_worker() -> None:
    inbox.record(message())
    assert sweep() == 0
    InboxEvent.objects.update(due_at=NOON)
    assert sweep() == 1
    assert queued() == [("warm_run", [RUN_ID])]


def test_discovery_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sweep.settings", lambda: Settings.read({"DISCOVER_SECONDS": "0"}))
    _discover_for_ever()
