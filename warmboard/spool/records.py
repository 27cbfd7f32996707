"""The spool's format: one run's unsent values in a file, one JSON object a line.

========================================  ==================================================================
``{"warmboard_spool": 1, …}``             the first line: the run, as a `SpooledRun`
``{"created": {…}}``                      MLflow has the run, as this ``run_id`` in this ``experiment_id``
``{"time": …, "step": …, "metrics": {}}``  values of one step; times are milliseconds since 1970
``{"time": …, "params": {}}``             parameters
``{"sent": {"to": …, "values": …}}``      the values that start before the byte ``to`` are sent: this many in all
``{"logged": {"epochs": …, "time": …}}``  the progress of the values that were sent and truncated
``{"ended": {…}}``                        the run has ended, as an `Ended`
========================================  ==================================================================

A line counts once it ends in a line feed. An incomplete last line of a killed program is ignored.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from warmboard.contract.cloudevents import LARGEST, format_time
from warmboard.contract.events import RunStatus
from warmboard.errors import SpoolError
from warmboard.tracking.values import (
    MAX_ENTITIES_PER_BATCH,
    MAX_METRICS_PER_BATCH,
    MAX_PARAMS_PER_BATCH,
    Batch,
    Metric,
    number,
    param,
)

log = logging.getLogger(__name__)

VERSION = 1
LONGEST_HEAD = 1_000_000
CREATION = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class SpooledRun:
    """Everything needed to create (or find), fill and end a run without the process that started it.

    ``creation`` is ``uuid4().hex``: the value of the run's tag ``warmboard.creation``, and the file's name.
    ``tracking_uri`` contains no credentials. ``start_time`` is aware.
    """

    creation: str
    tracking_uri: str
    tracking_server: str
    experiment_name: str
    run_name: str
    start_time: datetime
    tags: Mapping[str, str]
    quick_test_id: int | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended. ``end_time`` is aware; ``epochs`` is the number logged; the URIs are of the run's files."""

    status: RunStatus
    end_time: datetime
    epochs: int
    model_uri: str | None = None
    index_uri: str | None = None


@dataclass(frozen=True)
class Record:
    """One line of values, which are sent together. ``epochs`` is the run's progress that its step implies."""

    line: bytes
    values: int
    time: int
    epochs: int = 0


@dataclass(kw_only=True)
class Contents:
    """The state of a spool's file. ``values`` and ``sent_values`` count values in the file; offsets are in bytes."""

    run: SpooledRun
    head_end: int
    end: int
    sent_to: int
    run_id: str | None = None
    experiment_id: str | None = None
    ended: Ended | None = None
    values: int = 0
    sent_values: int = 0
    epochs: int = 0
    last_time: int | None = None
    unreadable: int = 0

    @property
    def waiting(self) -> int:
        return self.values - self.sent_values

    def saw(self, record: Record) -> None:
        """Remember the run's progress at the time of this record."""
        self.last_time = max(self.last_time or 0, record.time)
        self.epochs = max(self.epochs, record.epochs)


def encode(document: Mapping[str, Any]) -> bytes:
    # Half of a surrogate pair, from a file name for example, must not fail the run.
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def head(run: SpooledRun) -> bytes:
    document = {item.name: getattr(run, item.name) for item in fields(run)}
    start = run.start_time.astimezone(UTC).isoformat()
    return encode({"warmboard_spool": VERSION, **document, "start_time": start, "tags": dict(run.tags)})


def created(experiment_id: str, run_id: str) -> bytes:
    return encode({"created": {"experiment_id": experiment_id, "run_id": run_id}})


def ended(end: Ended) -> bytes:
    return encode({"ended": {**asdict(end), "status": end.status.value, "end_time": format_time(end.end_time)}})


def sent(to: int, values: int) -> bytes:
    return encode({"sent": {"to": to, "values": values}})


def logged(epochs: int, time: int) -> bytes:
    return encode({"logged": {"epochs": epochs, "time": time}})


def metrics(values: Mapping[str, float], step: int, time: int) -> Iterator[Record]:
    """Return the values of one step, in lines that each fit into one call."""
    for some in _chunks({str(key): number(value) for key, value in values.items()}, MAX_METRICS_PER_BATCH):
        yield Record(encode({"time": time, "step": step, "metrics": some}), len(some), time, epochs_at(step))


def epochs_at(step: int) -> int:
    """Return the number of epochs that a run has completed that logs this step, within the bounds of events."""
    return max(0, min(step + 1, LARGEST))


def params(values: Mapping[str, object], time: int) -> Iterator[Record]:
    for some in _chunks({str(key): param(value) for key, value in values.items()}, MAX_PARAMS_PER_BATCH):
        yield Record(encode({"time": time, "params": some}), len(some), time)


def rejected(batch: Batch, reason: str) -> bytes:
    """Return lines for people: the values that MLflow rejected, with the reason."""
    lines: list[dict[str, object]] = [
        {"key": m.key, "value": number(m.value), "step": m.step, "time": m.timestamp} for m in batch.metrics
    ]
    lines += [{"param": key, "value": value} for key, value in batch.params.items()]
    return b"".join(encode({**line, "reason": reason}) for line in lines)


def batch_of(lines: Iterable[bytes]) -> tuple[Batch, int, int]:
    """Return the values of as many of the first lines as fit into one call, with the numbers of lines and bytes."""
    merged = _Merged()
    count = size = 0
    for line in lines:
        batch = _values(_object(line) or {})
        if batch is not None and not merged.take(batch):
            break
        count += 1
        size += len(line)
    return Batch(merged.metrics, merged.params), count, size


class _Merged:
    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.params: dict[str, object] = {}

    def take(self, more: Batch) -> bool:
        """Add these values if they fit in. Return False if they don't."""
        if self._full(more):
            return False
        self.metrics += more.metrics
        self.params.update(more.params)
        return True

    def _full(self, more: Batch) -> bool:
        params = len(self.params) + len(more.params)
        count = len(self.metrics) + len(more.metrics) + params
        too_many = count > MAX_ENTITIES_PER_BATCH or params > MAX_PARAMS_PER_BATCH
        # A second value of a parameter is sent apart: MLflow decides which of the two it keeps.
        return (too_many or not self.params.keys().isdisjoint(more.params)) and bool(self.metrics or self.params)


def _values(document: Mapping[str, Any]) -> Batch | None:
    """Return the values of a line; None if it has no valid ones."""
    try:
        if "metrics" in document:
            time, step = int(document["time"]), int(document["step"])
            return Batch([Metric(key, float(value), step, time) for key, value in document["metrics"].items()])
        return Batch(params={key: str(value) for key, value in document["params"].items()})
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def read(file: BinaryIO, path: Path | str) -> Contents:
    """Read a file from its start; ``path`` is for messages. Raises SpoolError."""
    contents = _begin(file, path)
    for line in file:
        if not line.endswith(b"\n"):
            break
        document = _object(line)
        if document is None or not _note(contents, document):
            contents.unreadable += 1
        contents.end += len(line)
    if contents.unreadable:
        log.warning("%s: %d lines can't be read and are skipped.", path, contents.unreadable)
    return contents


def _begin(file: BinaryIO, path: Path | str) -> Contents:
    line = file.readline(LONGEST_HEAD)
    document = _object(line) if line.endswith(b"\n") else None
    version = (document or {}).get("warmboard_spool")
    if document is None or not isinstance(version, int):
        raise SpoolError(f"{path} is not a spool, by its first line. The file is not changed.")
    if version > VERSION:
        raise SpoolError(
            f"{path} was written by a newer version of warmboard (format {version}; this one reads {VERSION}): flush it"
            " with that version. The file is not changed."
        )
    try:
        known = {item.name: document[item.name] for item in fields(SpooledRun)}
        run = SpooledRun(**{**known, "start_time": _time(known["start_time"])})
        # It becomes a file name, and part of a query to MLflow.
        if not CREATION.fullmatch(run.creation):
            raise ValueError(f"creation is {run.creation!r:.80}, not 32 hexadecimal digits")
    except (KeyError, TypeError, ValueError) as error:
        raise SpoolError(f"{path}: its first line is invalid: {error!r}. The file is not changed.") from error
    return Contents(run=run, head_end=len(line), end=len(line), sent_to=len(line))


def _note(contents: Contents, document: Mapping[str, Any]) -> bool:
    """Apply one line. Return False if it is invalid. Members that a newer version may have added are ignored."""
    try:
        for kind, take in _KINDS.items():
            if kind in document:
                take(contents, document)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def _note_values(contents: Contents, document: Mapping[str, Any]) -> None:
    values = _values(document)
    if values is None:
        raise ValueError("no values")
    contents.saw(Record(b"", len(values), int(document["time"]), epochs_at(int(document.get("step", -1)))))
    contents.values += len(values)


def _note_created(contents: Contents, document: Mapping[str, Any]) -> None:
    contents.experiment_id = str(document["created"]["experiment_id"])
    contents.run_id = str(document["created"]["run_id"])


def _note_sent(contents: Contents, document: Mapping[str, Any]) -> None:
    to, values = int(document["sent"]["to"]), int(document["sent"]["values"])
    if not contents.sent_to <= to <= contents.end or not contents.sent_values <= values <= contents.values:
        raise ValueError("marks values that are not in the file")
    contents.sent_to, contents.sent_values = to, values


def _note_logged(contents: Contents, document: Mapping[str, Any]) -> None:
    contents.saw(Record(b"", 0, int(document["logged"]["time"]), int(document["logged"]["epochs"])))


def _note_ended(contents: Contents, document: Mapping[str, Any]) -> None:
    end = document["ended"]
    contents.ended = Ended(
        status=RunStatus(end["status"]),
        end_time=_time(end["end_time"]),
        epochs=int(end["epochs"]),
        model_uri=end.get("model_uri"),
        index_uri=end.get("index_uri"),
    )


_KINDS = {
    "metrics": _note_values,
    "params": _note_values,
    "created": _note_created,
    "sent": _note_sent,
    "logged": _note_logged,
    "ended": _note_ended,
}


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _chunks(items: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    rest = iter(items.items())
    while some := dict(islice(rest, size)):
        yield some
