"""Seeking to a time and to a snapshot."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds

from .conftest import Bus

pytestmark = pytest.mark.integration


def _moment() -> datetime:
    """A time strictly between what was published before and what will be (Google's emulator counts milliseconds)."""
    time.sleep(0.01)
    moment = datetime.now(UTC)
    time.sleep(0.01)
    return moment


def _seek(bus: Bus, subscription: str, moment: datetime) -> None:
    stamp = DatetimeWithNanoseconds.from_rfc3339(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    bus.subscriber.seek(request={"subscription": subscription, "time": stamp})


def test_seeking_back_brings_retained_messages_from_that_time_on(bus: Bus) -> None:
    topic, subscription = bus.pair(retain_acked_messages=True)
    bus.publish(topic, "before")
    moment = _moment()
    bus.publish(topic, "a", "b")
    assert bus.texts(subscription, 3) == ["a", "b", "before"]
    for _ in range(2):
        _seek(bus, subscription, moment)
        assert bus.texts(subscription, 2) == ["a", "b"]
    assert bus.is_quiet(subscription)


def test_seeking_back_brings_no_acked_messages_unless_they_are_retained(bus: Bus) -> None:
    topic, subscription = bus.pair()
    moment = _moment()
    bus.publish(topic, "acked", "held")
    received = bus.pull(subscription, 2)
    bus.ack(subscription, [entry for entry in received if entry.message.data == b"acked"])
    _seek(bus, subscription, moment)
    assert bus.texts(subscription, 1) == ["held"]
    assert bus.is_quiet(subscription)


def test_seeking_forward_acks_what_was_published_before(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "a", "b")
    bus.pull(subscription, 1)
    moment = _moment()
    bus.publish(topic, "c")
    _seek(bus, subscription, moment)
    assert bus.texts(subscription, 1) == ["c"]
    assert bus.is_quiet(subscription)


def test_seeking_into_the_future_leaves_later_messages_alone(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "old")
    _seek(bus, subscription, datetime.now(UTC) + timedelta(hours=1))
    bus.publish(topic, "new")
    assert bus.texts(subscription, 1) == ["new"]
    assert bus.is_quiet(subscription)


def test_a_seek_resets_the_attempts(bus: Bus) -> None:
    policy = {"dead_letter_topic": bus.topic()}
    topic, subscription = bus.pair(dead_letter_policy=policy, retain_acked_messages=True)
    moment = _moment()
    bus.publish(topic, "a")
    bus.lease(subscription, bus.pull(subscription, 1), 0)
    received = bus.pull(subscription, 1)
    assert received[0].delivery_attempt == 2
    bus.ack(subscription, received)
    _seek(bus, subscription, moment)
    assert bus.pull(subscription, 1)[0].delivery_attempt == 1


def test_a_new_subscription_seeks_back_to_what_the_topic_retains(bus: Bus) -> None:
    topic = bus.topic(message_retention_duration=timedelta(hours=1))
    moment = _moment()
    bus.publish(topic, "a", "b")
    subscription = bus.subscription(topic)
    _seek(bus, subscription, moment)
    assert bus.texts(subscription, 2) == ["a", "b"]
    _seek(bus, subscription, moment)
    assert bus.texts(subscription, 2) == ["a", "b"]
    assert bus.is_quiet(subscription)


def test_seeking_to_a_snapshot_brings_what_was_unacked_then_and_all_later(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "acked before", "held", "held too")
    received = bus.pull(subscription, 3)
    bus.ack(subscription, [entry for entry in received if entry.message.data == b"acked before"])
    snapshot = bus.snapshot(subscription)
    bus.ack(subscription, [entry for entry in received if entry.message.data != b"acked before"])
    bus.publish(topic, "later")
    assert bus.texts(subscription, 1) == ["later"]
    for _ in range(2):
        bus.subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
        assert bus.texts(subscription, 3) == ["held", "held too", "later"]
    assert bus.is_quiet(subscription)


def test_another_subscription_of_the_topic_seeks_to_a_snapshot(embedded_bus: Bus) -> None:
    """Google's emulator finds only the subscription's own messages; the service takes the topic's."""
    topic, subscription = embedded_bus.pair()
    embedded_bus.publish(topic, "a", "b")
    snapshot = embedded_bus.snapshot(subscription)
    assert embedded_bus.texts(subscription, 2) == ["a", "b"]
    embedded_bus.subscriber.delete_subscription(request={"subscription": subscription})
    other = embedded_bus.subscription(topic)
    embedded_bus.subscriber.seek(request={"subscription": other, "snapshot": snapshot})
    assert embedded_bus.texts(other, 2) == ["a", "b"]
