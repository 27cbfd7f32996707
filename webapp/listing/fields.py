"""The fields of the query language: by which operators each can be compared, and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from store.searched import number_of
from warmboard.contract.events import RunStatus

WORD = "word"
"""The field of free text, which has no name in a query."""
KEYED = ("param", "metric", "tag")
EQUAL = ("=", "!=")
TEXT = (*EQUAL, "~")
ORDER = (*EQUAL, ">", ">=", "<", "<=")
LARGEST = 2**31 - 1


class ValueProblem(ValueError):
    """The value can't be compared with the field; the message says why."""


@dataclass(frozen=True)
class Span:
    """A stretch of time, its end not in it: a day, or one moment."""

    start: datetime
    end: datetime


Operand = str | int | float | Span


@dataclass(frozen=True)
class Field:
    """``read(operator, value, quoted)`` gives what the column is compared with. Raises ValueProblem."""

    operators: tuple[str, ...]
    read: Callable[[str, str, bool], Operand]


def _text(operator: str, value: str, quoted: bool) -> str:
    return value


def _status(operator: str, value: str, quoted: bool) -> str:
    if value.upper() not in RunStatus.__members__:
        raise ValueProblem(f"it is no status; there is {', '.join(status.lower() for status in RunStatus.__members__)}")
    return value.upper()


def _whole(operator: str, value: str, quoted: bool) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= LARGEST):
        raise ValueProblem(f"it is no whole number from 0 to {LARGEST:,}")
    return int(value)


def _number(operator: str, value: str, quoted: bool) -> float:
    number = number_of(value)
    if number is None:
        raise ValueProblem("it is no number")
    return number


def _either(operator: str, value: str, quoted: bool) -> str | float:
    """A parameter is a text; unquoted numbers compare with those that are numbers."""
    if operator == "~" or (quoted and operator in EQUAL):
        return value
    number = number_of(value)
    if number is None and operator not in EQUAL:
        raise ValueProblem(f"only a number can be compared by {operator}")
    return value if number is None else number


def _moment(operator: str, value: str, quoted: bool) -> Span:
    try:
        start = datetime.fromisoformat(value)
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        whole_day = len(value) <= len("2026-11-01")
        return Span(start, start + (timedelta(days=1) if whole_day else timedelta(microseconds=1)))
    except (ValueError, OverflowError):
        raise ValueProblem("it is no date; write 2026-11-01 or 2026-11-01T12:30 (UTC)") from None


FIELDS = {
    WORD: Field(("~",), _text),
    "status": Field(EQUAL, _status),
    "experiment": Field(TEXT, _text),
    "name": Field(TEXT, _text),
    "run": Field(TEXT, _text),
    "quick_test": Field(ORDER, _whole),
    "epochs": Field(ORDER, _whole),
    "started": Field(ORDER, _moment),
    "ended": Field(ORDER, _moment),
    "param": Field((*ORDER, "~"), _either),
    "metric": Field(ORDER, _number),
    "tag": Field(TEXT, _text),
}
