"""Topics, subscriptions and snapshots as resources: names, defaults, lists, errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions

from .conftest import PROJECT, Bus

pytestmark = pytest.mark.integration


def test_a_topic_is_created_read_listed_and_deleted(bus: Bus) -> None:
    topic = bus.topic(labels={"team": "search"}, message_retention_duration=timedelta(hours=1))
    stored = bus.publisher.get_topic(request={"topic": topic})
    assert dict(stored.labels) == {"team": "search"}
    assert stored.message_retention_duration == timedelta(hours=1)
    assert topic in [each.name for each in bus.publisher.list_topics(request={"project": PROJECT})]
    bus.publisher.delete_topic(request={"topic": topic})
    with pytest.raises(exceptions.NotFound):
        bus.publisher.get_topic(request={"topic": topic})


def test_lists_come_in_pages(bus: Bus) -> None:
    project = bus.name("project")[len(f"{PROJECT}/") :].replace("projects/", "projects/p")
    names = sorted(f"{project}/topics/topic-{number}" for number in range(7))
    for name in names:
        bus.publisher.create_topic(request={"name": name})
    pages = list(bus.publisher.list_topics(request={"project": project, "page_size": 3}).pages)
    assert [len(page.topics) for page in pages] == [3, 3, 1]
    assert sorted(topic.name for page in pages for topic in page.topics) == names


def test_a_subscription_has_the_defaults(bus: Bus) -> None:
    topic, subscription = bus.pair(retry_policy={}, dead_letter_policy={"dead_letter_topic": bus.topic()})
    stored = bus.subscriber.get_subscription(request={"subscription": subscription})
    assert stored.topic == topic
    assert stored.ack_deadline_seconds == 10
    assert stored.message_retention_duration == timedelta(days=7)
    assert stored.retry_policy.minimum_backoff == timedelta(seconds=10)
    assert stored.retry_policy.maximum_backoff == timedelta(seconds=600)
    assert stored.dead_letter_policy.max_delivery_attempts == 5


def test_subscriptions_are_listed_by_project_and_by_topic(bus: Bus) -> None:
    topic = bus.topic()
    subscriptions = {bus.subscription(topic) for _ in range(3)}
    bus.pair()
    assert set(bus.publisher.list_topic_subscriptions(request={"topic": topic})) == subscriptions
    everything = bus.subscriber.list_subscriptions(request={"project": PROJECT})
    assert subscriptions < {each.name for each in everything}


def test_the_ack_deadline_is_updated_and_other_fields_stay(bus: Bus) -> None:
    _, subscription = bus.pair(retain_acked_messages=True)
    change = {"name": subscription, "ack_deadline_seconds": 77, "retain_acked_messages": False}
    request = {"subscription": change, "update_mask": {"paths": ["ack_deadline_seconds"]}}
    assert bus.subscriber.update_subscription(request=request).ack_deadline_seconds == 77
    stored = bus.subscriber.get_subscription(request={"subscription": subscription})
    assert (stored.ack_deadline_seconds, stored.retain_acked_messages) == (77, True)


def test_labels_are_updated(embedded_bus: Bus) -> None:
    """Google's emulator refuses to update labels; the service does it."""
    topic, subscription = embedded_bus.pair(labels={"a": "1"})
    mask = {"paths": ["labels"]}
    request = {"subscription": {"name": subscription, "labels": {"b": "2"}}, "update_mask": mask}
    embedded_bus.subscriber.update_subscription(request=request)
    embedded_bus.publisher.update_topic(request={"topic": {"name": topic, "labels": {"c": "3"}}, "update_mask": mask})
    stored = embedded_bus.subscriber.get_subscription(request={"subscription": subscription})
    assert dict(stored.labels) == {"b": "2"}
    assert dict(embedded_bus.publisher.get_topic(request={"topic": topic}).labels) == {"c": "3"}


def test_a_snapshot_is_created_read_listed_and_deleted(bus: Bus) -> None:
    topic, subscription = bus.pair()
    snapshot = bus.snapshot(subscription)
    stored = bus.subscriber.get_snapshot(request={"snapshot": snapshot})
    assert stored.topic == topic
    assert stored.expire_time > datetime.now(UTC) + timedelta(days=6)
    assert snapshot in [each.name for each in bus.subscriber.list_snapshots(request={"project": PROJECT})]
    assert list(bus.publisher.list_topic_snapshots(request={"topic": topic})) == [snapshot]
    bus.subscriber.delete_snapshot(request={"snapshot": snapshot})
    with pytest.raises(exceptions.NotFound):
        bus.subscriber.get_snapshot(request={"snapshot": snapshot})


def test_the_subscription_of_a_deleted_topic_keeps_its_backlog(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "left")
    bus.publisher.delete_topic(request={"topic": topic})
    assert bus.subscriber.get_subscription(request={"subscription": subscription}).topic == "_deleted-topic_"
    assert bus.texts(subscription, 1) == ["left"]
    bus.publisher.create_topic(request={"name": topic})
    bus.publish(topic, "of another topic with the same name")
    assert bus.is_quiet(subscription)


def test_a_deleted_subscription_starts_empty_again(bus: Bus) -> None:
    topic, subscription = bus.pair()
    bus.publish(topic, "old")
    bus.subscriber.delete_subscription(request={"subscription": subscription})
    bus.subscriber.create_subscription(request={"name": subscription, "topic": topic})
    bus.publish(topic, "new")
    assert bus.texts(subscription, 1) == ["new"]


Call = Callable[[Bus], Any]


def _create_subscription(**config: Any) -> Call:
    return lambda bus: bus.subscription(bus.topic(), **config)


def _update(path: str, **change: Any) -> Call:
    def call(bus: Bus) -> None:
        subscription = {"name": bus.pair()[1], **change}
        bus.subscriber.update_subscription(request={"subscription": subscription, "update_mask": {"paths": [path]}})

    return call


def _on_subscription(method: str, **request: Any) -> Call:
    return lambda bus: getattr(bus.subscriber, method)(request={"subscription": bus.pair()[1], **request})


def _missing(client: str, method: str, field: str, **request: Any) -> Call:
    return lambda bus: getattr(getattr(bus, client), method)(request={field: bus.name(field), **request})


def _twice(create: Callable[[Bus, str], Any], kind: str) -> Call:
    def call(bus: Bus) -> None:
        name = bus.name(kind)
        create(bus, name)
        create(bus, name)

    return call


def _seek_to_snapshot_of_another_topic(bus: Bus) -> None:
    snapshot = bus.snapshot(bus.pair()[1])
    bus.subscriber.seek(request={"subscription": bus.pair()[1], "snapshot": snapshot})


def _missing_dead_letter_topic(bus: Bus) -> None:
    bus.subscription(bus.topic(), dead_letter_policy={"dead_letter_topic": bus.name("topic")})


def _create_topic(name: str, **config: Any) -> Call:
    return lambda bus: bus.publisher.create_topic(request={"name": name, **config})


def _publish(*messages: dict[str, Any]) -> Call:
    return lambda bus: bus.plain_publisher.publish(request={"topic": bus.topic(), "messages": list(messages)})


NOW = datetime.now(UTC)
ERRORS: dict[str, tuple[Call, type[Exception]]] = {
    "topic: bad name": (_create_topic("topic"), exceptions.InvalidArgument),
    "topic: ID begins with a digit": (_create_topic(f"{PROJECT}/topics/1st"), exceptions.InvalidArgument),
    "topic: ID begins with goog": (_create_topic(f"{PROJECT}/topics/google"), exceptions.InvalidArgument),
    "topic: short ID": (_create_topic(f"{PROJECT}/topics/ab"), exceptions.InvalidArgument),
    "topic: short retention": (
        lambda bus: bus.topic(message_retention_duration=timedelta(seconds=1)),
        exceptions.InvalidArgument,
    ),
    "topic: twice": (
        _twice(lambda bus, name: bus.publisher.create_topic(request={"name": name}), "topic"),
        exceptions.AlreadyExists,
    ),
    "topic: get missing": (_missing("publisher", "get_topic", "topic"), exceptions.NotFound),
    "topic: delete missing": (_missing("publisher", "delete_topic", "topic"), exceptions.NotFound),
    "publish: missing topic": (
        lambda bus: bus.publish(bus.name("topic"), "x"),
        exceptions.NotFound,
    ),
    "publish: nothing": (_publish(), exceptions.InvalidArgument),
    "publish: empty message": (_publish({"data": b"x"}, {"data": b""}), exceptions.InvalidArgument),
    "publish: ordering key alone": (_publish({"ordering_key": "k"}), exceptions.InvalidArgument),
    "subscription: bad name": (
        lambda bus: bus.subscriber.create_subscription(request={"name": "x", "topic": bus.topic()}),
        exceptions.InvalidArgument,
    ),
    "subscription: bad topic name": (lambda bus: bus.subscription("x"), exceptions.InvalidArgument),
    "subscription: missing topic": (lambda bus: bus.subscription(bus.name("topic")), exceptions.NotFound),
    "subscription: twice": (
        _twice(
            lambda bus, name: bus.subscriber.create_subscription(request={"name": name, "topic": bus.topic()}),
            "subscription",
        ),
        exceptions.AlreadyExists,
    ),
    "subscription: long ack deadline": (_create_subscription(ack_deadline_seconds=601), exceptions.InvalidArgument),
    "subscription: long retention": (
        _create_subscription(message_retention_duration=timedelta(days=32)),
        exceptions.InvalidArgument,
    ),
    "subscription: back-off too long": (
        _create_subscription(retry_policy={"minimum_backoff": timedelta(seconds=601)}),
        exceptions.InvalidArgument,
    ),
    "subscription: back-off upside down": (
        _create_subscription(
            retry_policy={"minimum_backoff": timedelta(seconds=9), "maximum_backoff": timedelta(seconds=8)}
        ),
        exceptions.InvalidArgument,
    ),
    "subscription: four attempts": (
        lambda bus: bus.subscription(
            bus.topic(), dead_letter_policy={"dead_letter_topic": bus.topic(), "max_delivery_attempts": 4}
        ),
        exceptions.OutOfRange,
    ),
    "subscription: missing dead letter topic": (_missing_dead_letter_topic, exceptions.NotFound),
    "subscription: get missing": (_missing("subscriber", "get_subscription", "subscription"), exceptions.NotFound),
    "subscription: delete missing": (
        _missing("subscriber", "delete_subscription", "subscription"),
        exceptions.NotFound,
    ),
    "update: unknown field": (_update("nothing"), exceptions.InvalidArgument),
    "update: topic": (_update("topic", topic="x"), exceptions.InvalidArgument),
    "update: filter": (_update("filter", filter="attributes:a"), exceptions.InvalidArgument),
    "pull: missing": (_missing("subscriber", "pull", "subscription", max_messages=1), exceptions.NotFound),
    "pull: no messages wanted": (_on_subscription("pull", max_messages=0), exceptions.InvalidArgument),
    "ack: nothing": (_on_subscription("acknowledge", ack_ids=[]), exceptions.InvalidArgument),
    "ack: bad ID": (_on_subscription("acknowledge", ack_ids=["x"]), exceptions.InvalidArgument),
    "ack: missing": (
        _missing("subscriber", "acknowledge", "subscription", ack_ids=["x"]),
        exceptions.NotFound,
    ),
    "deadline: bad ID": (
        _on_subscription("modify_ack_deadline", ack_ids=["x"], ack_deadline_seconds=10),
        exceptions.InvalidArgument,
    ),
    "deadline: negative": (
        _on_subscription("modify_ack_deadline", ack_ids=["x"], ack_deadline_seconds=-1),
        exceptions.InvalidArgument,
    ),
    "snapshot: missing subscription": (lambda bus: bus.snapshot(bus.name("subscription")), exceptions.NotFound),
    "snapshot: twice": (
        _twice(
            lambda bus, name: bus.subscriber.create_snapshot(request={"name": name, "subscription": bus.pair()[1]}),
            "snapshot",
        ),
        exceptions.AlreadyExists,
    ),
    "snapshot: delete missing": (_missing("subscriber", "delete_snapshot", "snapshot"), exceptions.NotFound),
    "seek: nowhere": (_on_subscription("seek"), exceptions.InvalidArgument),
    "seek: bad snapshot name": (_on_subscription("seek", snapshot="x"), exceptions.InvalidArgument),
    "seek: missing subscription": (_missing("subscriber", "seek", "subscription", time=NOW), exceptions.NotFound),
    "seek: missing snapshot": (
        lambda bus: bus.subscriber.seek(request={"subscription": bus.pair()[1], "snapshot": bus.name("snapshot")}),
        exceptions.NotFound,
    ),
    "seek: another topic's snapshot": (_seek_to_snapshot_of_another_topic, exceptions.FailedPrecondition),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(bus: Bus, case: str) -> None:
    call, expected = ERRORS[case]
    with pytest.raises(expected):
        call(bus)


EMBEDDED_ERRORS: dict[str, tuple[Call, type[Exception]]] = {
    "bad filter": (_create_subscription(filter="colour = red"), exceptions.InvalidArgument),
    "push": (
        _create_subscription(push_config={"push_endpoint": "http://localhost:1/"}),
        exceptions.MethodNotImplemented,
    ),
    "exactly once": (_create_subscription(enable_exactly_once_delivery=True), exceptions.MethodNotImplemented),
    "missing topic's subscriptions": (
        lambda bus: list(bus.publisher.list_topic_subscriptions(request={"topic": bus.name("topic")})),
        exceptions.NotFound,
    ),
}


@pytest.mark.parametrize("case", EMBEDDED_ERRORS)
def test_errors_of_the_embedded_server(embedded_bus: Bus, case: str) -> None:
    """Google's emulator accepts bad filters and push, and lists nothing for a missing topic; the service refuses."""
    call, expected = EMBEDDED_ERRORS[case]
    with pytest.raises(expected):
        call(embedded_bus)
