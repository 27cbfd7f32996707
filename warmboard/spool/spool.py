"""A run's values that are not in MLflow yet, in a file on this machine. `warmboard.spool.records` is its format."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from warmboard.spool import records
from warmboard.spool.file import SpoolFile
from warmboard.spool.records import Contents, Ended, Record, SpooledRun
from warmboard.tracking.values import Batch

log = logging.getLogger(__name__)

SUFFIX = ".ndjson"
REJECTED = ".refused.ndjson"
MEMORY_VALUES = 100_000
DISK_AGAIN_SECONDS = 5.0
HUNG_DISK_SECONDS = 1.0


@dataclass
class _Out:
    """What `Spool.next` returned: the file up to the byte ``to``, or this many records in memory."""

    values: int
    to: int = 0
    records: int = 0


class Spool:
    """One run's values in the order they were logged: appended at one end, sent from the other.

    One thread appends and one sends; all methods but `append` and `next` may be called from any thread. The file is
    locked while it is open. Values that can't be written to disk are kept in memory and retried. Of more than
    ``MEMORY_VALUES`` values in memory, the oldest are lost: they are counted in ``lost`` and logged. No method raises
    for a disk error, and the methods for a run's end (`end`, `settle`, `close`) wait up to a second for a disk that
    hangs.
    """

    @classmethod
    def create(cls, folder: Path, run: SpooledRun) -> Self:
        """Create ``folder/{creation}.ndjson``. If the folder can't be written, the spool is kept in memory."""
        size = len(records.head(run))
        contents = Contents(run=run, head_end=size, end=size, sent_to=size)
        spool = cls(folder / f"{run.creation}{SUFFIX}", contents, None)
        with spool._lock:
            spool._to_disk()
        return spool

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing spool. Raises SpoolError; SpoolLockedError while its training or another flush uses it."""
        file = SpoolFile.open(path)
        return cls(path, file.contents, file)

    def __init__(self, path: Path, contents: Contents, file: SpoolFile | None) -> None:
        self.path = path
        self.lost = 0
        self._contents = contents
        self._file = file
        self._lock = threading.Lock()
        self._memory: deque[Record] = deque()
        self._memory_values = 0
        self._out: _Out | None = None
        self._closed = False
        self._warned = False
        self._hung = False
        self._disk_again: float | None = None

    @property
    def run(self) -> SpooledRun:
        return self._contents.run

    @property
    def run_id(self) -> str | None:
        """None until MLflow has the run, as far as the spool knows."""
        return self._contents.run_id

    @property
    def experiment_id(self) -> str | None:
        return self._contents.experiment_id

    @property
    def ended(self) -> Ended | None:
        """None while the run is in progress, or if it was killed."""
        return self._contents.ended

    @property
    def epochs(self) -> int:
        """How many epochs were logged."""
        return self._contents.epochs

    @property
    def last_time(self) -> int | None:
        """When the latest value was logged, in milliseconds since 1970."""
        return self._contents.last_time

    @property
    def waiting(self) -> int:
        """How many values are not sent yet."""
        return self._contents.waiting + self._memory_values

    def append(self, some: Sequence[Record]) -> None:
        """Add these records at the end."""
        with self._lock:
            for record in some:
                self._contents.saw(record)
            self._memory.extend(some)
            self._memory_values += sum(record.values for record in some)
            self._to_disk()
            self._keep_bound()

    def next(self) -> Batch | None:
        """Return the oldest values, as many as fit into one call, until `sent` marks them; None if there are none."""
        with self._lock:
            if self._contents.waiting and self._file:
                batch, to = self._file.next()
                self._out = _Out(len(batch), to=to)
            else:
                batch, count, _ = records.batch_of(record.line for record in self._memory)
                self._out = _Out(len(batch), records=count)
            return batch or None

    def sent(self) -> None:
        """Mark the values of the last `next` as sent."""
        with self._lock:
            out, self._out = self._out, None
            if out is None or self._closed:
                return
            if out.records:
                for _ in range(out.records):
                    self._memory_values -= self._memory.popleft().values
            elif self._file:
                self._try(lambda file: file.sent(out.to, out.values))

    def keep_rejected(self, rejected: Sequence[tuple[Batch, str]]) -> None:
        """Write the values that MLflow rejected for good, with the reasons, to a file beside the spool."""
        if not rejected:
            return
        path = self.path.with_name(f"{self.run.creation}{REJECTED}")
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                file.write(b"".join(records.rejected(batch, reason) for batch, reason in rejected))
            kept = f"they are kept in {path}"
        except OSError as error:
            kept = f"they are lost, because {path} can't be written: {error.strerror}"
        values, (_, reason) = sum(len(batch) for batch, _ in rejected), rejected[0]
        log.error("MLflow rejected %d values for good; %s. The first reason: %s", values, kept, reason)

    def created(self, experiment_id: str, run_id: str) -> None:
        """Note the IDs of the run in MLflow."""
        with self._lock:
            self._contents.experiment_id, self._contents.run_id = experiment_id, run_id
            self._try(lambda file: file.note(records.created(experiment_id, run_id)))

    def end(self, ended: Ended) -> None:
        """Note how the run ended."""
        self._contents.ended = ended
        with self._unless_hung() as held:
            if not held:
                return
            self._try(lambda file: file.note(records.ended(ended)))

    def settle(self) -> None:
        """Write to the disk for the last time. Values that can't be written are lost."""
        with self._unless_hung() as held:
            if not held or self._closed:
                return
            self._disk_again = None
            self._to_disk()
            lost = self._memory_values
            self._memory.clear()
            self._memory_values = 0
            if self._out and self._out.records:
                self._out = None
            if self._file and not self._file.is_there:
                lost += self._contents.waiting
                self._contents.sent_values = self._contents.values
            self._lose(lost)
            if lost:
                log.error("%d values are LOST in total.", self.lost)

    def close(self, *, delivered: bool) -> None:
        """Unlock the file. If ``delivered`` (MLflow has the run's end) and no value is left, the file is deleted."""
        self.settle()
        with self._unless_hung() as held:
            if not held:
                return
            if delivered and not self.waiting:
                self._try(SpoolFile.remove)
            self._try(SpoolFile.close)
            self._closed = True

    @contextmanager
    def _unless_hung(self) -> Iterator[bool]:
        """Take the lock with a timeout, and yield True if it is held: a thread that hangs in a write never frees it."""
        held = self._lock.acquire(timeout=0 if self._hung else HUNG_DISK_SECONDS)
        if not held and not self._hung:
            self._hung = True
            log.error("The disk of SPOOL_DIR hangs: the run's end may be missing in %s.", self.path)
        try:
            yield held
        finally:
            if held:
                self._lock.release()

    def _to_disk(self) -> None:
        """Move the values in memory to the file, in one step."""
        if self._closed or (self._disk_again is not None and time.monotonic() < self._disk_again):
            return
        try:
            if self._file is None:
                self._file = SpoolFile.create(self.path, self._contents)
            start = self._contents.end
            if self._memory:
                self._file.append(self._memory)
        except OSError as error:
            self._disk_failed(error)
            return
        self._disk_again = None
        if self._out and self._out.records:
            taken = islice(self._memory, self._out.records)
            self._out = _Out(self._out.values, to=start + sum(len(record.line) for record in taken))
        self._memory.clear()
        self._memory_values = 0

    def _try(self, action: Callable[[SpoolFile], None]) -> None:
        if self._closed or self._file is None:
            return
        try:
            action(self._file)
        except OSError as error:
            self._disk_failed(error)

    def _disk_failed(self, error: OSError) -> None:
        if not self._warned:
            log.warning(
                "SPOOL_DIR: %s can't be written (%s). Values that are not sent are kept in memory, up to %d of them,"
                " and are lost when this program ends. Set SPOOL_DIR to a folder with free space.",
                self.path.parent,
                error.strerror or error,
                MEMORY_VALUES,
            )
        self._warned = True
        self._disk_again = time.monotonic() + DISK_AGAIN_SECONDS

    def _keep_bound(self) -> None:
        # The values that are being sent must stay.
        first = self._out.records if self._out else 0
        lost = 0
        while self._memory_values > MEMORY_VALUES and len(self._memory) > first:
            lost += self._memory[first].values
            self._memory_values -= self._memory[first].values
            del self._memory[first]
        self._lose(lost)

    def _lose(self, values: int) -> None:
        if values and not self.lost:
            log.error("Values are LOST: neither MLflow nor the folder %s (SPOOL_DIR) accepts them.", self.path.parent)
        self.lost += values
