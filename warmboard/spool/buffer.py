"""A run's values on their way to MLflow.

The training thread only appends to a queue in memory. A second thread writes the queue to the spool, so the queue stays
short, and the values of a killed program are on disk. A third thread sends from the spool, the oldest values first.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from warmboard.errors import TrackingError, TrackingUnavailableError
from warmboard.spool import records
from warmboard.spool.delivery import Delivered, Delivery, Send
from warmboard.spool.records import Record
from warmboard.spool.spool import MEMORY_VALUES, Spool
from warmboard.tracking.retry import Retry
from warmboard.tracking.values import Batch, param

log = logging.getLogger(__name__)

T = TypeVar("T")

# Values that are logged together, such as parameters and the first epoch, are sent together.
LINGER_SECONDS = 0.05
HUNG_SECONDS = 1.0
"""A disk that has accepted nothing for this long counts as hung, until it accepts something."""


class _Logged(NamedTuple):
    """The values of one call. ``time`` is in milliseconds since 1970; ``step`` is None for parameters."""

    time: int
    step: int | None
    values: Mapping[str, Any]


class Buffer:
    """A `warmboard.tracking.Log` that calls ``send`` with its values in order, as rarely as MLflow's limits allow.

    ``send`` raises a TrackingError. Unless the values themselves are at fault (ValuesRejectedError), they are kept and
    retried without end. ``on_sent`` is called with each batch that MLflow has accepted, on the sending thread.
    """

    def __init__(
        self,
        spool: Spool,
        send: Send,
        *,
        on_sent: Callable[[Batch], None] | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._spool = spool
        self._delivery = Delivery(spool, send)
        self._on_sent = on_sent
        self._retry = retry or Retry(longest_delay=15.0)
        # No thread holds a lock in its `put` for long, and a signal may interrupt it.
        self._queue: queue.SimpleQueue[_Logged | None] = queue.SimpleQueue()
        # Held only for a few additions.
        self._counting = threading.RLock()
        self._written = threading.Event()
        self._hung = False
        self._process = os.getpid()
        self._queued = 0
        self._dropped = 0
        self._left_out: set[str] = set()
        self._drained = False
        self._reported: type[Exception] | None = None
        self._work = threading.Event()
        self._closing = threading.Event()
        self._give_up_at: float | None = None
        self._writer_over = _start(self._write, "spool")
        self._sender_over = _start(self._send, "tracking")

    @property
    def sent(self) -> int:
        """How many values MLflow has accepted."""
        return self._delivery.sent

    @property
    def rejected(self) -> int:
        """How many values MLflow rejected for good."""
        return self._delivery.rejected

    @property
    def waiting(self) -> int:
        """How many values are not sent yet, in memory and in the spool."""
        return self._queued + self._spool.waiting

    @property
    def lost(self) -> int:
        """How many values neither the disk nor MLflow accepted."""
        return self._dropped + self._spool.lost

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log the values that ``float`` can convert. Leaves out others, with one warning for each key."""
        now = time.time_ns() // 1_000_000
        try:
            whole = _step(step)
        except (OverflowError, TypeError, ValueError):
            self._leave_out([f"everything at step {step!r:.40}"])
            return
        try:
            numbers = {key: value if type(value) is float else _number(value) for key, value in values.items()}
        except Exception:  # noqa: BLE001 - a value may raise anything
            numbers = self._usable(values, _number)
        self._put(_Logged(now, whole, numbers))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters as text. Leaves out values without a text, with one warning for each key."""
        now = time.time_ns() // 1_000_000
        self._put(_Logged(now, None, self._usable(params, param)))

    def close(self, within: float) -> None:
        """Send the values that are left, for up to ``within`` seconds, even if a disk or server hangs.

        Values that are not sent stay in the spool. Nothing can be logged afterwards. May be called again with a shorter
        timeout.
        """
        self._give_up_at = deadline = time.monotonic() + within
        with self._counting:
            if not self._closing.is_set():
                try:
                    self._closing.set()
                finally:
                    self._queue.put(None)
        self._writer_over.wait(within)
        self._sender_over.wait(max(0.0, deadline - time.monotonic()))
        if not self._writer_over.is_set():
            log.error("The disk of SPOOL_DIR hangs: %d values that are not written are LOST.", self._queued)
            self._drop(self._queued)
        else:
            self._spool.settle()

    def _usable(self, values: Mapping[str, object], convert: Callable[[object], T]) -> dict[str, T]:
        """Return the values that ``convert`` accepts. Never raises."""
        usable = {}
        unfit = []
        try:
            for key, value in dict(values).items():
                try:
                    usable[str(key)] = convert(value)
                except Exception:  # noqa: BLE001 - a value may raise anything
                    unfit.append(str(key))
        except Exception:
            log.warning("The logged object is not a mapping of names to values, and is left out.", exc_info=True)
        self._leave_out(unfit)
        return usable

    def _leave_out(self, keys: Iterable[str]) -> None:
        new = sorted(set(keys) - self._left_out)
        if new:
            self._left_out.update(new)
            log.warning("Left out, because they are not numbers (parameters: not text): %s", ", ".join(new))

    def _put(self, logged: _Logged) -> None:
        values = len(logged.values)
        if os.getpid() != self._process:
            # A forked process has a copy of the queue, but not the threads.
            log.error("%d values were logged in a forked process and are LOST: log in the process of the run.", values)
            return
        with self._counting:
            if self._closing.is_set():
                log.error("%d values were logged after the run's end and are LOST.", values)
                self._lost(values)
                return
            try:
                self._queue.put(logged)
            finally:
                # A signal may end the run right after `put`; the count must be right by then.
                self._queued += values
        if self._queued > MEMORY_VALUES:
            self._make_room()

    def _make_room(self) -> None:
        """Wait for the disk if the queue is full. If the disk hangs, drop the oldest values."""
        while self._queued > MEMORY_VALUES and not self._hung:
            self._written.clear()
            if self._queued > MEMORY_VALUES and not self._written.wait(HUNG_SECONDS):
                self._hung = True
        while self._queued > MEMORY_VALUES and self._queue.qsize() > 1:
            try:
                oldest = self._queue.get_nowait()
            except queue.Empty:
                return
            if oldest is not None:
                self._drop(len(oldest.values))

    def _drop(self, values: int) -> None:
        """Drop values from the queue."""
        with self._counting:
            self._queued -= values
            self._lost(values)

    def _lost(self, values: int) -> None:
        with self._counting:
            if not self._dropped:
                log.error("Values are LOST: the disk of SPOOL_DIR hangs, or they were logged too late.")
            self._dropped += values

    def _write(self) -> None:
        while not self._drained:
            some, last = self._collect()
            values = sum(len(logged.values) for logged in some)
            try:
                self._spool.append([record for logged in some for record in _records(logged)])
            except Exception:
                # The thread must go on for later epochs.
                log.exception("%d values are LOST", values)
                self._drop(values)
            else:
                with self._counting:
                    self._queued -= values
            self._drained = last
            self._hung = False
            self._written.set()
            self._work.set()

    def _collect(self) -> tuple[list[_Logged], bool]:
        """Wait for values in memory. Return all of them, and True if they are the last."""
        some = [self._queue.get()]
        with suppress(queue.Empty):
            while some[-1] is not None:
                some.append(self._queue.get_nowait())
        return [logged for logged in some if logged is not None], some[-1] is None

    def _send(self) -> None:
        failures = 0
        while self._time_left() > 0:
            last, at_the_end = self._drained, self._closing.is_set()
            try:
                delivered = self._delivery.one()
            except Exception as error:  # noqa: BLE001 - the thread must go on for later epochs
                self._report(error)
                failures = self._pause(failures, getattr(error, "retry_after", 0.0), at_the_end)
                continue
            if delivered:
                failures = 0
                self._confirm(delivered)
            elif last:
                return
            else:
                self._idle()

    def _idle(self) -> None:
        self._work.wait()
        self._work.clear()
        self._closing.wait(LINGER_SECONDS)

    def _confirm(self, delivered: Delivered) -> None:
        if self._reported:
            log.warning("MLflow is up again; %d values are to be sent.", self._spool.waiting)
            self._reported = None
        for batch in delivered.accepted:
            if self._on_sent and self._time_left() > 0:
                try:
                    self._on_sent(batch)
                except Exception:
                    log.exception("The callback after sending failed")

    def _report(self, error: Exception) -> None:
        """Log a failure, once per outage and kind of failure."""
        if self._reported is type(error):
            log.debug("Values are kept: %s", error)
        elif isinstance(error, TrackingUnavailableError):
            log.warning("MLflow is down. Training goes on, and values are kept: %s", error)
        elif isinstance(error, TrackingError):
            log.error("MLflow rejects requests. Training goes on, and values are kept: %s", error)
        else:
            log.error("Values can't be sent. Training goes on, and they are kept", exc_info=error)
        self._reported = type(error)

    def _pause(self, failures: int, asked: float, at_the_end: bool) -> int:
        """Wait before the next attempt, or until the run ends: an attempt that began before is repeated at once. Return
        the new number of failures.
        """
        delay = self._retry.delay(failures, asked)
        if at_the_end:
            time.sleep(max(0.0, min(delay, self._time_left())))
        elif self._closing.wait(delay):
            return 0
        return failures + 1

    def _time_left(self) -> float:
        return math.inf if self._give_up_at is None else self._give_up_at - time.monotonic()


def _start(work: Callable[[], None], name: str) -> threading.Event:
    """Run it on a thread. Return an event for its end: after a signal in `Thread.join`, a live thread looks ended."""
    over = threading.Event()

    def run() -> None:
        try:
            work()
        finally:
            over.set()

    threading.Thread(target=run, name=name, daemon=True).start()
    return over


def _records(logged: _Logged) -> Iterator[Record]:
    if logged.step is None:
        return records.params(logged.values, logged.time)
    return records.metrics(logged.values, logged.step, logged.time)


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("text is not a number")
    return float(value)


def _step(step: Any) -> int:
    whole = int(step)
    if not -(2**63) <= whole < 2**63:
        raise OverflowError("MLflow's steps have 64 bits")
    return whole
