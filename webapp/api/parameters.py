"""Query parameters of the API: declared once, read by the views and described by the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from django.http import HttpRequest, QueryDict

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
QUERIES_REMEMBERED = 256


class BadRequest(Exception):
    """A query parameter can't be used. ``document`` is the answer's JSON."""

    def __init__(self, parameter: str, message: str, allowed: list[str] | None = None) -> None:
        super().__init__(message)
        self.document = {"error": f"{parameter}: {message}", "parameter": parameter, "allowed": allowed}


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """``parse`` makes the value of the text, or raises ValueError with the reason; ``schema`` is the JSON Schema of the
    texts that it takes. A parameter that is left out has the value ``default``, unless it is ``required``.
    """

    name: str
    help: str
    schema: Mapping[str, Any]
    parse: Callable[[str], T]
    default: T | None = None
    required: bool = False

    def read(self, request: HttpRequest) -> T:
        """Raises BadRequest."""
        return self.read_from(query_of(request))

    def read_from(self, query: QueryDict) -> T:
        """Raises BadRequest."""
        text = query.get(self.name)
        if text is None and not self.required:
            return cast(T, self.default)
        allowed = self.schema.get("enum")
        if text is None:
            raise BadRequest(self.name, f"is missing{_either(allowed)}", allowed)
        try:
            return self.parse(text)
        except ValueError as error:
            raise BadRequest(self.name, f"{error}{_either(allowed)}", allowed) from None


def choice(name: str, choices: type[E], help: str, default: E | None = None) -> Parameter[E]:
    """One member of an enumeration; required when there is no default."""

    def parse(text: str) -> E:
        try:
            return choices(text)
        except ValueError:
            raise ValueError(f"{text!r} is unknown") from None

    schema: dict[str, Any] = {"type": "string", "enum": [one.value for one in choices]}
    if default is not None:
        schema["default"] = default.value
    return Parameter(name, help, schema, parse, default, required=default is None)


def whole_number(name: str, low: int, high: int, default: int, help: str) -> Parameter[int]:
    """``low`` to ``high``, both included; neither is negative."""
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(name, help, schema, within(low, high), default)


def within(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number of the range, or raises ValueError."""

    def parse(text: str) -> int:
        digits = text.lstrip("0") or "0"
        # One of more digits is out of reach, and need not be converted.
        known = text.isascii() and text.isdigit() and len(digits) <= len(str(high))
        if not (known and low <= int(digits) <= high):
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(digits)

    return parse


def query_of(request: HttpRequest) -> QueryDict:
    """``request.GET``, parsed once for all requests that ask alike."""
    return _query(request.META.get("QUERY_STRING", ""))


@lru_cache(QUERIES_REMEMBERED)
def _query(text: str) -> QueryDict:
    # Latin-1 is how WSGI hands over bytes.
    return QueryDict(text.encode("latin-1"))


def _either(allowed: list[str] | None) -> str:
    return f"; allowed are {', '.join(allowed)}" if allowed else ""
