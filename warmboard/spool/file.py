"""One spool's file, open and locked: values are appended at its end, and read and marked as sent from its start.

It survives the program, however that ends. It is not synced to the disk: if the machine crashes, the last seconds may
be missing.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from warmboard.errors import SpoolError, SpoolLockedError
from warmboard.spool import records
from warmboard.spool.records import Contents, Record
from warmboard.tracking.values import Batch


class SpoolFile:
    """Keeps its `Contents` up to date. Methods raise OSError, after which nothing that they wrote counts."""

    @classmethod
    def create(cls, path: Path, contents: Contents) -> Self:
        """Create a file for this run, without values. It is named ``path`` once it is locked and has a first line."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.new")
        handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file = cls(handle, path, contents)
            contents.end = 0
            file._write(records.head(contents.run))
            file._write_state()
            hidden.rename(path)
        except BaseException:
            os.close(handle)
            hidden.unlink(missing_ok=True)
            raise
        return file

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing file. Raises SpoolError; SpoolLockedError if another process has locked it."""
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError as error:
            raise SpoolError(f"{path} can't be read: {error.strerror}") from error
        try:
            _lock(handle, path)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return cls(handle, path, records.read(file, path))
        except BaseException:
            os.close(handle)
            raise

    def __init__(self, handle: int, path: Path, contents: Contents) -> None:
        self.contents = contents
        self._handle = handle
        self._path = path
        # There may be half a line after the end.
        self._torn = True
        _open_files.add(self)

    def append(self, some: Collection[Record]) -> None:
        """Append all of these records, or none."""
        self._write(b"".join(record.line for record in some))
        self.contents.values += sum(record.values for record in some)

    def note(self, line: bytes) -> None:
        """Append a line without values."""
        self._write(line)

    def next(self) -> tuple[Batch, int]:
        """Return the batch to send next, and the offset of its end."""
        start = self.contents.sent_to
        with os.fdopen(self._handle, "rb", closefd=False) as file:
            file.seek(start)
            batch, _, size = records.batch_of(_lines(file, self.contents.end - start))
        return batch, start + size

    def sent(self, to: int, values: int) -> None:
        """Mark what starts before ``to`` as sent. If that is all, the file is truncated."""
        contents = self.contents
        contents.sent_to = to
        contents.sent_values += values
        if contents.waiting or contents.ended:
            self._write(records.sent(to, contents.sent_values))
            return
        contents.end = contents.sent_to = contents.head_end
        contents.values = contents.sent_values = 0
        self._torn = True
        self._write_state()

    @property
    def is_there(self) -> bool:
        """False if the file was deleted."""
        return os.fstat(self._handle).st_nlink > 0

    def remove(self) -> None:
        # The file is still locked, so no other process has opened it.
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def forget(self) -> None:
        """In a forked process, close the file: the lock is the parent's, and a child must not keep it."""
        with suppress(OSError):
            self.close()

    def _write_state(self) -> None:
        """Write what truncating, or creating the file late, would otherwise lose."""
        contents = self.contents
        lines = b""
        if contents.experiment_id and contents.run_id:
            lines += records.created(contents.experiment_id, contents.run_id)
        if contents.last_time is not None:
            lines += records.logged(contents.epochs, contents.last_time)
        if contents.ended:
            lines += records.ended(contents.ended)
        self._write(lines)

    def _write(self, data: bytes) -> None:
        if self._torn:
            os.ftruncate(self._handle, self.contents.end)
        self._torn = True
        at, rest = self.contents.end, memoryview(data)
        while rest:
            written = os.pwrite(self._handle, rest, at)
            at, rest = at + written, rest[written:]
        self._torn = False
        self.contents.end = at


def _lines(file: Iterator[bytes], size: int) -> Iterator[bytes]:
    for line in file:
        size -= len(line)
        if size < 0:
            return
        yield line


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.path.samestat(os.fstat(handle), path.stat())
    except BlockingIOError:
        raise SpoolLockedError(f"{path}: its training still runs, or another flush is sending it.") from None
    except FileNotFoundError:
        same = False
    except OSError as error:
        raise SpoolError(f"{path} can't be locked: {error.strerror}") from error
    if not same:
        raise SpoolLockedError(f"{path}: another flush has just sent it.")


_open_files: weakref.WeakSet[SpoolFile] = weakref.WeakSet()


def _let_go() -> None:
    for file in list(_open_files):
        file.forget()


os.register_at_fork(after_in_child=_let_go)
