"""What both databases offer: a run's rows, as of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from workers.fetch.budget import Budget
from workers.history.points import Indices, Values

POINT_BYTES = 24
"""A step, a timestamp and a value."""
Column = tuple[str, Indices, Indices, Values]
"""A metric's key, and its steps, timestamps and values in any order. A value that is not a number is NaN."""


class UnreadableError(Exception):
    """The database can't be read, or its schema is not known. The message says what to do."""


class Snapshot(Protocol):
    """One run, as of one moment. Every method raises what its driver raises."""

    def revisions(self) -> list[str]:
        """The revisions of the database's schema: one, if its migrations have ended."""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, in which ``:run_id`` is the run's ID."""

    def all_rows(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """The rows of each statement. They are sent together: the database may be far away."""

    def may_write(self) -> bool:
        """Whether the user has the right to write a run's points, beside this connection."""

    def points(self, from_step: int | None, alive: Callable[[], None]) -> Iterator[Column]:
        """The points, metric by metric, from a step on. The last that is read: the moment may end with it. ``alive`` is
        called now and then.
        """


class Database(Protocol):
    errors: tuple[type[Exception], ...]
    """What its driver raises."""

    def snapshot(self, run_id: str, budget: Budget) -> AbstractContextManager[Snapshot]:
        """Begin to read a run, within the budget. Nothing can be written."""

    def close(self) -> None:
        """End what is kept open between two runs."""
