"""A run's metrics on their way to MLflow: taken from the training thread at once, sent by a background thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trainer.errors import TrackingError, TrackingUnavailable
from trainer.retry import Retry
from trainer.tracking import Metric

log = logging.getLogger(__name__)


class Log(Protocol):
    """What callbacks write to. Neither call waits for a server, and neither raises for one."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def log_params(self, params: Mapping[str, object]) -> None: ...


@dataclass
class Batch:
    """What one call logged: the metrics of one epoch, or some parameters."""

    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics) + len(self.params)


Send = Callable[[Batch], None]
"""Sends one batch; raises a TrackingError."""


class Buffer:
    """A `Log` that hands its batches to ``send`` in order, on a thread of its own.

    While the server can't be reached, the batch waits and is tried again; what the server refuses is given up, counted
    in ``lost`` and said in the log. ``sent`` and ``lost`` count values.
    """

    def __init__(self, send: Send, pause: Retry | None = None) -> None:
        self.sent = 0
        self.lost = 0
        self._send = send
        self._pause = pause or Retry(longest_delay=15.0)
        self._waiting: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._give_up_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        now = time.time_ns() // 1_000_000
        self._append(Batch(metrics=[Metric(key, float(value), step, now) for key, value in values.items()]))

    def log_params(self, params: Mapping[str, object]) -> None:
        self._append(Batch(params=dict(params)))

    def close(self, within: float) -> None:
        """Sends what still waits, for at most about ``within`` seconds; what then remains counts as lost.

        Nothing may be logged afterwards.
        """
        with self._changed:
            self._give_up_at = time.monotonic() + within
            self._changed.notify_all()
        self._thread.join(within)
        with self._changed:
            left = sum(len(batch) for batch in self._waiting)
            self._waiting.clear()
        if left:
            self.lost += left
            log.error("%d values could not be sent to MLflow within %.0f s.", left, within)

    def _append(self, batch: Batch) -> None:
        with self._changed:
            self._waiting.append(batch)
            self._changed.notify_all()

    def _run(self) -> None:
        failures = 0
        while batch := self._next():
            try:
                self._send(batch)
            except TrackingUnavailable as error:
                log.log(logging.DEBUG if failures else logging.WARNING, "MLflow is away, training goes on: %s", error)
                self._rest(self._pause.delay(failures))
                failures += 1
                continue
            except TrackingError as error:
                self.lost += len(batch)
                log.error("MLflow refused %d values, which are lost: %s", len(batch), error)
            except Exception:
                # The thread has to live on for the epochs to come.
                self.lost += len(batch)
                log.exception("%d values are lost", len(batch))
            else:
                self.sent += len(batch)
                failures = 0
            with self._changed:
                # close() may have given up on it in the meantime.
                if self._waiting and self._waiting[0] is batch:
                    self._waiting.popleft()

    def _next(self) -> Batch | None:
        """The oldest batch, which stays in line until it is dealt with; None when it is time to end."""
        with self._changed:
            while not self._waiting and self._give_up_at is None:
                self._changed.wait()
            if not self._waiting or (self._give_up_at is not None and time.monotonic() >= self._give_up_at):
                return None
            return self._waiting[0]

    def _rest(self, seconds: float) -> None:
        """Waits, but no longer than there is time left; close() shortens it."""
        with self._changed:
            if self._give_up_at is None:
                self._changed.wait_for(lambda: self._give_up_at is not None, seconds)
            else:
                self._changed.wait(min(seconds, max(0.0, self._give_up_at - time.monotonic())))
