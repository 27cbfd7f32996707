"""Publishing, pulling, acks, deadlines, streams, ordering keys, dead letters, back-off."""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.pubsub_v1 import types

from tests.waiting import PATIENCE

from .conftest import Bus

pytestmark = pytest.mark.integration

MANY = 2000


def _texts(received: list[Any]) -> list[str]:
    return [entry.message.data.decode() for entry in received]


def test_a_message_arrives_as_it_was_published(bus: Bus) -> None:
    topic, subscription = bus.pair()
    before = datetime.now(UTC) - timedelta(seconds=1)
    (number,) = bus.publish(topic, "größe", key="k", colour="blau", empty="")
    (entry,) = bus.pull(subscription, 1)
    assert entry.message.data.decode() == "größe"
    assert dict(entry.message.attributes) == {"colour": "blau", "empty": ""}
    assert entry.message.message_id == number
    assert entry.message.ordering_key == "k"
    assert before < entry.message.publish_time < datetime.now(UTC) + timedelta(seconds=1)
    assert entry.delivery_attempt == 0


def test_a_message_may_be_attributes_alone(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "", event="done")
    (entry,) = bus.pull(subscription, 1)
    assert (entry.message.data, dict(entry.message.attributes)) == (b"", {"event": "done"})


def test_every_subscription_gets_every_message_once(bus: Bus) -> None:
    topic, first = bus.pair()
    second = bus.subscription(topic)
    numbers = bus.publish(topic, "a", "b", "c")
    assert len(set(numbers)) == 3
    assert bus.texts(first, 3) == bus.texts(second, 3) == ["a", "b", "c"]
    assert bus.is_quiet(first)


def test_a_new_subscription_does_not_get_what_was_published_before(bus: Bus) -> None:
    topic = bus.topic()
    bus.publish(topic, "before")
    subscription = bus.subscription(topic)
    bus.publish(topic, "after")
    assert bus.texts(subscription, 1) == ["after"]
    assert bus.is_quiet(subscription)


def test_the_clients_publish_and_callback(bus: Bus) -> None:
    topic, subscription = bus.pair()
    arrived: queue.Queue[Any] = queue.Queue()

    def callback(message: Any) -> None:
        message.ack()
        arrived.put(message)

    with bus.subscribed(subscription, callback):
        number = bus.publisher.publish(topic, b"hello", event="done").result(timeout=PATIENCE)
        message = arrived.get(timeout=PATIENCE)
    assert (message.data, message.message_id, dict(message.attributes)) == (b"hello", number, {"event": "done"})


def test_callbacks_consume_all_of_many_messages(bus: Bus) -> None:
    topic, subscription = bus.pair()
    texts = [f"message {number}" for number in range(MANY)]
    for start in range(0, MANY, 500):
        bus.publish(topic, *texts[start : start + 500])
    assert {message.data.decode() for message in bus.collect(subscription, MANY)} == set(texts)


def test_callbacks_consume_what_is_published_meanwhile(bus: Bus) -> None:
    topic, subscription = bus.pair()
    texts = [f"message {number}" for number in range(300)]
    publishing = threading.Thread(target=lambda: [bus.publish(topic, text) for text in texts])
    publishing.start()
    messages = bus.collect(subscription, len(texts))
    publishing.join()
    assert {message.data.decode() for message in messages} == set(texts)


def test_a_large_backlog_of_large_messages(bus: Bus) -> None:
    topic, subscription = bus.pair()
    for number in range(6):
        bus.publish(topic, f"{number}" * 1_500_000)
    assert {message.data[:1] for message in bus.collect(subscription, 6)} == {b"0", b"1", b"2", b"3", b"4", b"5"}


def test_a_pull_that_does_not_wait(bus: Bus) -> None:
    topic, subscription = bus.pair()
    assert bus.pull_at_once(subscription) == []
    bus.publish(topic, "there")
    assert _texts(bus.pull_at_once(subscription)) == ["there"]


def test_a_held_message_is_not_delivered_again(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "held")
    bus.pull(subscription, 1)
    assert bus.is_quiet(subscription)


def test_a_nack_brings_the_message_back(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "again")
    first = bus.pull(subscription, 1)
    bus.lease(subscription, first, 0)
    second = bus.pull(subscription, 1)
    assert second[0].message.message_id == first[0].message.message_id
    assert second[0].ack_id != first[0].ack_id
    bus.ack(subscription, second)
    assert bus.is_quiet(subscription)


def test_a_nack_in_a_callback_brings_the_message_back(bus: Bus) -> None:
    topic, subscription = bus.pair()
    seen: list[str] = []
    twice = threading.Event()

    def callback(message: Any) -> None:
        seen.append(message.message_id)
        if len(seen) == 1:
            message.nack()
        else:
            message.ack()
            twice.set()

    with bus.subscribed(subscription, callback):
        (number,) = bus.publish(topic, "again")
        assert twice.wait(PATIENCE)
    assert seen[:2] == [number, number]


def test_the_end_of_the_deadline_brings_the_message_back(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "again")
    first = bus.pull(subscription, 1)
    bus.lease(subscription, first, 1)
    second = bus.pull(subscription, 1)
    assert _texts(second) == ["again"]
    bus.lease(subscription, first, 0)  # The lease has ended: neither its nack nor its ack counts for the next one.
    bus.ack(subscription, first)
    bus.lease(subscription, second, 0)
    assert bus.texts(subscription, 1) == ["again"]


def test_a_longer_deadline_keeps_the_message(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "kept", "let go")
    received = bus.pull(subscription, 2)
    kept = [entry for entry in received if entry.message.data == b"kept"]
    bus.lease(subscription, received, 2)
    bus.lease(subscription, kept, 120)
    assert _texts(bus.pull(subscription, 1)) == ["let go"]
    assert bus.is_quiet(subscription)
    bus.ack(subscription, kept)


def test_the_ack_of_a_nacked_lease_does_not_count(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "again")
    first = bus.pull(subscription, 1)
    bus.lease(subscription, first, 0)
    bus.ack(subscription, first)
    assert bus.texts(subscription, 1) == ["again"]


def _stream(bus: Bus, subscription: str, requests: queue.Queue[dict[str, Any] | None], **first: Any) -> Any:
    def each() -> Iterator[types.StreamingPullRequest]:
        yield types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=60, **first)
        while (request := requests.get()) is not None:
            yield types.StreamingPullRequest(request)

    return bus.subscriber.streaming_pull(requests=each(), timeout=2 * PATIENCE, retry=None)


def test_acks_and_nacks_through_the_stream(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "acked", "nacked")
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    stream = _stream(bus, subscription, requests)
    received: list[Any] = []
    while len(received) < 2:
        received += next(stream).received_messages
    ids = {entry.message.data.decode(): entry.ack_id for entry in received}
    requests.put({"ack_ids": [ids["acked"]]})
    requests.put({"modify_deadline_ack_ids": [ids["nacked"]], "modify_deadline_seconds": [0]})
    replies = (reply.received_messages for reply in stream)
    again = next(messages for messages in replies if messages)
    assert _texts(again) == ["nacked"]
    bus.ack(subscription, list(again))
    requests.put(None)
    stream.cancel()
    assert bus.is_quiet(subscription)


def test_a_stream_holds_no_more_messages_than_it_asked_for(embedded_bus: Bus) -> None:
    """Google's emulator leaves flow control to the client; the service respects max_outstanding_messages."""
    topic, subscription = embedded_bus.pair()
    embedded_bus.publish(topic, *"abcde")
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    stream = _stream(embedded_bus, subscription, requests, max_outstanding_messages=2)
    first = list(next(stream).received_messages)
    requests.put({"ack_ids": [first[0].ack_id]})
    second = list(next(stream).received_messages)
    requests.put({"ack_ids": [first[1].ack_id, second[0].ack_id]})
    third = list(next(stream).received_messages)
    assert [_texts(received) for received in (first, second, third)] == [["a", "b"], ["c"], ["d", "e"]]
    requests.put(None)


def test_the_messages_of_a_key_come_in_order(bus: Bus) -> None:
    topic, subscription = bus.pair(enable_message_ordering=True)
    expected = [str(number) for number in range(10)]
    for text in expected:
        for key in "xyz":
            bus.publish(topic, text, key=key)
    seen = defaultdict(list)
    for message in bus.collect(subscription, 30):
        seen[message.ordering_key].append(message.data.decode())
    assert dict(seen) == {"x": expected, "y": expected, "z": expected}


def test_a_key_waits_for_the_ack_of_its_earlier_message(bus: Bus) -> None:
    topic, subscription = bus.pair(enable_message_ordering=True)
    bus.publish(topic, "first", key="k")
    first = bus.pull(subscription, 1)
    bus.publish(topic, "second", key="k")
    bus.publish(topic, "other", key="l")
    assert bus.texts(subscription, 1) == ["other"]
    assert bus.is_quiet(subscription)
    bus.ack(subscription, first)
    assert bus.texts(subscription, 1) == ["second"]


def test_after_a_nack_a_key_comes_again_in_order(embedded_bus: Bus) -> None:
    """Google's emulator delivers the nacked message after its followers; the service promises the order."""
    topic, subscription = embedded_bus.pair(enable_message_ordering=True)
    embedded_bus.publish(topic, "1", "2", "3", key="k")
    received = embedded_bus.pull(subscription, 3)
    embedded_bus.publish(topic, "4", key="k")
    embedded_bus.lease(subscription, received[:1], 0)
    assert _texts(embedded_bus.pull(subscription, 4)) == ["1", "2", "3", "4"]


def _attempts(bus: Bus, subscription: str, count: int) -> list[int]:
    attempts = []
    for _ in range(count):
        received = bus.pull(subscription, 1)
        attempts.append(received[0].delivery_attempt)
        bus.lease(subscription, received, 0)
    return attempts


def test_a_message_becomes_a_dead_letter_after_its_attempts(bus: Bus) -> None:
    dead_topic, dead = bus.pair()
    policy = {"dead_letter_topic": dead_topic, "max_delivery_attempts": 5}
    topic, subscription = bus.pair(dead_letter_policy=policy)
    bus.publish(topic, "poison", colour="green")
    published = datetime.now(UTC)
    assert _attempts(bus, subscription, 5) == [1, 2, 3, 4, 5]
    assert bus.is_quiet(subscription)
    (letter,) = bus.pull(dead, 1)
    attributes = dict(letter.message.attributes)
    moment = datetime.fromisoformat(attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime"))
    assert abs(moment - published) < timedelta(seconds=30)
    assert letter.message.data == b"poison"
    assert attributes == {
        "colour": "green",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": subscription.rsplit("/", 1)[1],
        "CloudPubSubDeadLetterSourceSubscriptionProject": subscription.split("/")[1],
    }


def test_an_expired_deadline_is_an_attempt(bus: Bus) -> None:
    topic, subscription = bus.pair(dead_letter_policy={"dead_letter_topic": bus.topic()})
    bus.publish(topic, "slow")
    bus.lease(subscription, bus.pull(subscription, 1), 1)
    assert bus.pull(subscription, 1)[0].delivery_attempt == 2


def test_the_last_expired_deadline_makes_a_dead_letter(embedded_bus: Bus) -> None:
    """Google's emulator forwards later, at a time that we can't know."""
    bus = embedded_bus
    dead_topic, dead = bus.pair()
    topic, subscription = bus.pair(dead_letter_policy={"dead_letter_topic": dead_topic})
    bus.publish(topic, "slow")
    assert _attempts(bus, subscription, 4) == [1, 2, 3, 4]
    bus.lease(subscription, bus.pull(subscription, 1), 1)
    end = time.monotonic() + PATIENCE
    while not (letters := bus.pull_at_once(dead)) and time.monotonic() < end:
        assert bus.is_quiet(subscription)
    assert _texts(letters) == ["slow"]


def test_without_its_topic_a_dead_letter_is_delivered_again(bus: Bus) -> None:
    dead_topic = bus.topic()
    topic, subscription = bus.pair(dead_letter_policy={"dead_letter_topic": dead_topic})
    bus.publish(topic, "poison")
    bus.publisher.delete_topic(request={"topic": dead_topic})
    assert _attempts(bus, subscription, 7) == [1, 2, 3, 4, 5, 6, 7]


def test_a_nacked_message_backs_off(embedded_bus: Bus) -> None:
    """Google's emulator sends the first redelivery at once."""
    back_off = {"minimum_backoff": timedelta(seconds=60)}
    topic, subscription = embedded_bus.pair(retry_policy=back_off)
    embedded_bus.publish(topic, "wait")
    embedded_bus.lease(subscription, embedded_bus.pull(subscription, 1), 0)
    assert embedded_bus.is_quiet(subscription)


def test_a_message_comes_again_after_its_back_off(bus: Bus) -> None:
    back_off = {"minimum_backoff": timedelta(milliseconds=100), "maximum_backoff": timedelta(milliseconds=300)}
    topic, subscription = bus.pair(retry_policy=back_off)
    (number,) = bus.publish(topic, "wait")
    for _ in range(2):
        received = bus.pull(subscription, 1)
        assert received[0].message.message_id == number
        bus.lease(subscription, received, 0)
    bus.pull(subscription, 1)
