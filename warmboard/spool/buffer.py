"""A run's values on their way to MLflow.

The training thread only appends to a queue in memory. One thread writes what is there to the spool, so that memory is
bounded by what the disk takes in milliseconds, and a killed program leaves everything behind that was written. Another
sends from the spool, the oldest first.
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

# What is logged together, as parameters and the first epoch's values, goes together.
LINGER_SECONDS = 0.05
HUNG_SECONDS = 1.0
"""A disk that has taken nothing for so long is given up, until it takes something."""


class _Logged(NamedTuple):
    """What one call logged; ``step`` is None for parameters."""

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
        # Its `put` takes no lock that another thread could hold for long, and may be interrupted by a signal.
        self._queue: queue.SimpleQueue[_Logged | None] = queue.SimpleQueue()
        # Held for a few additions only.
        self._counting = threading.RLock()
        self._written = threading.Event()
        self._hung = False
        self._process = os.getpid()
        self._queued = 0
        self._dropped = 0
        self._left_out: set[str] = set()
        self._drained = False
        self._said: type[Exception] | None = None
        self._work = threading.Event()
        self._closing = threading.Event()
        self._give_up_at: float | None = None
        self._writer_over = _start(self._write, "spool")
        self._sender_over = _start(self._send, "tracking")

    @property
    def sent(self) -> int:
        """How many values MLflow has taken."""
        return self._delivery.sent

    @property
    def refused(self) -> int:
        """How many values MLflow refused for good."""
        return self._delivery.refused

    @property
    def waiting(self) -> int:
        """How many values MLflow has not taken yet, in memory and in the spool."""
        return self._queued + self._spool.waiting

    @property
    def lost(self) -> int:
        """How many values neither the disk nor MLflow took."""
        return self._dropped + self._spool.lost

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Takes what `float` makes a number of, at once; leaves out the rest, and says so once for each key."""
        now = time.time_ns() // 1_000_000
        try:
            whole = _step(step)
        except (OverflowError, TypeError, ValueError):
            self._leave_out([f"everything at step {step!r:.40}"])
            return
        try:
            numbers = {key: value if type(value) is float else _number(value) for key, value in values.items()}
        except Exception:  # noqa: BLE001 - what a value raises, nobody knows
            numbers = self._usable(values, _number)
        self._put(_Logged(now, whole, numbers))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Takes parameters as text, at once; leaves out what can't be made text, and says so once for each key."""
        now = time.time_ns() // 1_000_000
        self._put(_Logged(now, None, self._usable(params, param)))

    def close(self, within: float) -> None:
        """Sends what waits for at most ``within`` seconds, whatever hangs; what is left stays in the spool.

        Nothing can be logged afterwards. May be called again, for a shorter time.
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
            log.error("The disk of SPOOL_DIR hangs: %d values that it has not taken are LOST.", self._queued)
            self._drop(self._queued)
        else:
            self._spool.settle()

    def _usable(self, values: Mapping[str, object], convert: Callable[[object], T]) -> dict[str, T]:
        """What can be converted. Never raises."""
        usable = {}
        unfit = []
        try:
            for key, value in dict(values).items():
                try:
                    usable[str(key)] = convert(value)
                except Exception:  # noqa: BLE001 - what a value raises, nobody knows
                    unfit.append(str(key))
        except Exception:
            log.warning("What was logged is no mapping of names to values, and is left out.", exc_info=True)
        self._leave_out(unfit)
        return usable

    def _leave_out(self, keys: Iterable[str]) -> None:
        new = sorted(set(keys) - self._left_out)
        if new:
            self._left_out.update(new)
            log.warning("What is no number (a parameter: no text) is left out: %s", ", ".join(new))

    def _put(self, logged: _Logged) -> None:
        values = len(logged.values)
        if os.getpid() != self._process:
            # It has a copy of the queue, and none of the threads.
            log.error("%d values were logged in a forked process and are LOST: log them where the run began.", values)
            return
        with self._counting:
            if self._closing.is_set():
                log.error("%d values were logged after the run's end and are LOST.", values)
                self._lost(values)
                return
            try:
                self._queue.put(logged)
            finally:
                # A signal that ends the run may come right behind the call; nothing here lets another in.
                self._queued += values
        if self._queued > MEMORY_VALUES:
            self._make_room()

    def _make_room(self) -> None:
        """More is logged at once than memory is meant for: waits for the disk, unless that hangs."""
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
        """Gives up values that wait in memory."""
        with self._counting:
            self._queued -= values
            self._lost(values)

    def _lost(self, values: int) -> None:
        with self._counting:
            if not self._dropped:
                log.error("Values are LOST: the disk of SPOOL_DIR hangs, or they came too late.")
            self._dropped += values

    def _write(self) -> None:
        while not self._drained:
            some, last = self._collect()
            values = sum(len(logged.values) for logged in some)
            try:
                self._spool.append([record for logged in some for record in _records(logged)])
            except Exception:
                # The thread has to live on for the epochs to come.
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
        """All that waits in memory; at least something. And whether it is the last."""
        some = [self._queue.get()]
        with suppress(queue.Empty):
            while some[-1] is not None:
                some.append(self._queue.get_nowait())
        return [logged for logged in some if logged is not None], some[-1] is None

    def _send(self) -> None:
        failures = 0
        while self._time_left() > 0:
            last = self._drained
            try:
                delivered = self._delivery.one()
            except Exception as error:  # noqa: BLE001 - the thread has to live on for the epochs to come
                self._say(error)
                failures = self._rest(failures, getattr(error, "retry_after", 0.0))
                continue
            if delivered:
                failures = 0
                self._tell(delivered)
            elif last:
                return
            else:
                self._idle()

    def _idle(self) -> None:
        self._work.wait()
        self._work.clear()
        self._closing.wait(LINGER_SECONDS)

    def _tell(self, delivered: Delivered) -> None:
        if self._said:
            log.warning("MLflow takes values again; %d wait.", self._spool.waiting)
            self._said = None
        for batch in delivered.taken:
            if self._on_sent and self._time_left() > 0:
                try:
                    self._on_sent(batch)
                except Exception:
                    log.exception("What was to follow the sending of values failed")

    def _say(self, error: Exception) -> None:
        """Once per spell and kind of failure."""
        if self._said is type(error):
            log.debug("Values still wait: %s", error)
        elif isinstance(error, TrackingUnavailableError):
            log.warning("MLflow is away, training goes on, values wait: %s", error)
        elif isinstance(error, TrackingError):
            log.error("MLflow can't be asked, training goes on, values wait: %s", error)
        else:
            log.error("Values can't be sent, training goes on, they wait", exc_info=error)
        self._said = type(error)

    def _rest(self, failures: int, asked: float) -> int:
        """Waits before the next attempt, and counts it; the end is a reason to try at once."""
        delay = self._retry.delay(failures, asked)
        if self._closing.is_set():
            time.sleep(max(0.0, min(delay, self._time_left())))
        elif self._closing.wait(delay):
            return 0
        return failures + 1

    def _time_left(self) -> float:
        return math.inf if self._give_up_at is None else self._give_up_at - time.monotonic()


def _start(work: Callable[[], None], name: str) -> threading.Event:
    """Runs it in a thread. Set once that is over: a signal during `Thread.join` makes a living thread look dead."""
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
        raise TypeError("text is no number")
    return float(value)


def _step(step: Any) -> int:
    whole = int(step)
    if not -(2**63) <= whole < 2**63:
        raise OverflowError("MLflow's steps have 64 bits")
    return whole
