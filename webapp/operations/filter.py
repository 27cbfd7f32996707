"""Query strings of operations: the events to show, and the runs to replay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.http import QueryDict

from store.models import InboxEvent
from warmboard.contract.cloudevents import LONGEST, EventError
from warmboard.contract.events import RUN_ID
from warmboard.contract.replay import Selection
from webapp.api.parameters import BadRequest, Parameter, whole_number, within

ATTENTION, ALL = "attention", "all"
DEFAULT_LIMIT, MOST = 50, 200
LAST_ROW = 2**63 - 1
STATES = {
    ATTENTION: "failed or unreadable",
    **{state.value: state.value for state in InboxEvent.State},
    ALL: "all",
}
"""The values of ``?state=`` and their labels."""


def _state(text: str) -> str:
    """Raises ValueError."""
    if text not in STATES:
        raise ValueError(f"{text!r} is unknown")
    return text


def _text(text: str) -> str:
    """The stripped text. Raises ValueError if it can't be stored."""
    text = text.strip()
    if "\0" in text or len(text) > LONGEST["experiment_name"]:
        raise ValueError(f"contains NUL or more than {LONGEST['experiment_name']} characters")
    return text


_TEXT = {"type": "string", "maxLength": LONGEST["experiment_name"], "pattern": r"^[^\x00]*$"}
STATE = Parameter(
    "state",
    "Events in this state; `attention`: failed or unreadable.",
    {"type": "string", "enum": list(STATES), "default": ATTENTION},
    _state,
    ATTENTION,
)
EXPERIMENT = Parameter("experiment", "Events of this experiment.", _TEXT, _text, "")
TEXT = Parameter("q", "Events with this text in their run ID, event ID or reason.", _TEXT, _text, "")
BEFORE: Parameter[int | None] = Parameter(
    "before",
    "Events older than `before` of a response.",
    {"type": "integer", "minimum": 1, "maximum": LAST_ROW},
    within(1, LAST_ROW),
)
LIMIT = whole_number("limit", 1, MOST, DEFAULT_LIMIT, "Max events.")
FILTER: list[Parameter[Any]] = [STATE, EXPERIMENT, TEXT, BEFORE, LIMIT]


@dataclass(frozen=True)
class Filter:
    """The listed events, newest first. ``before`` limits them to rows with a lower ID."""

    state: str = ATTENTION
    experiment: str = ""
    text: str = ""
    before: int | None = None
    limit: int = DEFAULT_LIMIT

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        """Parse a query string. Raises BadRequest."""
        return cls(
            state=STATE.read_from(query),
            experiment=EXPERIMENT.read_from(query),
            text=TEXT.read_from(query),
            before=BEFORE.read_from(query),
            limit=LIMIT.read_from(query),
        )

    @property
    def is_set(self) -> bool:
        """Whether the filter differs from the default."""
        return (self.state, self.experiment, self.text) != (ATTENTION, "", "")

    def query(self, before: int | None) -> str:
        """The query string of this list, from another row on."""
        given: dict[str, tuple[object, object]] = {
            "state": (self.state, ATTENTION),
            "experiment": (self.experiment, ""),
            "q": (self.text, ""),
            "before": (before, None),
            "limit": (self.limit, DEFAULT_LIMIT),
        }
        query = QueryDict(mutable=True)
        query.update({name: str(value) for name, (value, default) in given.items() if value != default})
        return f"?{query.urlencode()}" if query else ""


def read_selection(query: QueryDict, now: datetime) -> Selection:
    """The runs to replay. A selection of events without an end ends now, so that the replay matches its preview.

    Raises BadRequest.
    """
    run_id = read_text(query, "run_id")
    if run_id and not RUN_ID.fullmatch(run_id):
        raise BadRequest("run_id", f"{run_id!r} is not a run ID: 1 to 64 letters, digits, _ or -")
    failed, everything = read_flag(query, "failed"), read_flag(query, "everything")
    since, until = read_time(query, "since"), read_time(query, "until")
    if (failed or since) and not until:
        # Whole milliseconds, as in messages; the last one is included.
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
    """The stripped text of a parameter; empty if it is missing. Raises BadRequest."""
    return Parameter(name, "", _TEXT, _text, "").read_from(query)


def read_flag(query: QueryDict, name: str) -> bool:
    """A parameter that is true or false. Raises BadRequest."""
    text = query.get(name) or "false"
    if text not in ("true", "false"):
        raise BadRequest(name, f"{text!r} is neither true nor false", ["true", "false"])
    return text == "true"


def read_time(query: QueryDict, name: str) -> datetime | None:
    """The time of a parameter, in UTC unless it has an offset. Raises BadRequest."""
    text = read_text(query, name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadRequest(name, f"{text!r} is not a time like 2026-01-02T10:30") from None
