"""Seeks and snapshots: what Pub/Sub brings again is warmed again, once for each seek."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from store.models import InboxEvent, Seek, Snapshot
from store.recalled import recalled
from tests.workers.conftest import clock_is_ahead, queued
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish
from workers import inbox
from workers.inbox import Message, State
from workers.pubsub import requests
from workers.recording import behind
from workers.settings import Settings

from .conftest import Site

pytestmark = pytest.mark.integration


def moment() -> datetime:
    """A time strictly between what was published before and what will be, in whole milliseconds, as in messages."""
    time.sleep(0.01)
    now = datetime.now(UTC)
    time.sleep(0.01)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def test_a_seek_back_warms_each_event_of_its_range_again_once(site: Site) -> None:
    site.publish("before")
    site.deliver(1)
    then = moment()
    site.publish("run1", "run2")
    site.deliver(2)
    assert site.warm() == ["before", "run1", "run2"]
    queued()
    known = recalled(Wish(action=Action.SEEK, to=then))
    assert known
    assert (known.states, known.runs) == ({"done": 2}, 2)

    row = site.ask(to=then)
    assert row.state == State.DONE, row.reason
    site.deliver(2)
    assert site.warm() == ["run1", "run2"]
    assert [arguments for _, arguments in queued()] == [["run1"], ["run2"]]

    # The same events published again stay duplicates, of which the inbox has seen the first.
    site.publish("run1", "before")
    site.deliver(2)
    assert site.warm() == []

    # The next seek brings all again.
    assert site.ask(to=then).state == State.DONE
    site.deliver(4)
    assert site.warm() == ["before", "run1", "run2"]
    assert Seek.objects.count() == 2


def test_a_second_delivery_of_one_seek_changes_nothing(site: Site) -> None:
    then = moment()
    site.publish("run1")
    site.deliver(1)
    site.warm()
    site.ask(to=then)
    for expected in (["run1"], []):
        # Pub/Sub may deliver twice whatever it brings.
        entry = site.bus.pull(site.name("subscription"), 1)
        site.bus.lease(site.name("subscription"), entry, 0)
        site.deliver(1)
        assert site.warm() == expected
        Seek.objects.update(at=datetime.now(UTC))
        site.bus.subscriber.seek(request={"subscription": site.name("subscription"), "time": then})
    assert InboxEvent.objects.filter(run_id="run1").count() == 1


def test_a_snapshot_brings_what_was_published_since(site: Site) -> None:
    assert "expires at" in site.ask(Action.CREATE, snapshot="before-upgrade").reason
    assert [snapshot.name for snapshot in Snapshot.objects.all()] == ["before-upgrade"]
    site.publish("run1")
    site.deliver(1)
    site.warm()
    assert site.ask(snapshot="before-upgrade").state == State.DONE
    site.deliver(1)
    assert site.warm() == ["run1"]
    site.ask(Action.DELETE, snapshot="before-upgrade")
    assert not Snapshot.objects.exists()
    missing = site.ask(snapshot="before-upgrade")
    assert (missing.state, "Pub/Sub refused" in missing.reason) == (State.FAILED, True)
    assert recalled(Wish(action=Action.SEEK, snapshot="before-upgrade")) is None


def test_a_seek_forward_drops_nothing_unless_it_is_told_to(site: Site) -> None:
    site.publish("run1")
    # What is unreceived must be older than what the clocks of two machines may differ.
    time.sleep(1.1)
    later = datetime.now(UTC)
    refused = site.ask(to=later)
    assert refused.state == State.FAILED
    assert "would drop messages that no subscriber has received" in refused.reason
    assert "--drop" in refused.reason
    assert not Seek.objects.exists()
    dropped = site.ask(to=later, drop=True)
    assert dropped.state == State.DONE
    kept = Snapshot.objects.get()
    assert kept.name in dropped.reason
    assert site.bus.is_quiet(site.name("subscription"))
    assert site.ask(snapshot=kept.name).state == State.DONE
    site.deliver(1)
    assert site.warm() == ["run1"], "the snapshot has what was dropped"


def test_of_several_subscribers_one_performs_a_request(site: Site) -> None:
    row = site.ask(Action.CREATE, snapshot="only-once")
    InboxEvent.objects.filter(pk=row.pk).update(state=State.PENDING, due_at=None)
    first, second = requests._claim("one"), requests._claim("two")
    assert first
    assert (first.claimed_by, second) == ("one", None)
    InboxEvent.objects.filter(pk=row.pk).update(due_at=datetime.now(UTC))
    again = requests._claim("two")
    assert again, "the first one was killed"
    requests._settle(first, state=State.DONE)
    again.refresh_from_db()
    assert again.state == State.WARMING


@pytest.mark.usefixtures("tables")
def test_a_subscriber_whose_clock_is_ahead_takes_no_request_from_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask_for_a_snapshot()
    assert requests._claim("one")
    clock_is_ahead(monkeypatch)
    assert requests._claim("two") is None


@pytest.mark.usefixtures("tables")
def test_a_request_that_this_version_can_not_read_does_not_keep_the_next_one() -> None:
    unknown = ask_for_a_snapshot("first")
    InboxEvent.objects.filter(pk=unknown.pk).update(data=b'{"action": "explode"}')
    row = requests.perform(Settings.read({}), "one")
    assert row == unknown
    assert (row.state, row.due_at) == (State.FAILED, None)
    assert "action" in row.reason
    following = ask_for_a_snapshot("second")
    assert requests._claim("one") == following


def ask_for_a_snapshot(name: str = "first") -> InboxEvent:
    wish = Wish(action=Action.CREATE, snapshot=name)
    request = SubscriptionRequest(id=name, time=datetime.now(UTC), wish=wish, requested_by="ada")
    row = inbox.record(Message("", *request.encode(), request.time))
    assert row
    return row


def test_what_a_seek_reopened_waits_behind_new_events_even_if_redis_forgets_it(site: Site) -> None:
    then = moment()
    site.publish("run1")
    site.deliver(1)
    site.warm()
    site.ask(to=then)
    site.deliver(1)
    later = datetime.now(UTC) + behind.PATIENCE + timedelta(minutes=1)
    assert inbox.due(later) == []
    assert behind.due(later) == ["run1"]
    assert behind.due(later) == []


@pytest.mark.parametrize("action", [Action.CREATE, Action.DELETE])
def test_a_request_about_a_snapshot_may_be_performed_twice(site: Site, action: Action) -> None:
    """Its subscriber was killed before the outcome was recorded, or the answer was lost."""
    name = f"twice-{action}"
    if action is Action.DELETE:
        site.ask(Action.CREATE, snapshot=name)
    row = site.ask(action, snapshot=name)
    InboxEvent.objects.filter(pk=row.pk).update(state=State.WARMING, reason="", due_at=datetime.now(UTC))
    again = requests.perform(site.settings, "another")
    assert again
    assert (again.pk, again.state, again.reason) == (row.pk, State.DONE, row.reason)
    refused = site.ask(action, snapshot=name)
    assert (refused.state, "Pub/Sub refused" in refused.reason) == (State.FAILED, True)


def test_an_old_request_is_not_performed(site: Site) -> None:
    row = site.ask(Action.CREATE, snapshot="long-ago")
    old = {**row.attributes, "ce-time": "2020-01-01T00:00:00Z"}
    InboxEvent.objects.filter(pk=row.pk).update(state=State.PENDING, due_at=None, attributes=old)
    done = requests.perform(site.settings, "subscriber")
    assert done
    assert (done.state, done.reason) == (State.FAILED, "The request was more than an hour old. Ask again.")
