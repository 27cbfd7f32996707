"""The fields of the query language, with their operators and the type of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from store.searched import number_of
from warmboard.contract.events import RunStatus

WORD = "word"
"""The field of free text, which queries don't name."""
KEYED = ("param", "metric", "tag")
EQUAL = ("=", "!=")
LIKE = ("like", "ilike")
AMONG = ("in", "not in")
ABSENT, PRESENT = "is null", "is not null"
TEXT = (*EQUAL, "~", *LIKE, *AMONG)
ORDER = (*EQUAL, ">", ">=", "<", "<=")
LARGEST = 2**31 - 1
INFINITE = {"infinity": math.inf, "inf": math.inf, "-infinity": -math.inf, "-inf": -math.inf}
_ITEMS = re.compile(r"""("(?:[^"\\]|\\.)*")|('[^']*')|([^\s,()"'`]+)""", re.DOTALL)
_MILLISECONDS = re.compile(r"-?[0-9]{1,7}|-?[0-9]{9,15}")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ValueProblem(ValueError):
    """The value is invalid for the field; the message says why."""


@dataclass(frozen=True)
class Span:
    """A time span without its end: a day, or one moment."""

    start: datetime
    end: datetime


Operand = str | int | float | Span | tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """A field. ``read(operator, value, quoted)`` returns the operand for its column, or raises ValueProblem."""

    operators: tuple[str, ...]
    read: Callable[[str, str, bool], Operand]

    def operand(self, operator: str, value: str, quoted: bool) -> Operand:
        """The operand of any operator; for ``in`` a tuple. Raises ValueProblem."""
        if operator in AMONG:
            return tuple(str(self.read("=", item, True)) for item in items_of(value))
        return value if operator in (*LIKE, ABSENT) else self.read(operator, value, quoted)


def items_of(text: str) -> list[str]:
    """The items of a list such as ``'a', "b", c``."""
    return [
        re.sub(r"\\(.)", r"\1", double[1:-1]) if double else single[1:-1] if single else bare
        for double, single, bare in _ITEMS.findall(text)
    ]


def _text(operator: str, value: str, quoted: bool) -> str:
    return value


def _status(operator: str, value: str, quoted: bool) -> str:
    if value.upper() not in RunStatus.__members__:
        raise ValueProblem(f"invalid status; use {', '.join(status.lower() for status in RunStatus.__members__)}")
    return value.upper()


def _whole(operator: str, value: str, quoted: bool) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= LARGEST):
        raise ValueProblem(f"it must be a whole number from 0 to {LARGEST:,}")
    return int(value)


def _number(operator: str, value: str, quoted: bool) -> float:
    number = INFINITE.get(value.lower(), number_of(value))
    if number is None:
        raise ValueProblem("it must be a number")
    return number


def _either(operator: str, value: str, quoted: bool) -> str | float:
    """The operand for a parameter: parameters are text, but an unquoted number compares with numbers."""
    if operator == "~" or (quoted and operator in EQUAL):
        return value
    number = number_of(value)
    if number is None and operator not in EQUAL:
        raise ValueProblem(f"{operator} needs a number")
    return value if number is None else number


def _moment(operator: str, value: str, quoted: bool) -> Span:
    try:
        if _MILLISECONDS.fullmatch(value):
            start = EPOCH + timedelta(milliseconds=int(value))
            return Span(start, start + timedelta(milliseconds=1))
        start = datetime.fromisoformat(value)
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        whole_day = len(value) <= len("2026-11-01")
        return Span(start, start + (timedelta(days=1) if whole_day else timedelta(microseconds=1)))
    except (ValueError, OverflowError):
        raise ValueProblem("invalid date; use 2026-11-01 or 2026-11-01T12:30 (UTC)") from None


FIELDS = {
    WORD: Field(("~",), _text),
    "status": Field((*EQUAL, *LIKE, *AMONG), _status),
    "experiment": Field(TEXT, _text),
    "name": Field(TEXT, _text),
    "run": Field(TEXT, _text),
    "parent": Field(("=", "in"), _text),
    "quick_test": Field(ORDER, _whole),
    "epochs": Field(ORDER, _whole),
    "started": Field(ORDER, _moment),
    "ended": Field(ORDER, _moment),
    "param": Field((*ORDER, "~", *LIKE, *AMONG, ABSENT), _either),
    "metric": Field(ORDER, _number),
    "tag": Field((*TEXT, ABSENT), _text),
}
