"""Query parameters of the API: declared once, for the views and for the OpenAPI document."""

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
    """A query parameter is invalid. ``document`` is the response's JSON."""

    def __init__(self, parameter: str, message: str, allowed: list[str] | None = None) -> None:
        super().__init__(message)
        self.document = {"error": f"{parameter}: {message}", "parameter": parameter, "allowed": allowed}


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """One query parameter. ``parse`` converts its text or raises ValueError with the reason; ``schema`` is its JSON
    Schema. A missing parameter has the value ``default``, unless it is ``required``.
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
    """A parameter whose value is a member of an enumeration; required if it has no default."""

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
    """A parameter from ``low`` to ``high``, both included and neither negative."""
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Parameter(name, help, schema, within(low, high), default)


def within(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from ``low`` to ``high``, which raises ValueError for any other text."""

    def parse(text: str) -> int:
        digits = text.lstrip("0") or "0"
        # A number with more digits is out of range and is not converted.
        known = text.isascii() and text.isdigit() and len(digits) <= len(str(high))
        if not (known and low <= int(digits) <= high):
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(digits)

    return parse


def query_of(request: HttpRequest) -> QueryDict:
    """``request.GET``, from a cache of parsed queries."""
    return _query(request.META.get("QUERY_STRING", ""))


@lru_cache(QUERIES_REMEMBERED)
def _query(text: str) -> QueryDict:
    # WSGI passes bytes as Latin-1.
    return QueryDict(text.encode("latin-1"))


def _either(allowed: list[str] | None) -> str:
    return f"; allowed: {', '.join(allowed)}" if allowed else ""
