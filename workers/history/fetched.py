"""A fetched run: the tracking server's data, with all points of each metric. Pure; no input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from warmboard.contract.about import Dataset, LoggedModel
from workers.history.drawing import Curve, drawn
from workers.history.points import Points

LONGEST_NAME = 500
"""In characters: the limit of the store's columns."""


@dataclass(frozen=True)
class FetchedRun:
    """One run as the tracking server has it. Times are timezone-aware, in UTC.

    ``experiment_id`` is empty, and ``datasets`` and ``models`` too, if an older version has fetched the run.
    """

    run_id: str
    experiment_name: str
    name: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    params: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    points: Mapping[str, Points] = field(repr=False)
    experiment_id: str = ""
    user: str = ""
    datasets: Sequence[Dataset] = field(repr=False, default_factory=list)
    models: Sequence[LoggedModel] = field(repr=False, default_factory=list)

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """Each metric as it is drawn."""
        return {key: drawn(points) for key, points in self.points.items() if len(points)}

    def printable(self) -> FetchedRun:
        """A copy that every database can store: without NUL characters, which PostgreSQL rejects, and names cut off."""
        return replace(
            self,
            experiment_name=_printable(self.experiment_name)[:LONGEST_NAME],
            name=_printable(self.name)[:LONGEST_NAME],
            params={_printable(key): _printable(value) for key, value in self.params.items()},
            tags={_printable(key): _printable(value) for key, value in self.tags.items()},
            points={_printable(key): points for key, points in self.points.items()},
            user=_printable(self.user),
        )


def _printable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def moment(milliseconds: Any) -> datetime | None:
    """Convert MLflow's milliseconds. None without a time, or beyond the calendar: a client used another unit."""
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
