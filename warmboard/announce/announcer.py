"""Announces one run: its events, and ``mlflow_info.json`` for when the events are lost.

While the run is in progress, a background thread does this, so a slow or unreachable bucket or Pub/Sub costs the
training nothing. The end is announced by the thread that ends the run, with a timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from warmboard import storage
from warmboard.announce.publisher import Publisher, info_uri, preload, write_info
from warmboard.contract.events import RunEvent
from warmboard.contract.info import RunInfo
from warmboard.errors import PublishError, StorageError
from warmboard.settings import Settings

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 2.0
"""The min interval between two progressed events."""
LIVE_DEADLINE_SECONDS = 10.0
JOIN_SECONDS = 0.5


@dataclass
class _News:
    """What the thread has not announced yet."""

    started: RunInfo | None = None
    epochs: int = 0
    over: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class Announcer:
    """Announces one run, from its start to its end. No method raises."""

    def __init__(self, settings: Settings, progress_seconds: float = PROGRESS_SECONDS) -> None:
        self._settings = settings
        self._between = progress_seconds
        # Imported here, but connected by the thread: finding credentials may take seconds.
        preload()
        self._publisher: Publisher | None = None
        self._connecting = threading.Lock()
        self._connected = False
        self._down = False
        self._news = _News()
        self._thread = threading.Thread(target=self._announce, name="announcing", daemon=True)
        self._thread.start()

    def started(self, info: RunInfo) -> None:
        """Announce that the run is in MLflow. Returns at once, as `progressed` does."""
        with self._news.changed:
            self._news.started = info
            self._news.changed.notify()

    def progressed(self, epochs: int) -> None:
        """Announce how many epochs are in MLflow."""
        with self._news.changed:
            if epochs > self._news.epochs:
                self._news.epochs = epochs
                self._news.changed.notify()

    def leave_info(self, info: RunInfo, within: float) -> str | None:
        """Write ``mlflow_info.json`` of an ended run; ``within`` is in seconds. Return its URI, or None on failure."""
        try:
            return write_info(info, self._settings, within)
        except StorageError as error:
            log.error("mlflow_info.json is missing: %s", error)
            return None

    def completed(self, info: RunInfo, uri: str | None, within: float) -> datetime | None:
        """Publish the completed event; ``within`` is in seconds. Return when that started, or None if it failed."""
        started_at = datetime.now(UTC)
        if self._publish(info.event(uri), within):
            return started_at
        log.error("Run %s was not announced. %s", info.run_id, _how_to_announce(uri))
        return None

    def close(self) -> None:
        """Stop the thread: it announces nothing more."""
        with self._news.changed:
            self._news.over = True
            self._news.changed.notify()
        self._thread.join(JOIN_SECONDS)

    def disconnect(self) -> None:
        if self._publisher:
            self._publisher.close()

    def _connect(self) -> Publisher | None:
        with self._connecting:
            if not self._connected:
                self._connected = True
                try:
                    self._publisher = Publisher(self._settings)
                except PublishError as error:
                    log.warning("The run can't be announced: %s", error)
            return self._publisher

    def _announce(self) -> None:
        info = self._wait_for_start()
        if info is None:
            return
        self._leave_info(info)
        if not self._settings.live_events or self._connect() is None:
            return
        self._publish(info.started(), LIVE_DEADLINE_SECONDS)
        announced = 0
        while (epochs := self._wait_for_epochs(announced)) is not None:
            if self._publish(_progressed(info, epochs), LIVE_DEADLINE_SECONDS):
                announced = epochs

    def _wait_for_start(self) -> RunInfo | None:
        news = self._news
        with news.changed:
            news.changed.wait_for(lambda: news.started or news.over)
            return news.started

    def _wait_for_epochs(self, announced: int) -> int | None:
        """Wait for the interval between two events, then for more epochs than announced; None once the run is over."""
        news = self._news
        with news.changed:
            news.changed.wait_for(lambda: news.over, self._between)
            news.changed.wait_for(lambda: news.over or news.epochs > announced)
            return None if news.over else news.epochs

    def _leave_info(self, info: RunInfo) -> None:
        """Write the file of a run in progress. The file of a run that has ended is not overwritten."""
        try:
            storage.create(info_uri(info, self._settings), info.encode(), self._settings.storage_emulator_host)
        except StorageError as error:
            log.warning("If this training is killed, the sweep won't find its run: %s", error)

    def _publish(self, event: RunEvent, within: float) -> bool:
        publisher = self._connect()
        if publisher is None:
            return False
        begin = time.monotonic()
        try:
            publisher.publish(event, within)
        except PublishError as error:
            # One warning per outage: one per event, every two seconds, would fill the terminal.
            log.log(logging.DEBUG if self._down else logging.WARNING, "%s", error)
            self._down = True
            return False
        log.debug("published %s in %.0f ms", event.id, (time.monotonic() - begin) * 1000)
        self._down = False
        return True


def _progressed(info: RunInfo, epochs: int) -> RunEvent:
    return RunEvent.progressed(
        run_id=info.run_id,
        tracking_server=info.tracking_server,
        experiment_name=info.experiment_name,
        time=datetime.now(UTC),
        epochs=epochs,
        quick_test_id=info.quick_test_id,
    )


def _how_to_announce(uri: str | None) -> str:
    if uri is None:
        return "The sweep finds it in MLflow."
    return f"The sweep finds it by {uri}. To announce it now: warmboard publish {uri}"
