"""One tracked run, from its creation in MLflow to its completed event, around any training code."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from warmboard import storage
from warmboard.announce import Announcer
from warmboard.bounded import Bounded
from warmboard.contract.events import QUICK_TEST_TAG, RunStatus
from warmboard.contract.info import RunInfo
from warmboard.errors import (
    StorageError,
    TrackingError,
    TrackingNotReadyError,
    TrackingRejectedError,
    TrackingUnavailableError,
)
from warmboard.run.context import context_tags
from warmboard.run.ending import HURRIED, PATIENT, Ending, status_of
from warmboard.run.signals import Termination
from warmboard.settings import Settings
from warmboard.spool import Buffer, Ended, Spool, SpooledRun
from warmboard.spool.records import epochs_at
from warmboard.tracking import Batch, Fits, TrackingClient

log = logging.getLogger(__name__)

UNSENT = "unsent.ndjson"
MIN_CREATE_SECONDS = 10.0
"""The min timeout for creating the run on a server that is ready."""


class TrackedRun:
    """A run of MLflow as a context manager, and the `warmboard.tracking.Log` that callbacks log to.

    Entering it waits up to ``MLFLOW_READY_SECONDS`` for the server. If the server is still down then, training starts
    anyway, and the run is created as soon as the server is up, or by ``warmboard flush``. A server that rejects the
    request (credentials, address) raises TrackingRejectedError at once. After that no server can end the training:
    values that are not sent stay on this machine's disk, in ``SPOOL_DIR``.

    Leaving it sends the values that are left, ends the run as FINISHED, FAILED (an exception) or KILLED (interrupted,
    terminated), writes ``mlflow_info.json`` and publishes the completed event. That takes two minutes at most, 10 s if
    the run is killed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        quick_test_id: int | None = None,
        run_name: str | None = None,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        client: TrackingClient | None = None,
    ) -> None:
        """The arguments are those of `warmboard.start_run`."""
        self.settings = replace(settings, mlflow_experiment_name=experiment or settings.mlflow_experiment_name)
        self.quick_test_id = quick_test_id
        self.run_id = ""
        self.run_name = run_name or ""
        self.experiment_id = ""
        self.tags = context_tags() | dict(tags or {})
        self.status = RunStatus.SCHEDULED
        self.epochs = 0
        self.fits = Fits()
        """The progress that the run's Keras callbacks share: a second ``fit`` continues the steps of the first."""
        self.model_uri: str | None = None
        self.index_uri: str | None = None
        self.info_uri: str | None = None
        self.published_at: datetime | None = None
        self.waiting_at: str | None = None
        self.termination = Termination()
        self._client = client or TrackingClient.of(settings)
        self._creation = uuid.uuid4().hex
        self._start = self._end = datetime.now(UTC)
        self._spool: Spool | None = None
        self._buffer: Buffer | None = None
        self._announcer: Announcer | None = None
        self._creating = threading.Lock()
        self._asked = False
        self._over = False
        self._process = os.getpid()

    def __enter__(self) -> Self:
        self._start = _whole_milliseconds()
        suffix = self.quick_test_id if self.quick_test_id is not None else f"{self._start:%Y%m%dT%H%M%SZ}"
        self.run_name = self.run_name or f"{self.settings.mlflow_run_name}-{suffix}"
        if self.quick_test_id is not None:
            self.tags[QUICK_TEST_TAG] = str(self.quick_test_id)
        self.termination.listen()
        try:
            self._spool = self._make_spool()
            self._buffer = Buffer(self._spool, self._send, on_sent=self._on_sent)
            self._announcer = Announcer(self.settings)
            self._begin()
            self.status = RunStatus.RUNNING
        except BaseException as error:
            self._abandon(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(status_of(error))

    def end(self, status: RunStatus) -> None:
        """End the run, as leaving the context does. Does nothing in a forked process (such as a data loader's), nor if
        the run has ended.
        """
        if self.status is not RunStatus.RUNNING or os.getpid() != self._process:
            return
        self.termination.defer()
        self.status = status
        ending = Ending(HURRIED if status is RunStatus.KILLED else PATIENT, HURRIED, self.termination)
        try:
            self._finish(ending)
        finally:
            self.termination.settle()

    @property
    def buffer(self) -> Buffer:
        if self._buffer is None:
            raise RuntimeError("the run has not started: use it in a with statement")
        return self._buffer

    @property
    def url(self) -> str:
        """The run's page in MLflow, where people open it (``MLFLOW_UI_URLS``); empty until MLflow has the run."""
        server = self.settings.mlflow_ui_urls.get(self.settings.mlflow_tracking_server, self._client.uri).rstrip("/")
        return f"{server}/#/experiments/{self.experiment_id}/runs/{self.run_id}" if self.run_id else ""

    @property
    def page_url(self) -> str:
        """The run's page in the webapp; empty without ``WEBAPP_URL``, and until MLflow has the run."""
        webapp = self.settings.webapp_url
        return f"{webapp}/runs/{self.run_id}/" if webapp and self.run_id else ""

    @property
    def output_uri(self) -> str:
        """The folder of this run's files: ``OUTPUT_URI/{run_id}``. Until MLflow has the run, the creation ID takes the
        place of the run ID; it is also the value of the run's tag ``warmboard.creation``.
        """
        return storage.join(self.settings.output_uri, self.run_id or self._creation)

    @property
    def sent(self) -> int:
        """How many values MLflow has accepted."""
        return self.buffer.sent

    @property
    def waiting(self) -> int:
        """How many values are not sent yet; after the run they are in the file ``waiting_at``."""
        return self.buffer.waiting

    @property
    def rejected(self) -> int:
        """How many values MLflow rejected for good; they are kept in ``SPOOL_DIR`` with the reason."""
        return self.buffer.rejected

    @property
    def lost(self) -> int:
        """How many values neither MLflow nor this machine's disk accepted."""
        return self.buffer.lost

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log one value per metric key, for this step (the epoch, counted from 0). Returns at once.

        Values that ``float`` can't convert are left out with a warning.
        """
        # The buffer warns about an invalid step and leaves it out.
        with suppress(TypeError, ValueError, OverflowError):
            self.epochs = max(self.epochs, epochs_at(int(step)))
        self.buffer.log_metrics(values, step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters as text, up to 6,000 characters. Returns at once. MLflow rejects a second value of a key."""
        self.buffer.log_params(params)

    def _make_spool(self) -> Spool:
        header = SpooledRun(
            creation=self._creation,
            tracking_uri=self._client.uri,
            tracking_server=self.settings.mlflow_tracking_server,
            experiment_name=self.settings.mlflow_experiment_name,
            run_name=self.run_name,
            start_time=self._start,
            tags=self.tags,
            quick_test_id=self.quick_test_id,
        )
        return Spool.create(self.settings.spool_dir, header)

    def _begin(self) -> None:
        """Raises TrackingRejectedError if the server rejects the run. A server that is down or hangs is only logged."""
        deadline = time.monotonic() + self.settings.mlflow_ready_seconds
        try:
            self._client.wait_until_ready(self.settings.mlflow_ready_seconds)
            creating = Bounded(self._create, "creating")
            if not creating.wait(max(MIN_CREATE_SECONDS, deadline - time.monotonic())):
                raise TrackingNotReadyError(f"MLflow at {self._client.uri} did not answer to the run's creation")
            creating.result()
        except (TrackingNotReadyError, TrackingUnavailableError) as error:
            log.warning("Training starts without MLflow; the run is created when it is up again. %s", error)

    def _abandon(self, error: BaseException) -> None:
        """Leave nothing behind of a run that did not start. If MLflow has the run, or may have it, end the run."""
        if self.run_id or (self._asked and not isinstance(error, TrackingRejectedError)):
            self.status = RunStatus.RUNNING
            with suppress(SystemExit, KeyboardInterrupt):
                self.end(status_of(error))
            return
        self._over = True
        if self._buffer:
            self._buffer.close(0)
        if self._announcer:
            self._announcer.close()
        if self._spool:
            self._spool.close(delivered=True)
        with suppress(SystemExit, KeyboardInterrupt):
            self.termination.settle()

    def _create(self) -> None:
        """Create the run in MLflow, if it is not there. Raises TrackingError."""
        with self._creating:
            if self.run_id:
                return
            experiment_id = self._client.experiment(self.settings.mlflow_experiment_name)
            if self._over:
                raise TrackingUnavailableError("the run has ended: `warmboard flush` creates it")
            self._asked = True
            run_id = self._client.create_run(
                experiment_id, self.run_name, self._start, self.tags, creation=self._creation
            )
            self.experiment_id, self.run_id = experiment_id, run_id
        if self._spool:
            self._spool.created(self.experiment_id, self.run_id)
        if self._announcer:
            self._announcer.started(self._info())

    def _send(self, batch: Batch) -> None:
        self._create()
        self._client.log_batch(self.run_id, batch.metrics, batch.params)

    def _on_sent(self, batch: Batch) -> None:
        if batch.metrics and self._announcer:
            self._announcer.progressed(max(metric.step for metric in batch.metrics) + 1)

    def _finish(self, ending: Ending) -> None:
        """Do every part of the end, the most important first. A part that fails does not stop the others."""
        ending.part("flush", self.buffer.close, again=True)
        self._over = True
        self._end = _whole_milliseconds()
        ending.part("spool", lambda _: self._note_end())
        delivered = bool(self.run_id and ending.part("end", self._tell_mlflow))
        if self.run_id and self._announcer:
            announcer = self._announcer
            announcer.close()
            self.info_uri = ending.part("info", lambda seconds: announcer.leave_info(self._info(), seconds))
        ending.part("spool", lambda _: self._close_spool(delivered))
        if self.waiting_at:
            self._leave_unsent(ending)
        if self.run_id and self._announcer:
            uri = self.info_uri
            self.published_at = ending.part("event", lambda seconds: announcer.completed(self._info(), uri, seconds))
        elif self._announcer:
            self._announcer.close()
        if self._announcer:
            self._announcer.disconnect()

    def _note_end(self) -> None:
        if self._spool:
            self._spool.end(
                Ended(
                    status=self.status,
                    end_time=self._end,
                    epochs=self.epochs,
                    model_uri=self.model_uri,
                    index_uri=self.index_uri,
                )
            )

    def _tell_mlflow(self, seconds: float) -> bool:
        """Return True if MLflow has the run's end, or rejects it for good, as it does for a deleted run."""
        try:
            self._client.end_run(self.run_id, self.status, self._end, within=seconds)
        except TrackingError as error:
            if isinstance(error, TrackingRejectedError) and error.is_final:
                log.error("MLflow rejects that run %s is %s: %s", self.run_id, self.status, error)
                return True
            log.error("MLflow does not know yet that run %s is %s: %s", self.run_id, self.status, error)
            return False
        return True

    def _close_spool(self, delivered: bool) -> None:
        if self._spool:
            self._spool.close(delivered=delivered)
            self.waiting_at = str(self._spool.path) if self._spool.path.exists() else None

    def _leave_unsent(self, ending: Ending) -> None:
        """Move the unsent values to the bucket, if there is one: the disk of a cloud job is deleted with the job."""
        path = Path(self.waiting_at or "")
        if self.settings.output_uri.startswith("gs://"):
            self.waiting_at = ending.part("unsent", lambda seconds: self._move_to_bucket(path, seconds)) or str(path)
        what = f"{self.waiting:,} values wait in {self.waiting_at}. To send them"
        if not self.waiting:
            what = "MLflow does not know the run's end. To send it"
        log.error("%s: warmboard flush %s", what, self.waiting_at)

    def _move_to_bucket(self, path: Path, seconds: float) -> str:
        uri = storage.join(self.output_uri, UNSENT)
        try:
            storage.write(
                uri,
                path.read_bytes(),
                self.settings.storage_emulator_host,
                content_type="application/x-ndjson",
                within=seconds,
            )
            path.unlink()
        except (StorageError, OSError) as error:
            log.error("The values that are not sent stay on this machine: %s", error)
            return str(path)
        return uri

    def _info(self) -> RunInfo:
        ended = self.status not in (RunStatus.SCHEDULED, RunStatus.RUNNING)
        return RunInfo(
            run_id=self.run_id,
            run_name=self.run_name,
            tracking_uri=self._client.uri,
            tracking_server=self.settings.mlflow_tracking_server,
            experiment_id=self.experiment_id,
            experiment_name=self.settings.mlflow_experiment_name,
            status=self.status if ended else RunStatus.RUNNING,
            start_time=self._start,
            end_time=self._end if ended else None,
            epochs=self.epochs,
            unsent=self.waiting if ended else 0,
            quick_test_id=self.quick_test_id,
            model_uri=self.model_uri,
            index_uri=self.index_uri,
        )


def _whole_milliseconds() -> datetime:
    """Return the current time, in UTC, with the precision of MLflow and of events."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)
