"""Dead letters are parked in the inbox, and a redrive takes them up."""

from __future__ import annotations

import json
import re

import pytest
from django.utils import timezone

from store.models import InboxEvent, Run, Seek
from tests.conformance.conftest import Bus
from tests.store.samples import NOON
from tests.warmboard.contract.test_events import golden
from tests.workers.conftest import queued
from workers import inbox
from workers.inbox import Message, State
from workers.pubsub import command, dead_letters

from .conftest import Site

SOURCE = {"CloudPubSubDeadLetterSourceDeliveryCount": "100", "CloudPubSubDeadLetterSourceSubscription": "s"}


def letter(event_id: str = "one", **change: object) -> Message:
    data, attributes = golden()
    return Message("m1", json.dumps({**data, **change}).encode(), {**attributes, **SOURCE, "ce-id": event_id}, NOON)


@pytest.mark.integration
@pytest.mark.usefixtures("tables", "queue")
def test_what_pubsub_gave_up_is_parked_and_taken_up_after_a_fix(
    embedded_bus: Bus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dead_letters, "PULL_SECONDS", 1.0)
    site = Site.at(embedded_bus)
    path, short = site.name("subscription"), {"dead_letter_topic": site.name("dead_letter_topic")}
    policy = {"name": path, "dead_letter_policy": {**short, "max_delivery_attempts": 5}}
    mask = {"paths": ["dead_letter_policy", "retry_policy"]}
    site.bus.subscriber.update_subscription(request={"subscription": policy, "update_mask": mask})
    site.publish("run1")
    site.bus.publish(site.name("topic"), "no event")
    for _ in range(5):
        for entry in site.bus.pull(path, 2):
            site.bus.lease(path, [entry], 0)
    site.bus.is_quiet(path)
    assert dead_letters.collect(site.settings) == 2
    parked = InboxEvent.objects.get(run_id="run1")
    assert (parked.state, parked.reason) == (State.FAILED, "dead letter: Pub/Sub gave up after 5 deliveries")
    assert parked.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert Run.objects.get().run_id == "run1"
    unreadable = InboxEvent.objects.get(state=State.UNREADABLE)
    assert unreadable.reason.startswith("dead letter: Pub/Sub gave up after 5 deliveries; attribute ce-specversion")
    assert dead_letters.collect(site.settings) == 0

    assert command.redrive(dry_run=True) == 0
    assert "run run1 has a dead letter\n1 runs with dead letters, 0 messages" in capsys.readouterr().out
    assert inbox.pending() == []
    assert command.redrive(dry_run=False) == 0
    assert (queued(), inbox.pending()) == ([("warm_run", ["run1"])], ["run1"])
    assert dead_letters.parked() == []


@pytest.mark.usefixtures("tables")
def test_a_dead_letter_that_is_in_the_inbox_changes_nothing() -> None:
    inbox.record(letter())
    assert dead_letters.park(letter()) is None
    assert InboxEvent.objects.get().state == State.PENDING


@pytest.mark.usefixtures("tables")
def test_an_event_that_a_seek_reopens_is_not_parked() -> None:
    row = inbox.record(letter())
    assert row
    inbox.finish(inbox.claim(row.run_id, "w1"))
    Seek.objects.create(request_id="seek", at=timezone.now(), since=None)
    assert dead_letters.park(letter()) is None
    assert InboxEvent.objects.get().state == State.PENDING


@pytest.mark.usefixtures("tables", "queue")
def test_an_unreadable_message_is_read_again_by_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.record(letter("broken", status="NONSENSE"))
    with monkeypatch.context() as older:
        older.setattr("warmboard.contract.events.RUN_ID", re.compile("[a-z]+"))
        inbox.record(letter("two", run_id="run2"))
    assert InboxEvent.objects.filter(state=State.UNREADABLE).count() == 2
    assert dead_letters.redrive() == (["run2"], 1)
    assert list(InboxEvent.objects.values_list("run_id", "state").order_by("run_id")) == [
        ("", State.UNREADABLE), ("run2", State.PENDING),
    ]  # fmt: skip
