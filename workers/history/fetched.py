"""A fetched run: the tracking server's data, with all points of each metric. Pure; no input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from warmboard.contract.about import Dataset, LoggedModel
from warmboard.contract.info import ENDED
from workers.history.drawing import Curve, drawn, shared
from workers.history.points import Points

LONGEST_NAME = 500
"""In characters: the limit of the store's columns."""


@dataclass(frozen=True)
class FetchedRun:
    """One run as the tracking server has it. Times are timezone-aware, in UTC.

    ``experiment_id`` is empty, and ``datasets`` and ``models`` too, if an older version has fetched the run.
    ``pending`` is how many of its metrics are still to be fetched: 0 for a whole run.
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
    pending: int = 0

    @cached_property
    def curves(self) -> Mapping[str, Curve]:
        """Each metric as it is drawn. Metrics that were logged together share their steps and their timestamps."""
        return shared({key: drawn(points) for key, points in self.points.items() if len(points)})

    @property
    def newest_at(self) -> datetime | None:
        """The time of the newest value. None without one, or if it was before the start: then the clock was wrong."""
        # Metrics that were logged together share an array.
        clocks = {id(points.timestamps): points.timestamps for points in self.points.values() if len(points)}
        stamps = (int(timestamps.max()) for timestamps in clocks.values())
        newest = moment(max(stamps, default=0))
        return newest if newest and newest >= (self.start_time or newest) else None

    def printable(self) -> FetchedRun:
        """A copy that every database can store: without NUL characters, which PostgreSQL rejects, and names cut off. It
        is in the order of names: MLflow has none, and the same run must give the same bytes.
        """
        return replace(
            self,
            experiment_name=printable(self.experiment_name)[:LONGEST_NAME],
            name=printable(self.name)[:LONGEST_NAME],
            params={printable(key): printable(value) for key, value in sorted(self.params.items())},
            tags={printable(key): printable(value) for key, value in sorted(self.tags.items())},
            points={printable(key): self.points[key] for key in sorted(self.points)},
            user=printable(self.user),
        )


def printable(text: str) -> str:
    """The text without NUL characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def described(run: Mapping[str, Any], experiment_name: str) -> FetchedRun:
    """A run as MLflow's answers describe it, without its points. A malformed answer raises what it causes."""
    info, data = run["info"], run.get("data", {})
    tags = pairs(data.get("tags", []))
    return FetchedRun(
        run_id=info["run_id"],
        experiment_name=experiment_name,
        name=run_name(info, tags),
        status=info["status"],
        start_time=moment(info.get("start_time")),
        end_time=end_of(info),
        params=pairs(data.get("params", [])),
        tags=tags,
        points={},
    )


def run_name(info: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """The name of a run in MLflow's answer; servers before 2.0 keep it as a tag."""
    return str(info.get("run_name") or tags.get("mlflow.runName", ""))


def end_of(info: Mapping[str, Any]) -> datetime | None:
    """When the run ended. MLflow keeps the old end of a run that was reopened."""
    return moment(info.get("end_time")) if info["status"] in ENDED else None


def pairs(items: list[dict[str, str]]) -> dict[str, str]:
    """Parameters or tags of MLflow's answer by key."""
    return {item["key"]: item.get("value") or "" for item in items}


def moment(milliseconds: Any) -> datetime | None:
    """Convert MLflow's milliseconds. None without a time, or beyond the calendar: a client used another unit."""
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
