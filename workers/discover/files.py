"""Searches the files that trainers left: every ``*/mlflow_info.json`` below OUTPUT_URI, in a folder or a bucket."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from warmboard.contract.cloudevents import LONGEST_ATTRIBUTE
from warmboard.contract.events import SWEEP_SOURCE, RunEvent
from warmboard.contract.info import ENDED, FILE_NAME, RunInfo, RunInfoError
from workers.discover.mlflow import GRACE
from workers.discover.news import NEVER, Fact
from workers.discover.throttle import Throttle
from workers.errors import PermanentError, TransientError
from workers.settings import Settings

LARGEST = 2**16
"""Max bytes of a file; the trainer writes some hundred."""
BATCH = 100
TIMEOUT_SECONDS = 20.0
FAILURES = 10
"""The number of failed reads in a row that ends a look. The next look starts with the other files."""


class UnreadableFileError(Exception):
    """A file has no valid content. It is read again only when it changes."""


@dataclass(frozen=True)
class File:
    """A listed file. ``name`` is its path, or the object's name; ``version`` changes with every write."""

    name: str
    uri: str
    version: str
    written_at: datetime
    size: int


class Place(Protocol):
    """The folder or bucket with the files. Its methods raise TransientError, PermanentError."""

    def files(self) -> list[File]: ...

    def read(self, file: File) -> bytes | None:
        """The file's first LARGEST + 1 bytes, or fewer; None if the file is gone."""


class FilesLook:
    """Reads the files written within ``days``, turn by turn, each version of a file once."""

    def __init__(self, uri: str, files: Place, days: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.place = f"OUTPUT_URI {uri}"
        self.server = None
        self._files = files
        self._days = timedelta(days=days)
        self._throttle = Throttle(clock)
        self._seen: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        """URI → reason, of files that could not be read at the last try: retried in this order, after all others."""

    @classmethod
    def of(cls, settings: Settings, clock: Callable[[], float] = time.monotonic) -> FilesLook:
        uri = settings.output_uri
        files: Place = Bucket(settings) if uri.startswith("gs://") else Folder(uri)
        return cls(uri, files, settings.discover_days, clock=clock)

    def look(self, now: datetime) -> Iterator[list[Fact]]:
        """Yield the facts of the files, the newest first.

        Raises TransientError, PermanentError; for files that can't be read only after all others were.
        """
        if not self._throttle.due:
            return
        with self._throttle.measured():
            listed = [file for file in self._files.files() if now - self._days <= file.written_at <= now - GRACE]
        uris = {file.uri for file in listed}
        self._seen = {uri: version for uri, version in self._seen.items() if uri in uris}
        new = [file for file in listed if self._seen.get(file.uri) != file.version]
        waiting = {file.uri for file in new}
        self._failed = {uri: reason for uri, reason in self._failed.items() if uri in waiting}
        turns = {uri: number for number, uri in enumerate(self._failed)}
        new.sort(key=lambda file: (turns.get(file.uri, -1), -file.written_at.timestamp()))
        yield from self._read(new)
        self._throttle.done()
        if self._failed:
            uri, reason = next(iter(self._failed.items()))
            raise TransientError(f"{len(self._failed):,} files could not be read, one of them {uri}: {reason}")

    def _read(self, files: list[File]) -> Iterator[list[Fact]]:
        """Yield the facts of each batch. A file that can't be read does not stop the others."""
        in_a_row = 0
        for begin in range(0, len(files), BATCH):
            facts: list[Fact] = []
            read: dict[str, str] = {}
            for file in files[begin : begin + BATCH]:
                self._failed.pop(file.uri, None)
                try:
                    facts += filter(None, [self._fact(file)])
                except TransientError as error:
                    self._failed[file.uri] = str(error)
                    in_a_row += 1
                    if in_a_row == FAILURES:
                        break
                else:
                    read[file.uri] = file.version
                    in_a_row = 0
            yield facts
            # The caller has recorded the facts by now; otherwise, the next turn reads the files again.
            self._seen |= read
            if in_a_row == FAILURES:
                return

    def _fact(self, file: File) -> Fact | None:
        """The fact in a file; None if it is gone. Raises TransientError."""
        data = b""
        try:
            if file.size > LARGEST:
                raise UnreadableFileError(f"it has {file.size:,} bytes, more than the max of {LARGEST:,}")
            if (read := self._files.read(file)) is None:
                return None
            data = read[:LARGEST]
            event = _event(data, file)
        except (UnreadableFileError, RunInfoError, OverflowError) as error:
            attributes = {"mlflow_info_uri": file.uri, "version": file.version}
            return Fact(_key(file), None, file.written_at, data, attributes, f"{file.uri}: {error}")
        return Fact(_key(file), event, file.written_at)


class Folder:
    """A folder on this machine. A missing one counts as empty: no trainer has written to it yet."""

    def __init__(self, uri: str) -> None:
        path = unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri
        self._root = Path(path).expanduser().resolve()

    def files(self) -> list[File]:
        try:
            with os.scandir(self._root) as folders:
                paths = [Path(folder, FILE_NAME) for folder in folders]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TransientError(f"the folder {self._root} can't be read: {error}") from error
        return [file for path in paths if (file := _local_file(path))]

    def read(self, file: File) -> bytes | None:
        try:
            with open(file.name, "rb") as opened:
                return opened.read(LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            # Permissions, the disk and the limit of open files can be repaired without writing the file again.
            raise TransientError(f"it can't be read: {error.strerror}") from error


class Bucket:
    """A prefix in a bucket of Google Cloud Storage, or of an emulator."""

    def __init__(self, settings: Settings) -> None:
        self._uri, self._emulator, self._project = settings.output_uri, settings.storage_emulator_host, settings.project
        bucket, _, prefix = self._uri.removeprefix("gs://").partition("/")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client: Any = None

    def files(self) -> list[File]:
        if not self._bucket:
            raise PermanentError(f"OUTPUT_URI is {self._uri!r}; a bucket needs gs://BUCKET/PATH")
        name = re.compile(re.escape(self._prefix) + "[^/]+/" + re.escape(FILE_NAME))
        with self._reached():
            listed = self._connected().list_blobs(
                self._bucket,
                prefix=self._prefix,
                # Emulators may ignore it, hence the filter below; and it can't escape its own special characters.
                match_glob=None if re.search(r"[*?\[\]{}\\]", self._prefix) else f"{self._prefix}*/{FILE_NAME}",
                fields="items(name,generation,updated,size),nextPageToken",
                timeout=TIMEOUT_SECONDS,
                retry=None,
            )
            files = [self._file(blob) for blob in listed if name.fullmatch(blob.name)]
        return [file for file in files if file]

    def read(self, file: File) -> bytes | None:
        if not file.size:
            return b""
        with self._reached():
            from google.api_core.exceptions import NotFound

            blob = self._connected().bucket(self._bucket).blob(file.name)
            try:
                content: bytes = blob.download_as_bytes(end=LARGEST, timeout=TIMEOUT_SECONDS, retry=None)
            except NotFound:
                return None
            return content

    def probe(self, seconds: float) -> None:
        """Ask for one object, whatever it is. Raises TransientError, PermanentError if the bucket can't be read."""
        if not self._bucket:
            raise PermanentError(f"OUTPUT_URI is {self._uri!r}; a bucket needs gs://BUCKET/PATH")
        with self._reached():
            found = self._connected().list_blobs(
                self._bucket, prefix=self._prefix, max_results=1, timeout=seconds, retry=None
            )
            next(iter(found), None)

    def _file(self, blob: Any) -> File | None:
        """None for an object without a time: it can't be told whether it is new."""
        if blob.updated is None:
            return None
        return File(blob.name, f"gs://{self._bucket}/{blob.name}", str(blob.generation), blob.updated, blob.size or 0)

    def _connected(self) -> Any:
        """The client, created once: it keeps its connections and its token."""
        # Imported here: it takes half a second, which workers and the sweep of a folder don't need.
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        if self._client is None and self._emulator:
            address = self._emulator if "://" in self._emulator else f"http://{self._emulator}"
            options = {"api_endpoint": address}
            self._client = storage.Client(self._project, AnonymousCredentials(), client_options=options)
        elif self._client is None:
            self._client = storage.Client(self._project)
        return self._client

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn all errors of Google's client into TransientError, also those that malformed answers cause."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
        from urllib3.exceptions import HTTPError

        of_google = (GoogleAPIError, GoogleAuthError, DataCorruption, InvalidResponse)
        of_answers = (HTTPError, OSError, ValueError, AttributeError, KeyError, TypeError, EOFError, zlib.error)

        try:
            yield
        except (*of_google, *of_answers) as error:
            raise TransientError(f"the bucket of OUTPUT_URI, {self._uri}, can't be read: {error}") from error


def _event(data: bytes, file: File) -> RunEvent:
    """The run's completed event, or its started event if the file has no end. Raises RunInfoError, OverflowError."""
    info = RunInfo.decode(data)
    for moment in filter(None, (info.start_time, info.end_time)):
        if moment < NEVER:
            raise RunInfoError(f"its time {moment.isoformat()} is before 1970")
    if info.end_time and info.status in ENDED:
        event = info.event(file.uri)
        # A file that is written again, as by `warmboard flush`, is a new event.
        return replace(event, source=SWEEP_SOURCE, id=f"{event.id}.{file.version}")
    return replace(info.started(), source=SWEEP_SOURCE, time=info.start_time or file.written_at)


def _local_file(path: Path) -> File | None:
    try:
        found = path.stat()
        written_at = datetime.fromtimestamp(found.st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        # No such file: most entries are not folders of runs. Or its time is beyond the calendar.
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return File(str(path), path.as_uri(), str(found.st_mtime_ns), written_at, found.st_size)


def _key(file: File) -> str:
    """Identifies the file and its version, within the max length in the inbox."""
    key = f"{file.uri}#{file.version}"
    return key if len(key) <= LONGEST_ATTRIBUTE else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
