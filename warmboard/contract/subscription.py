"""Requests about the workers' subscription: seek it to a time or a snapshot, make a snapshot, or delete one.

They are CloudEvents on Pub/Sub, in the envelope of `cloudevents.py`. The webapp publishes them, and
``python -m workers seek`` and ``snapshot`` record them in the inbox. A subscriber performs each once.
``examples/subscription-*.json`` holds golden messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from warmboard.contract.cloudevents import Envelope, EventError, Fields, format_time

SUBSCRIPTION_REQUESTED = "warmboard.subscription.requested.v1"
SOURCE = "/warmboard/webapp"
SNAPSHOT = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+-]{2,99}")
"""The name of a snapshot, as Pub/Sub has it, but shorter."""


class Action(StrEnum):
    SEEK = "seek"
    CREATE = "create-snapshot"
    DELETE = "delete-snapshot"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to do with the subscription.

    A seek has either a time, ``to``, or a ``snapshot``; it needs ``drop`` to acknowledge messages that no subscriber
    has received yet. The other actions have a snapshot. Raises EventError.
    """

    action: Action
    to: datetime | None = None
    snapshot: str | None = None
    drop: bool = False

    def __post_init__(self) -> None:
        if self.snapshot is not None and not SNAPSHOT.fullmatch(self.snapshot):
            raise EventError(
                f"field snapshot is {self.snapshot[:100]!r}: 3 to 100 letters, digits, and . _ ~ + -, from a letter on"
            )
        if self.action is not Action.SEEK and (self.to or self.drop or not self.snapshot):
            raise EventError(f"{self.action} needs a snapshot, and nothing else")
        if self.action is Action.SEEK and (self.to is None) == (self.snapshot is None):
            raise EventError("a seek needs either a time or a snapshot")

    def __str__(self) -> str:
        if self.action is not Action.SEEK:
            return f"{self.action.replace('-', ' ')} {self.snapshot}"
        target = f"{self.to.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.to else f"snapshot {self.snapshot}"
        return f"seek to {target}{', dropping unreceived messages' if self.drop else ''}"


@dataclass(frozen=True, kw_only=True)
class SubscriptionRequest:
    """One request. ``id`` is unique within ``source``. ``time`` is an aware datetime in UTC, ``requested_by`` a user's
    name.
    """

    id: str
    time: datetime
    wish: Wish
    requested_by: str
    source: str = SOURCE

    def __str__(self) -> str:
        return str(self.wish)

    def encode(self) -> tuple[bytes, dict[str, str]]:
        """Return the data and the attributes of the Pub/Sub message."""
        wish = self.wish
        data: dict[str, Any] = {
            "requested_by": self.requested_by,
            "action": wish.action.value,
            "to": wish.to and format_time(wish.to),
            "snapshot": wish.snapshot,
            "drop": wish.drop,
        }
        envelope = Envelope(SUBSCRIPTION_REQUESTED, self.source, self.id, self.time)
        return json.dumps(data, allow_nan=False).encode(), envelope.attributes()

    @classmethod
    def decode(cls, data: bytes, attributes: Mapping[str, str]) -> Self:
        """Read a Pub/Sub message. Unknown fields are errors: a newer program's field might restrict the request.

        Raises EventError, which names the invalid attribute or field.
        """
        envelope = Envelope.of(attributes, [SUBSCRIPTION_REQUESTED])
        found = Fields(data)
        found.only({"requested_by", "action", "to", "snapshot", "drop"})
        action = found.text("action")
        if action not in list(Action):
            raise EventError(f"field action is {action!r}; known: {', '.join(Action)}")
        return cls(
            id=envelope.id,
            source=envelope.source,
            time=envelope.time,
            requested_by=found.text("requested_by"),
            wish=Wish(
                action=Action(action),
                to=found.time("to"),
                snapshot=found.optional_text("snapshot"),
                drop=found.flag("drop"),
            ),
        )
