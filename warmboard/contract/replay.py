"""Replay requests: warm some runs again. Runs are selected by their data, never by an address.

They are CloudEvents on Pub/Sub, in the envelope of `cloudevents.py`. The webapp publishes them, and
``python -m workers replay`` records them in the inbox; the workers read them. ``examples/replay-*.json`` holds golden
messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

from warmboard.contract.cloudevents import Envelope, EventError, Fields, format_time
from warmboard.contract.events import read_run_id

REPLAY_REQUESTED = "warmboard.replay.requested.v1"
SOURCE = "/warmboard/webapp"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selects the runs that meet every given criterion. All runs are selected by ``everything`` alone, so that an empty
    selection, left by accident, is an error.

    ``failed``, ``since`` and ``until`` are about a run's events. They must hold for one and the same event: it was
    parked as failed, and it arrived at or after ``since`` and before ``until``. Raises EventError if criteria conflict.
    """

    run_id: str | None = None
    experiment_name: str | None = None
    failed: bool = False
    since: datetime | None = None
    until: datetime | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        given = [field.name for field in fields(self) if getattr(self, field.name)]
        if not given:
            names = ", ".join(field.name for field in fields(self))
            raise EventError(f"nothing is selected: at least one of {names} is needed")
        if self.everything and len(given) > 1:
            raise EventError(f"field everything goes with nothing else, here with {given[0]}")
        if self.since and self.until and self.since >= self.until:
            raise EventError(f"field until is {format_time(self.until)}, not after since")

    def __str__(self) -> str:
        parts = [
            "all runs" if self.everything else f"run {self.run_id}" if self.run_id else "runs",
            f"of {self.experiment_name}" if self.experiment_name else "",
            "with failed events" if self.failed else "with events" if self.since or self.until else "",
            f"since {_in_words(self.since)}" if self.since else "",
            f"until {_in_words(self.until)}" if self.until else "",
        ]
        return " ".join(filter(None, parts))


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """One request. ``id`` is unique within ``source``; the same request published again has the same id. ``time`` is an
    aware datetime in UTC. ``requested_by`` is a user's name.
    """

    id: str
    time: datetime
    selection: Selection
    requested_by: str
    source: str = SOURCE

    def __str__(self) -> str:
        return str(self.selection)

    def encode(self) -> tuple[bytes, dict[str, str]]:
        """Return the data and the attributes of the Pub/Sub message."""
        wanted = self.selection
        data: dict[str, Any] = {
            "requested_by": self.requested_by,
            "run_id": wanted.run_id,
            "experiment_name": wanted.experiment_name,
            "failed": wanted.failed,
            "since": wanted.since and format_time(wanted.since),
            "until": wanted.until and format_time(wanted.until),
            "everything": wanted.everything,
        }
        envelope = Envelope(REPLAY_REQUESTED, self.source, self.id, self.time)
        return json.dumps(data, allow_nan=False).encode(), envelope.attributes()

    @classmethod
    def decode(cls, data: bytes, attributes: Mapping[str, str]) -> Self:
        """Read a Pub/Sub message. Unknown fields are errors: a newer program's field would narrow the selection.

        Raises EventError, which names the invalid attribute or field.
        """
        envelope = Envelope.of(attributes, [REPLAY_REQUESTED])
        found = Fields(data)
        found.only({"requested_by", *(field.name for field in fields(Selection))})
        return cls(
            id=envelope.id,
            source=envelope.source,
            time=envelope.time,
            requested_by=found.text("requested_by"),
            selection=Selection(
                run_id=read_run_id(found) if found.optional_text("run_id") else None,
                experiment_name=found.optional_text("experiment_name"),
                failed=found.flag("failed"),
                since=found.time("since"),
                until=found.time("until"),
                everything=found.flag("everything"),
            ),
        )


def _in_words(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
