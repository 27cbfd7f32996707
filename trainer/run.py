"""One tracked run, from its creation to its announcement, around any training code.

::

    from trainer import tracked_run

    with tracked_run(quick_test_id=7) as run:
        model.fit(..., callbacks=[run.callback()])
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from contract.events import RunStatus
from trainer.buffer import Batch, Buffer
from trainer.errors import PublishError, StorageError, TrackingError
from trainer.publish import RunInfo, publish, write_info
from trainer.settings import Settings
from trainer.tracking import READY_WITHIN_SECONDS, TrackingClient

if TYPE_CHECKING:
    from trainer.callbacks import WarmboardCallback

log = logging.getLogger(__name__)

FLUSH_SECONDS = 60.0
# A pre-empted cloud job has some 10 to 30 s left.
FLUSH_KILLED_SECONDS = 5.0
INTERRUPTED, TERMINATED = 130, 143


class TrackedRun:
    """A run of MLflow as a context manager, and the `Log` that callbacks write to.

    Entering it raises a TrackingError when the server can't be had. From then on no server can end the training: what
    goes wrong is logged and counted. Leaving it sends what waits, ends the run as FINISHED, FAILED (an exception) or
    KILLED (interrupted, terminated), writes ``mlflow_info.json`` and publishes the event.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client: TrackingClient | None = None,
        quick_test_id: int | None = None,
        ready_within: float = READY_WITHIN_SECONDS,
    ) -> None:
        self.settings = settings
        self.ready_within = ready_within
        self.quick_test_id = quick_test_id
        self.run_id = ""
        self.run_name = ""
        self.experiment_id = ""
        self.epochs = 0
        self.info_uri: str | None = None
        self.published_at: datetime | None = None
        self._client = client or TrackingClient(settings.mlflow_tracking_uri)
        self._buffer: Buffer | None = None

    def __enter__(self) -> Self:
        start = datetime.now(UTC)
        suffix = self.quick_test_id if self.quick_test_id is not None else f"{start:%Y%m%dT%H%M%SZ}"
        self.run_name = f"{self.settings.mlflow_run_name}-{suffix}"
        tags = {} if self.quick_test_id is None else {"quick_test_id": str(self.quick_test_id)}
        self._client.wait_until_ready(self.ready_within)
        self.experiment_id = self._client.experiment(self.settings.mlflow_experiment_name)
        self.run_id = self._client.create_run(self.experiment_id, self.run_name, start, tags)
        self._buffer = Buffer(self._send)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        status = status_of(error)
        self.buffer.close(FLUSH_KILLED_SECONDS if status is RunStatus.KILLED else FLUSH_SECONDS)
        # The end as MLflow and the event tell it: whole milliseconds.
        end = datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)
        try:
            self._client.end_run(self.run_id, status, end)
        except TrackingError as failure:
            log.error("MLflow does not know that run %s is %s: %s", self.run_id, status, failure)
        self._announce(status, end)

    @property
    def buffer(self) -> Buffer:
        if self._buffer is None:
            raise RuntimeError("the run has not begun: use it in a with statement")
        return self._buffer

    @property
    def url(self) -> str:
        """The run's page in MLflow."""
        return f"{self._client.uri}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Takes one value per key, for this step (the epoch, counted from 0), and returns at once."""
        self.epochs = max(self.epochs, step + 1)
        self.buffer.log_metrics(values, step)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Takes parameters and returns at once. MLflow refuses a second value for the same key."""
        self.buffer.log_params(params)

    def callback(self, **options: Any) -> WarmboardCallback:
        """The Keras callback that logs everything; ``options`` are those of `trainer.callbacks.WarmboardCallback`."""
        # Imported here: a tracked run by itself needs no TensorFlow.
        from trainer.callbacks import WarmboardCallback

        return WarmboardCallback(self, **options)

    def _send(self, batch: Batch) -> None:
        self._client.log_batch(self.run_id, batch.metrics, batch.params)

    def _announce(self, status: RunStatus, end: datetime) -> None:
        info = RunInfo(
            run_id=self.run_id,
            run_name=self.run_name,
            tracking_uri=self._client.uri,
            tracking_server=self.settings.mlflow_tracking_server,
            experiment_id=self.experiment_id,
            experiment_name=self.settings.mlflow_experiment_name,
            status=status,
            epochs=self.epochs,
            end_time=end,
            quick_test_id=self.quick_test_id,
        )
        try:
            self.info_uri = write_info(info, self.settings)
        except StorageError as failure:
            log.error("mlflow_info.json is missing: %s", failure)
        asked_at = datetime.now(UTC)
        try:
            publish(info.event(self.info_uri), self.settings)
            self.published_at = asked_at
        except PublishError as failure:
            log.error("Run %s is kept, but was not announced. %s", self.run_id, failure)
            if self.info_uri:
                log.error("To announce it, run: python -m trainer.publish %s", self.info_uri)


def tracked_run(
    *, quick_test_id: int | None = None, settings: Settings | None = None, client: TrackingClient | None = None
) -> TrackedRun:
    """A run with the settings of the environment. Raises contract.settings.SettingError for a bad one."""
    return TrackedRun(settings or Settings.read(), client=client, quick_test_id=quick_test_id)


def status_of(error: BaseException | None) -> RunStatus:
    """How a run ended whose training code ended with this exception, or with none."""
    if error is None:
        return RunStatus.FINISHED
    if isinstance(error, KeyboardInterrupt):
        return RunStatus.KILLED
    if isinstance(error, SystemExit):
        if error.code in (INTERRUPTED, TERMINATED):
            return RunStatus.KILLED
        return RunStatus.FAILED if error.code else RunStatus.FINISHED
    return RunStatus.FAILED
