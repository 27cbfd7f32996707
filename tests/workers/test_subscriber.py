"""What the subscriber does with a message whose work it can't queue."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kombu.exceptions import OperationalError

from store import clock
from tests.workers.conftest import queued
from tests.workers.test_inbox import message
from workers import inbox, subscriber

pytestmark = pytest.mark.usefixtures("tables", "queue")


def receive(run_id: str) -> None:
    found = message(event_id=run_id, run_id=run_id)
    subscriber.receive(
        SimpleNamespace(
            message_id=found.message_id, data=found.data, attributes=found.attributes, publish_time=found.published_at,
            ack=lambda: None,
        )
    )  # fmt: skip


def test_while_redis_is_down_events_are_left_to_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and without asking Redis for each: one that hangs takes seconds to not answer."""
    asked: list[str] = []

    def fail(run_id: str, *_: object) -> None:
        asked.append(run_id)
        raise OperationalError("Redis is down")

    monkeypatch.setattr(subscriber, "broker_rest", subscriber.Rest(60))
    with monkeypatch.context() as down:
        down.setattr(subscriber, "dispatch", fail)
        for run_id in ("run1", "run2", "run3"):
            receive(run_id)
    assert asked == ["run1"]
    assert inbox.due(clock.now()) == ["run1", "run2", "run3"]

    monkeypatch.setattr(subscriber, "broker_rest", subscriber.Rest(60))
    receive("run4")
    assert queued() == [("warm_run", ["run4"])]
    assert inbox.due(clock.now()) == []
