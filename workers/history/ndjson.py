"""Read and write a run as newline-delimited JSON: the bulk route's response, and a run's source in the store.

warmboard/contract/examples/run-history.ndjson has every kind of line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import orjson
import zstandard

from workers.history.bounded import TooLargeError, check_length, loads
from workers.history.fetched import FetchedRun, end_of, moment
from workers.history.points import Indices, Point, Points, Values, number

VERSION = 1
LINE_POINTS = 100_000
CHUNK = 2**18
ZSTD_LEVEL = 1
NON_FINITE = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class NotWholeError(ValueError):
    """The lines are not a complete run: they were cut off, or are something else."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Reading:
    """A run and the latest point of each of its metrics, even of those whose history was not requested."""

    run: FetchedRun
    latest: Mapping[str, Point]


def read_run(source: bytes, *, in_part: bool = False) -> FetchedRun:
    """Read a run that ``write_run`` has written. Raises NotWholeError if it is cut off or something else, or, unless
    ``in_part``, if an older version left points out, or metrics were still to be fetched.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(source) as stream:
            return read_lines(split_lines(stream), in_part=in_part).run
    except zstandard.ZstdError as error:
        raise NotWholeError(f"not a run's history: {error}") from error


def write_run(run: FetchedRun) -> bytes:
    """Write a run as zstd-compressed lines: its source in the store."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    return b"".join([*map(compressor.compress, _lines(run)), compressor.flush()])


def split_lines(stream: Readable) -> Iterator[bytes]:
    """Split a stream into lines, with at most one chunk and one line in memory. Raises TooLargeError for a line that is
    too long to be parsed.
    """
    rest: list[bytes] = []
    length = 0
    while piece := stream.read(CHUNK):
        *whole, last = piece.split(b"\n")
        for line in whole:
            yield b"".join([*rest, line])
            rest.clear()
            length = 0
        rest.append(last)
        length += len(last)
        check_length(length)
    yield b"".join(rest)


def read_lines(lines: Iterable[bytes], alive: Callable[[], None] = lambda: None, *, in_part: bool = False) -> Reading:
    """Read a run from lines, calling ``alive`` after each. Raises NotWholeError if the run is cut off or not a run, or,
    unless ``in_part``, if it lacks points.
    """
    try:
        return _read(map(loads, filter(None, lines)), alive, in_part)
    except (NotWholeError, TooLargeError):
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise NotWholeError(f"the history was cut off, or is not one: {error!r}") from error


def _read(documents: Iterator[dict[str, Any]], alive: Callable[[], None], in_part: bool) -> Reading:
    head = next(documents, {})
    if head["version"] != VERSION:
        raise NotWholeError(f"a history of version {head['version']}; expected version {VERSION}")
    pending = head.get("pending", 0)
    if pending and not in_part:
        raise NotWholeError(f"{pending:,} of its metrics were still to be fetched")
    columns = _Columns(in_part)
    for document in documents:
        columns.take(document)
        alive()
    info = head["run"]
    run = FetchedRun(
        run_id=info["run_id"],
        experiment_name=info["experiment_name"],
        name=info["run_name"] or "",
        status=info["status"],
        start_time=moment(info["start_time"]),
        end_time=end_of(info),
        params=head["params"],
        tags=head["tags"],
        points=columns.points(),
        # An older version wrote none of these.
        experiment_id=str(info.get("experiment_id") or ""),
        user=info.get("user_id") or "",
        datasets=head.get("datasets", []),
        models=head.get("models", []),
        pending=pending,
    )
    return Reading(run, {key: (step, time, float(value)) for key, (step, time, value) in head["latest"].items()})


class _Columns:
    """Collects axes and values, line by line."""

    def __init__(self, in_part: bool) -> None:
        self._in_part = in_part
        self._axes: dict[int, tuple[Indices, Indices]] = {}
        self._parts: dict[str, list[tuple[Indices, Values, Indices]]] = {}
        self._count = 0
        self._end: dict[str, Any] = {}

    def take(self, document: dict[str, Any]) -> None:
        if "values" in document:
            self._take_values(document)
        elif "steps" in document:
            steps, timestamps = (np.array(document[name], dtype=np.int64) for name in ("steps", "timestamps"))
            self._axes[document["axis"]] = steps, timestamps
        elif "end" in document:
            self._end = document

    def _take_values(self, document: dict[str, Any]) -> None:
        key, values = document["key"], np.array(document["values"], dtype=np.float64)
        if document.get("repeated") and not self._in_part:
            raise NotWholeError(f"it lacks points of metric {key!r}: an older version kept one per step")
        steps, timestamps = self._axes[document["axis"]]
        if len(values) != len(steps):
            raise NotWholeError(f"metric {key!r} has {len(values)} values at {len(steps)} steps")
        for name, positions in document.get("non_finite", {}).items():
            values[positions] = NON_FINITE[name]
        self._parts.setdefault(key, []).append((steps, values, timestamps))
        self._count += len(values)

    def points(self) -> dict[str, Points]:
        """The points by key. Raises NotWholeError if the end line is missing or its counts differ."""
        if (self._end.get("metrics"), self._end.get("points")) != (len(self._parts), self._count):
            raise NotWholeError("the history was cut off")
        return {key: self._points_of(key) for key in self._parts}

    def _points_of(self, key: str) -> Points:
        parts = self._parts[key]
        return Points.of(*(parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))))


def _lines(run: FetchedRun) -> Iterator[bytes]:
    yield _line(_head(run))
    axes: dict[bytes, int] = {}
    for key, points in run.points.items():
        for begin in range(0, len(points), LINE_POINTS):
            yield from _metric_lines(key, points, slice(begin, begin + LINE_POINTS), axes)
    lengths = [len(points) for points in run.points.values()]
    yield _line({"end": True, "metrics": len(lengths), "points": sum(lengths)})


def _metric_lines(key: str, points: Points, part: slice, axes: dict[bytes, int]) -> Iterator[bytes]:
    steps, timestamps, values = points.steps[part], points.timestamps[part], points.values[part]
    digest = hashlib.blake2b(steps.tobytes() + timestamps.tobytes(), digest_size=16).digest()
    if digest not in axes:
        axes[digest] = len(axes)
        yield _line({"axis": axes[digest], "steps": steps, "timestamps": timestamps})
    document = {"key": key, "axis": axes[digest], "values": values}
    if not np.isfinite(values).all():
        document["non_finite"] = _non_finite(values)
    yield _line(document)


def _head(run: FetchedRun) -> dict[str, Any]:
    info = {
        "run_id": run.run_id,
        "run_name": run.name,
        "experiment_name": run.experiment_name,
        "status": run.status,
        "start_time": _milliseconds(run.start_time),
        "end_time": _milliseconds(run.end_time),
        "experiment_id": run.experiment_id,
        "user_id": run.user,
    }
    latest = {key: _strict(points.last()) for key, points in run.points.items()}
    return {
        "version": VERSION,
        "run": info,
        "params": dict(run.params),
        "tags": dict(run.tags),
        "datasets": list(run.datasets),
        "models": list(run.models),
        "latest": latest,
        **({"pending": run.pending} if run.pending else {}),
    }


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round((time - EPOCH) / MILLISECOND)


def _strict(point: Point) -> list[int | float | str]:
    step, timestamp, value = point
    return [step, timestamp, number(value)]


def _non_finite(values: Values) -> dict[str, Indices]:
    kinds = {"NaN": np.isnan(values), "Infinity": values == np.inf, "-Infinity": values == -np.inf}
    return {name: np.flatnonzero(found) for name, found in kinds.items() if found.any()}


def _line(document: dict[str, Any]) -> bytes:
    # orjson writes NaN and ±∞ as null.
    return orjson.dumps(document, option=_OPTIONS)
