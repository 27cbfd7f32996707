"""Subscription filters. Google's emulator stores them and delivers everything, so most tests use the embedded one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploy.local.pubsub.filters import FilterError, parse

from .conftest import Bus


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("", ["red", "blue", "none"]),
        ("attributes:colour", ["red", "blue"]),
        ('attributes.colour = "red"', ["red"]),
        ('attributes.colour="red"', ["red"]),
        ('attributes."colour" = "red"', ["red"]),
        ('attributes.colour != "red"', ["blue", "none"]),
        ('attributes.ce-type = "a.b/c"', ["blue"]),
        ('attributes."ce-type" = "a.b/c"', ["blue"]),
        ('hasPrefix(attributes.colour, "r")', ["red"]),
        ('hasPrefix(attributes."ce-type", "a.")', ["blue"]),
        ('hasPrefix(attributes.colour, "")', ["red", "blue"]),
        ("NOT attributes:colour", ["none"]),
        ("-attributes:colour", ["none"]),
        ('NOT hasPrefix(attributes.colour, "r")', ["blue", "none"]),
        ('attributes:colour AND attributes.colour != "red"', ["blue"]),
        ('attributes.colour = "red" OR attributes.colour = "blue"', ["red", "blue"]),
        ('NOT attributes:colour OR attributes.colour = "red"', ["red", "none"]),
        ('NOT (attributes:colour AND attributes.colour = "red")', ["blue", "none"]),
        ('attributes:colour AND (attributes.colour = "red" OR attributes:ce-type)', ["red", "blue"]),
        ('(attributes.colour = "red") OR ((NOT attributes:colour))', ["red", "none"]),
        ('attributes.quoted = "say \\"hi\\""', ["none"]),
    ],
)
def test_what_a_filter_passes(text: str, passed: list[str]) -> None:
    messages = {
        "red": {"colour": "red"},
        "blue": {"colour": "blue", "ce-type": "a.b/c"},
        "none": {"quoted": 'say "hi"'},
    }
    assert [name for name, attributes in messages.items() if parse(text)(attributes)] == passed


@pytest.mark.parametrize(
    "text",
    [
        "colour",
        "attributes",
        "attributes.colour",
        "attributes.colour = red",
        'attributes.colour = "red',
        'attributes.colour < "red"',
        'attributes.colour = "red" and attributes:b',
        "attributes:a attributes:b",
        "attributes:a AND",
        "attributes:a AND attributes:b OR attributes:c",
        "(attributes:a",
        "attributes:a)",
        "NOT",
        'hasPrefix(attributes.a "b")',
        'hasPrefix(a, "b")',
        'hasSuffix(attributes.a, "b")',
        'attributes.a = "bad \\x escape"',
        'attributes.a = "' + "b" * 256 + '"',
    ],
)
def test_invalid_filters(text: str) -> None:
    with pytest.raises(FilterError):
        parse(text)


@pytest.mark.integration
def test_a_filter_is_kept(bus: Bus) -> None:
    _, subscription = bus.pair(filter="attributes:colour")
    assert bus.subscriber.get_subscription(request={"subscription": subscription}).filter == "attributes:colour"


@pytest.mark.integration
def test_a_subscription_gets_what_its_filter_passes(embedded_bus: Bus) -> None:
    topic, filtered = embedded_bus.pair(filter='attributes.colour = "red"')
    unfiltered = embedded_bus.subscription(topic)
    for colour in ("red", "blue"):
        embedded_bus.publish(topic, colour, colour=colour)
    assert embedded_bus.texts(unfiltered, 2) == ["blue", "red"]
    assert embedded_bus.texts(filtered, 1) == ["red"]
    assert embedded_bus.is_quiet(filtered)


@pytest.mark.integration
def test_a_seek_keeps_to_the_filter(embedded_bus: Bus) -> None:
    topic = embedded_bus.topic(message_retention_duration=timedelta(hours=1))
    for colour in ("red", "blue"):
        embedded_bus.publish(topic, colour, colour=colour)
    filtered = embedded_bus.subscription(topic, filter='attributes.colour = "red"')
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    embedded_bus.subscriber.seek(request={"subscription": filtered, "time": hour_ago})
    assert embedded_bus.texts(filtered, 1) == ["red"]
    assert embedded_bus.is_quiet(filtered)
