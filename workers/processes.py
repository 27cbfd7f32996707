"""The processes of a worker, and what happens to their claims when one ends.

A worker has a main process, whose name is unique, and children, which run the tasks. A claim names both. It is given
back when the worker gets SIGTERM, released when the child is killed, and expires when the main process is killed.
"""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from billiard.exceptions import WorkerLostError
from celery.signals import worker_process_init, worker_ready, worker_shutting_down
from celery.worker import state
from celery.worker.request import Request
from django.db import DatabaseError, connection
from kombu.exceptions import OperationalError as BrokerError

from workers import inbox
from workers.queue import dispatch
from workers.warm import rebuilds

log = logging.getLogger(__name__)
T = TypeVar("T")
NAME_PREFIX = "celery@"
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 2.0
"""After SIGTERM, tasks have this long to end by themselves."""
GIVE_BACK_SECONDS = 3.0
"""Then its claims are given back, which takes this long if the database is slow."""
END_SECONDS = 8.0
"""A worker ends within this time after SIGTERM: clouds kill it after 10 s."""


def unique_name() -> str:
    """A new name for a worker. The host's name alone is not unique: on Cloud Run every host is called localhost."""
    return f"{NAME_PREFIX}{socket.gethostname()}-{secrets.token_hex(4)}"


def claimant(worker: str) -> str:
    """The name under which this process claims: the worker's, and the process's number."""
    return _claimant(worker, os.getpid())


def _claimant(worker: str, process: object) -> str:
    return f"{worker}/{process}"


class ClaimingRequest(Request):
    """A task that claims a run, as the main process sees it."""

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        """Release what a killed child held before Celery queues its task again. The attempt counts."""
        # Billiard wraps what it raises itself.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError) and self.worker_pid:
            _without_raising(lambda: inbox.release(_claimant(self.hostname, self.worker_pid)))
        return super().on_failure(exc_info, *arguments, **options)


def end(worker: str, pool: Any) -> None:
    """End a worker that got SIGTERM, beside its main thread, which waits for the tasks: leave them a moment, give back
    the claims of those that still run, and kill their processes.
    """
    began = time.monotonic()
    while state.active_requests and time.monotonic() - began < GRACE_SECONDS:
        time.sleep(0.05)
    if state.active_requests:
        try:
            _stop_tasks(worker, pool)
        except Exception:
            # The main thread may change what is listed here. The children end with it.
            log.exception("claims of worker %s were not given back, they will expire", worker)
    time.sleep(max(0.0, began + END_SECONDS - time.monotonic()))
    log.warning("worker %s has not ended in %.0f s by itself", worker, END_SECONDS)
    os._exit(0)


def _stop_tasks(worker: str, pool: Any) -> None:
    children = list(pool.info["processes"])
    # A database that hangs must not hold the worker: the claims then expire.
    giving = threading.Thread(target=give_back, args=[worker, list(state.active_requests)], daemon=True)
    giving.start()
    giving.join(GIVE_BACK_SECONDS)
    for pid in children:
        # One may have ended meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def give_back(worker: str, requests: Iterable[Request]) -> None:
    """Give back what a worker's processes claimed, and queue it for others. ``requests`` are the tasks that they run:
    a rebuild's row doesn't name its worker.
    """
    for run_id in _without_raising(lambda: inbox.give_back(_claimant(worker, ""))) or []:
        log.warning("run %s is given back: worker %s ends", run_id, worker, extra={"run_id": run_id})
        try:
            dispatch(run_id)
        except BrokerError as error:
            log.error("Redis is down, the sweep will queue run %s: %s", run_id, error, extra={"run_id": run_id})
    # Last: they can wait better than events.
    for request in requests:
        if request.name == "rebuild_run":
            run_id, attempts = request.args[:2]
            log.warning("run %s is not rebuilt yet: worker %s ends", run_id, worker, extra={"run_id": run_id})
            _without_raising(partial(rebuilds.give_back, run_id, attempts))


def _without_raising(change: Callable[[], T]) -> T | None:
    """Do it in this process, which must go on. Without a database the claims expire; then it is None."""
    try:
        return change()
    except DatabaseError as error:
        log.error("claims were not given back, they will expire: %s", error)
        return None
    finally:
        # A child that is forked later must not inherit it.
        connection.close()


@worker_ready.connect
def _listen_for_the_end(sender: Any, **_: Any) -> None:
    worker_shutting_down.connect(
        lambda **_: threading.Thread(target=end, args=[sender.hostname, sender.pool], daemon=True).start(), weak=False
    )


@worker_process_init.connect
def _end_with_main(**_: Any) -> None:
    """The main process decides when a child ends: not a SIGTERM to the group. If it is killed, so is the child: its
    claims must expire.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
