"""What the addresses of operations may say: which events to show, and which runs to replay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from django.http import QueryDict

from contract.cloudevents import LONGEST, EventError
from contract.events import RUN_ID
from contract.replay import Selection
from store.models import InboxEvent
from webapp.api import BadRequest

ATTENTION, ALL = "attention", "all"
DEFAULT_LIMIT, MOST = 50, 200
LAST_ROW = 2**63 - 1
STATES = {
    ATTENTION: "failed or unreadable",
    **{state.value: state.value for state in InboxEvent.State},
    ALL: "all",
}
"""The values of ``?state=`` and what the page calls them."""


@dataclass(frozen=True)
class Filter:
    """Which events are listed, newest first. ``before`` is the row ID that the next older page starts below."""

    state: str = ATTENTION
    experiment: str = ""
    text: str = ""
    before: int | None = None
    limit: int = DEFAULT_LIMIT

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        """Raises BadRequest."""
        state = query.get("state") or ATTENTION
        if state not in STATES:
            raise BadRequest("state", f"{state!r} is unknown; allowed are {', '.join(STATES)}", list(STATES))
        return cls(
            state=state,
            experiment=read_text(query, "experiment"),
            text=read_text(query, "q"),
            before=_read_number(query, "before", LAST_ROW),
            limit=_read_number(query, "limit", MOST) or DEFAULT_LIMIT,
        )

    @property
    def is_set(self) -> bool:
        """Somebody asked for something else than what the page shows by itself."""
        return (self.state, self.experiment, self.text) != (ATTENTION, "", "")

    def query(self, before: int | None) -> str:
        """The query of the same list, from another place on."""
        given = {
            "state": self.state,
            "experiment": self.experiment,
            "q": self.text,
            "before": before,
            "limit": self.limit,
        }
        query = QueryDict(mutable=True)
        by_itself = (None, "", ATTENTION, DEFAULT_LIMIT)
        query.update({name: str(value) for name, value in given.items() if value not in by_itself})
        return f"?{query.urlencode()}" if query else ""


def read_selection(query: QueryDict, now: datetime) -> Selection:
    """Which runs a replay is meant for. What asks for events without an end ends now, so that what is shown is what
    will be done. Raises BadRequest.
    """
    run_id = read_text(query, "run_id")
    if run_id and not RUN_ID.fullmatch(run_id):
        raise BadRequest("run_id", f"{run_id!r} is no run ID: 1 to 64 letters, digits, _ or -")
    failed, everything = _read_flag(query, "failed"), _read_flag(query, "everything")
    since, until = _read_time(query, "since"), _read_time(query, "until")
    if (failed or since) and not until:
        # Whole milliseconds, as a message has them; the last one included.
        until = now.replace(microsecond=now.microsecond // 1000 * 1000) + timedelta(milliseconds=1)
    try:
        return Selection(
            run_id=run_id or None,
            experiment_name=read_text(query, "experiment") or None,
            failed=failed,
            since=since,
            until=until,
            everything=everything,
        )
    except EventError as error:
        raise BadRequest("selection", str(error)) from None


def read_text(query: QueryDict, name: str) -> str:
    """Without the spaces around it; empty where it is missing. Raises BadRequest."""
    text = query.get(name, "").strip()
    if "\0" in text or len(text) > LONGEST["experiment_name"]:
        raise BadRequest(name, f"holds a NUL, or more than {LONGEST['experiment_name']} characters")
    return text


def _read_number(query: QueryDict, name: str, most: int) -> int | None:
    text = query.get(name) or ""
    if text and not (re.fullmatch("[0-9]{1,19}", text) and 1 <= int(text) <= most):
        raise BadRequest(name, f"{text!r} is not a whole number from 1 to {most}")
    return int(text) if text else None


def _read_flag(query: QueryDict, name: str) -> bool:
    text = query.get(name) or "false"
    if text not in ("true", "false"):
        raise BadRequest(name, f"{text!r} is neither true nor false", ["true", "false"])
    return text == "true"


def _read_time(query: QueryDict, name: str) -> datetime | None:
    """In UTC where it says nothing else, as the page's fields do."""
    text = read_text(query, name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadRequest(name, f"{text!r} is no time like 2026-01-02T10:30") from None
