"""A view of the list, as its query string has it: query, order, columns, groups and page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from django.http import QueryDict

from warmboard.contract.events import RUN_ID
from webapp.api.parameters import within
from webapp.listing.columns import Key
from webapp.listing.query import Condition, Query, QueryError, parse
from webapp.listing.sorting import Cursor, CursorError, Sort, SortError

T = TypeVar("T")
DEFAULT_LIMIT, MOST, LIMITS = 50, 200, (25, 50, 100, 200)
MOST_COLUMNS, MOST_OPENED = 20, 20
GROUPS = ("status", "experiment")


class ViewError(ValueError):
    """A parameter of the query string is invalid; ``cause`` is the error of its parser, if it has one."""

    def __init__(self, parameter: str, message: str, cause: Exception | None = None) -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter, self.cause = parameter, cause


@dataclass(frozen=True)
class View:
    """A view of the list. ``columns`` is None if the query string has none and the page chooses. ``group`` is empty,
    ``status``, ``experiment``, ``param.KEY`` or ``metric.KEY``. ``opened`` are the parents whose nested runs are
    unfolded.
    """

    query: Query = field(default_factory=Query)
    sort: Sort = field(default_factory=Sort)
    columns: tuple[Key, ...] | None = None
    group: str = ""
    limit: int = DEFAULT_LIMIT
    cursor: Cursor | None = None
    opened: tuple[str, ...] = ()

    @classmethod
    def read(cls, address: QueryDict) -> Self:
        """Parse a query string. Raises ViewError."""
        sort = _read("sort", Sort.parse, address.get("sort") or str(Sort()))
        cursor = address.get("cursor", "")
        return cls(
            query=_read("q", parse, address.get("q", "")),
            sort=sort,
            columns=_read("columns", read_columns, address.getlist("columns")) if "columns" in address else None,
            group=_read("group", _group, address.get("group", "")),
            limit=_read("limit", within(1, MOST), address.get("limit") or str(DEFAULT_LIMIT)),
            cursor=_read("cursor", lambda text: Cursor.parse(text, sort), cursor) if cursor else None,
            opened=_read("open", _opened, address.getlist("open")),
        )

    @property
    def address(self) -> str:
        """The query string with its question mark; empty for the default view."""
        columns = None if self.columns is None else [str(column) for column in self.columns] or [""]
        parts: dict[str, Any] = {
            "q": str(self.query),
            "sort": "" if self.sort == Sort() else str(self.sort),
            "columns": columns,
            "group": self.group,
            "limit": "" if self.limit == DEFAULT_LIMIT else self.limit,
            "cursor": self.cursor.text(self.sort) if self.cursor else "",
            "open": self.opened,
        }
        text = urlencode({name: value for name, value in parts.items() if value}, doseq=True)
        return f"?{text}" if text else ""

    def but(self, **changes: Any) -> View:
        """The first page of this view with these changes, and nothing unfolded."""
        return replace(self, **{"cursor": None, "opened": (), **changes})

    def toggled(self, run_id: str) -> View:
        """This page with the nested runs of a parent unfolded, or folded if they are."""
        others = tuple(opened for opened in self.opened if opened != run_id)
        return replace(self, opened=others if run_id in self.opened else (*others, run_id)[-MOST_OPENED:])

    def with_(self, condition: Condition) -> View:
        return self.but(query=self.query.with_(condition))

    def without(self, condition: Condition) -> View:
        return self.but(query=self.query.without(condition))


def _read(name: str, read: Callable[[Any], T], value: Any) -> T:
    try:
        return read(value)
    except (QueryError, SortError, CursorError) as error:
        raise ViewError(name, str(error), error) from None
    except ValueError as error:
        raise ViewError(name, str(error)) from None


def read_columns(texts: list[str]) -> tuple[Key, ...]:
    """Parse columns. Raises ValueError if there are too many or one is invalid."""
    named = [text for text in texts if text]
    if len(named) > MOST_COLUMNS:
        raise ValueError(f"at most {MOST_COLUMNS} columns")
    return tuple(dict.fromkeys(map(Key.parse, named)))


def _opened(texts: list[str]) -> tuple[str, ...]:
    run_ids = tuple(dict.fromkeys(text for text in texts if text))
    if len(run_ids) > MOST_OPENED:
        raise ValueError(f"at most {MOST_OPENED} runs can be unfolded")
    if not all(map(RUN_ID.fullmatch, run_ids)):
        raise ValueError("invalid run ID")
    return run_ids


def _group(text: str) -> str:
    if not text or text in GROUPS:
        return text
    try:
        return str(Key.parse(text))
    except ValueError:
        known = ", ".join(GROUPS)
        raise ValueError(f"can't group by {text!r}; use {known}, param.NAME or metric.NAME") from None
