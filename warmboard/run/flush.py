"""``warmboard flush``: sends the values that trainings could not send, ends their runs, and announces them."""

from __future__ import annotations

import argparse
import dataclasses
import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from warmboard import storage
from warmboard.announce import info_uri, publish, write_info
from warmboard.contract.cloudevents import format_time
from warmboard.contract.events import RunStatus
from warmboard.contract.info import RunInfo, RunInfoError
from warmboard.contract.settings import SettingError
from warmboard.errors import (
    PublishError,
    SpoolError,
    SpoolLockedError,
    StorageError,
    TrackingRejectedError,
    TrackingUnavailableError,
    WarmboardError,
)
from warmboard.settings import Settings
from warmboard.spool import Delivery, Ended, Spool, records
from warmboard.spool.spool import REJECTED, SUFFIX
from warmboard.tracking import Batch, TrackingClient

log = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  warmboard flush                              all spools in SPOOL_DIR
  warmboard flush --list                       only list the spools
  warmboard flush .warmboard/spool/0af3….ndjson
  warmboard flush gs://BUCKET/runs/RUN_ID/unsent.ndjson

A spool is a file of a run's values that are not in MLflow yet. MLFLOW_TRACKING_URI must be the server that they were
logged for. Runs whose training still runs are skipped. Values that MLflow rejects for good are kept in a file beside
the spool, with the reason.
Exit status: 0 everything is sent, or there was nothing to send; 1 something is not sent or not announced; 2 wrong
usage."""


@dataclass
class Total:
    """The totals of a flush."""

    runs: int = 0
    values: int = 0
    rejected: int = 0
    bytes: int = 0
    failed: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``warmboard flush`` and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        settings = Settings.read()
        logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        named = options.spool or _spools_in(settings.spool_dir)
        if not named:
            print(f"No spools in {settings.spool_dir}.")
            return 0
        return _list(named, settings) if options.list else _flush(named, settings)
    except (WarmboardError, SettingError) as error:
        print(f"warmboard flush: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("warmboard flush: interrupted; the next flush continues from here", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``warmboard flush``."""
    parser = argparse.ArgumentParser(
        prog="warmboard flush",
        description="Send the values that trainings could not send to MLflow, end their runs, and announce them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "spool",
        nargs="*",
        metavar="SPOOL",
        help="a spool: a path or gs://… (default: all in SPOOL_DIR)",
    )
    parser.add_argument("--list", action="store_true", help="only list the spools, with what is in them")
    return parser


def _spools_in(folder: Path) -> list[str]:
    """Return the spools in a folder, the oldest first."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.endswith(REJECTED)]
    return [str(path) for path in sorted(found, key=lambda path: (_size_and_age(path)[1], path.name))]


def _size_and_age(path: Path) -> tuple[int, float]:
    try:
        status = path.stat()
    except FileNotFoundError:
        # Another flush has just sent it.
        return 0, 0.0
    return status.st_size, status.st_mtime


def _list(named: Sequence[str], settings: Settings) -> int:
    for name in named:
        try:
            print(_described(name, settings))
        except (OSError, WarmboardError) as error:
            print(f"{name}: {error}")
    return 0


def _described(name: str, settings: Settings) -> str:
    state = ""
    if name.startswith("gs://"):
        data = storage.read(name, settings.storage_emulator_host)
    else:
        try:
            Spool.open(_path(name)).close(delivered=False)
        except SpoolLockedError:
            state = "its training still runs"
        data = _path(name).read_bytes()
    contents = records.read(io.BytesIO(data), name)
    end = contents.ended
    state = state or (f"{end.status} at {format_time(end.end_time)}" if end else "killed before its end was noted")
    run = f"run {contents.run.run_name} ({contents.run_id or 'not in MLflow yet'}) for {contents.run.tracking_uri}"
    return f"{name}: {contents.waiting:,} values, {len(data):,} bytes; {run}; {state}"


def _flush(named: Sequence[str], settings: Settings) -> int:
    client = TrackingClient.of(settings)
    total = Total()
    down: TrackingUnavailableError | None = None
    for name in named:
        try:
            if down:
                raise down
            _flush_one(name, settings, client, total)
        except SpoolLockedError as error:
            print(f"Skipped. {error}", file=sys.stderr)
        except TrackingUnavailableError as error:
            total.failed = True
            down = error
            print(f"{name} is not sent. MLflow is down: {error}", file=sys.stderr)
        except WarmboardError as error:
            total.failed = True
            print(f"{name} is not sent. {error}", file=sys.stderr)
    rejected = f" ({total.rejected:,} of them rejected for good)" if total.rejected else ""
    print(f"Flushed {total.runs} of {len(named)} runs: {total.values:,} values{rejected}, {total.bytes:,} bytes.")
    return int(total.failed)


def _flush_one(name: str, settings: Settings, client: TrackingClient, total: Total) -> None:
    path = _download(name, settings) if name.startswith("gs://") else _path(name)
    size = _size_and_age(path)[0]
    spool = Spool.open(path)
    delivered = False
    try:
        _check_server(spool, client)
        Flush(spool, client, settings, total).run()
        delivered = True
    finally:
        spool.close(delivered=delivered)
    if name.startswith("gs://"):
        storage.delete(name, settings.storage_emulator_host)
    total.runs += 1
    total.bytes += size


def _path(name: str) -> Path:
    return Path(unquote(urlsplit(name).path)) if name.startswith("file://") else Path(name).expanduser()


def _download(uri: str, settings: Settings) -> Path:
    """Download a spool to SPOOL_DIR, where the next flush continues if this one is interrupted."""
    data = storage.read(uri, settings.storage_emulator_host)
    hidden = settings.spool_dir / f".{os.getpid()}.download"
    try:
        settings.spool_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden.touch(mode=0o600)
        hidden.write_bytes(data)
        creation = records.read(io.BytesIO(data), uri).run.creation
        path = settings.spool_dir / f"{creation}{SUFFIX}"
        # An existing file is that of an interrupted flush.
        if not path.exists():
            hidden.rename(path)
    except OSError as error:
        raise SpoolError(f"SPOOL_DIR: {settings.spool_dir} can't be written: {error.strerror}") from error
    finally:
        hidden.unlink(missing_ok=True)
    return path


def _check_server(spool: Spool, client: TrackingClient) -> None:
    """Raise SpoolError if the values are for another server: an address from a file is never called."""
    if spool.run.tracking_uri != client.uri:
        raise SpoolError(
            f"Its values are for the MLflow at {spool.run.tracking_uri}, but MLFLOW_TRACKING_URI is {client.uri}: set"
            f" MLFLOW_TRACKING_URI={spool.run.tracking_uri} if you trust that address."
        )


class Flush:
    """Sends one spool. Its progress is noted in the spool, so the next flush continues from there."""

    def __init__(self, spool: Spool, client: TrackingClient, settings: Settings, total: Total) -> None:
        self._spool = spool
        self._client = client
        self._settings = settings
        self._total = total
        self._run_id = spool.run_id or ""
        self._experiment_id = spool.experiment_id or ""

    def run(self) -> None:
        """Create, fill, end and announce the run. Raises TrackingError, or SpoolError for values that can't be read."""
        self._ensure_run()
        self._send()
        ended = self._spool.ended or self._end()
        try:
            self._client.end_run(self._run_id, ended.status, ended.end_time)
        except TrackingRejectedError as error:
            if not error.is_final:
                raise
            # The run was deleted. The rejected values are kept with the reason.
            print(f"run {self._run_id}: MLflow rejects its end; nothing is left to send. {error}", file=sys.stderr)
            return
        self._announce(ended)

    def _ensure_run(self) -> None:
        if self._run_id:
            return
        run = self._spool.run
        self._experiment_id = self._client.experiment(run.experiment_name)
        self._run_id = self._client.find_run(self._experiment_id, run.creation) or self._client.create_run(
            self._experiment_id, run.run_name, run.start_time, run.tags, creation=run.creation
        )
        self._spool.created(self._experiment_id, self._run_id)

    def _send(self) -> None:
        delivery = Delivery(self._spool, self._log_batch)
        for left in _progress(f"run {self._spool.run.run_name} ({self._run_id})", self._spool):
            delivered = delivery.one()
            if delivered is None:
                raise SpoolError(f"{left:,} of its values can't be read.")
            self._total.values += left - self._spool.waiting
            self._total.rejected += sum(len(batch) for batch, _ in delivered.rejected)

    def _log_batch(self, batch: Batch) -> None:
        self._client.log_batch(self._run_id, batch.metrics, batch.params)

    def _end(self) -> Ended:
        """Return the end of a run that was killed: it failed when it logged its last value."""
        last = self._spool.last_time
        moment = self._spool.run.start_time if last is None else datetime.fromtimestamp(last / 1000, UTC)
        return Ended(status=RunStatus.FAILED, end_time=moment, epochs=self._spool.epochs)

    def _announce(self, ended: Ended) -> None:
        """Announce the run. MLflow has all values, so a failure here is no reason to keep the spool."""
        info = self._info(ended)
        uri = None
        try:
            uri = write_info(info, self._settings)
        except StorageError as error:
            self._failed(f"mlflow_info.json is missing. {error}")
        event = info.event(uri)
        try:
            # Not the ID of the run's end, which may have been published: the workers must fetch again.
            publish(dataclasses.replace(event, id=f"{event.id}.flushed.{time.time_ns() // 1_000_000}"), self._settings)
        except PublishError as error:
            self._failed(f"It is in MLflow, but was not announced. {error}")
            if uri:
                print(f"To announce it: warmboard publish {uri}", file=sys.stderr)

    def _failed(self, text: str) -> None:
        self._total.failed = True
        print(f"run {self._run_id}: {text}", file=sys.stderr)

    def _info(self, ended: Ended) -> RunInfo:
        run = self._spool.run
        info = RunInfo(
            run_id=self._run_id,
            run_name=run.run_name,
            tracking_uri=run.tracking_uri,
            tracking_server=run.tracking_server,
            experiment_id=self._experiment_id,
            experiment_name=run.experiment_name,
            status=ended.status,
            start_time=run.start_time,
            end_time=ended.end_time,
            epochs=ended.epochs,
            quick_test_id=run.quick_test_id,
            model_uri=ended.model_uri,
            index_uri=ended.index_uri,
        )
        if info.model_uri:
            return info
        # The training may have been killed before it noted its end.
        try:
            known = RunInfo.decode(storage.read(info_uri(info, self._settings), self._settings.storage_emulator_host))
        except (RunInfoError, StorageError) as error:
            log.debug("no earlier mlflow_info.json: %s", error)
            return info
        return dataclasses.replace(info, model_uri=known.model_uri, index_uri=known.index_uri)


def _progress(name: str, spool: Spool) -> Iterator[int]:
    """Yield how many values are left until there are none. A line on the terminal shows the progress."""
    total = spool.waiting
    live = sys.stderr.isatty()
    while left := spool.waiting:
        if live:
            print(f"\r{name}: {total - left:,} of {total:,} values", end="", file=sys.stderr, flush=True)
        yield left
    begin = "\r" if live else ""
    print(f"{begin}{name}: {total:,} of {total:,} values", file=sys.stderr)
