"""The envelope of every message: CloudEvents 1.0 on Google Cloud Pub/Sub in binary content mode.

Every context attribute is a message attribute with the prefix ``ce-``, so that subscriptions can filter by type. The
data is JSON, and ``content-type`` says so.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
https://github.com/google/knative-gcp/blob/main/docs/spec/pubsub-protocol-binding.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

CONTENT_TYPE = "application/json"
LONGEST = {"tracking_server": 64, "experiment_name": 500, "mlflow_info_uri": 2000, "requested_by": 150}
LONGEST_ATTRIBUTE = 255
LARGEST = 2**31 - 1
LARGEST_DATA = 1_000_000
"""The max size of an event's data, in bytes. Larger data are not parsed: as JSON they can take 40 times their size."""
LEAP_SECOND = re.compile(r"(.+[Tt ]\d\d:\d\d:)60(\D.*)")


class EventError(ValueError):
    """The message is not an event of a known version. The error names the attribute or field, and the reason."""


@dataclass(frozen=True)
class Envelope:
    """The context attributes of one event. ``id`` is unique within ``source``; ``time`` is aware, in UTC."""

    type: str
    source: str
    id: str
    time: datetime
    subject: str = ""

    def attributes(self) -> dict[str, str]:
        """Return the attributes of the Pub/Sub message."""
        return {
            "ce-specversion": "1.0",
            "ce-type": self.type,
            "ce-source": self.source,
            "ce-id": self.id,
            "ce-time": format_time(self.time),
            **({"ce-subject": self.subject} if self.subject else {}),
            "content-type": CONTENT_TYPE,
        }

    @classmethod
    def of(cls, attributes: Mapping[str, str], known: Iterable[str]) -> Self:
        """Read a message's attributes; ``known`` are the valid types. Raises EventError, which names the attribute."""
        if attributes.get("ce-specversion") != "1.0":
            raise EventError(f"attribute ce-specversion is {attributes.get('ce-specversion')!r}, not '1.0'")
        types = list(known)
        if (event_type := attributes.get("ce-type", "")) not in types:
            raise EventError(f"attribute ce-type is {attributes.get('ce-type')!r}; known types: {', '.join(types)}")
        return cls(
            type=event_type,
            source=_attribute(attributes, "ce-source"),
            id=_attribute(attributes, "ce-id"),
            time=_time("attribute ce-time", _attribute(attributes, "ce-time")),
        )


class Fields:
    """The JSON object of an event. Each method reads one field and raises EventError, which names the field."""

    def __init__(self, data: bytes) -> None:
        if len(data) > LARGEST_DATA:
            raise EventError(f"data has {len(data):,} bytes; an event has at most {LARGEST_DATA:,}")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EventError(f"data is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise EventError(f"data is a JSON {type(document).__name__}, not an object")
        self._document: dict[str, Any] = document

    def only(self, known: Set[str]) -> None:
        """Raise EventError if there is any other field."""
        if unknown := sorted(self._document.keys() - known):
            raise EventError(f"field {unknown[0][:40]} is unknown")

    def optional_text(self, name: str) -> str | None:
        """Return a string; None if it is missing."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, str):
            raise EventError(f"field {name} is {value!r}, not a string")
        if value:
            _check_text(f"field {name}", value, LONGEST.get(name, LONGEST_ATTRIBUTE))
        return value

    def text(self, name: str) -> str:
        """Return a string that is not empty."""
        value = self.optional_text(name)
        if not value:
            raise EventError(f"field {name} is missing or empty")
        return value

    def count(self, name: str) -> int | None:
        """Return a whole number from 0; None if it is missing."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise EventError(f"field {name} is {str(value)[:40]}, not a whole number from 0 to {LARGEST}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; False if it is missing."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, bool):
            raise EventError(f"field {name} is {str(value)[:40]!r}, neither true nor false")
        return bool(value)

    def positive(self, name: str) -> int | None:
        """Return a whole number from 1; None if it is missing."""
        value = self.count(name)
        if value == 0:
            raise EventError(f"field {name} is 0; numbers start at 1")
        return value

    def time(self, name: str) -> datetime | None:
        """Return an aware datetime in UTC; None if it is missing."""
        value = self.optional_text(name)
        return None if value is None else _time(f"field {name}", value)


def format_time(moment: datetime) -> str:
    """Return the time by RFC 3339, in UTC with milliseconds: ``2026-01-02T10:30:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _attribute(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise EventError(f"attribute {name} is missing or empty")
    _check_text(f"attribute {name}", value, LONGEST_ATTRIBUTE)
    return value


def _check_text(what: str, value: str, longest: int) -> None:
    """Raise EventError for text that a database rejects."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise EventError(f"{what} holds a NUL or half a character")
    if len(value) > longest:
        raise EventError(f"{what} is too long: {len(value)} characters, at most {longest}")


def _time(what: str, text: str) -> datetime:
    # RFC 3339 has lower-case letters and leap seconds; Python has neither.
    leap = LEAP_SECOND.fullmatch(text)
    try:
        moment = datetime.fromisoformat((f"{leap[1]}59{leap[2]}" if leap else text).upper())
        moment += timedelta(seconds=bool(leap))
    except (ValueError, OverflowError):
        raise EventError(f"{what} is {text!r}, not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise EventError(f"{what} is {text!r}, without a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise EventError(f"{what} is {text!r}, beyond the calendar") from None
