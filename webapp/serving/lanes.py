"""Lanes: groups of threads that run requests of one kind, so that no kind can take the threads of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

PATIENCE = 10.0
"""Seconds. A request that waited longer for a thread is refused: its client has given up, or soon will."""


class Job(NamedTuple):
    run: Callable[[], None]
    refuse: Callable[[], None]
    since: float


class Lane:
    """A fixed number of threads with a queue of bounded length. ``submit`` belongs to one thread, the event loop's."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name, self._most = name, threads + waiting
        self._unfinished = 0
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    @property
    def is_full(self) -> bool:
        return self._unfinished >= self._most

    @property
    def unfinished(self) -> int:
        """Requests that run or wait."""
        return self._unfinished

    def submit(self, run: Callable[[], None], refuse: Callable[[], None]) -> None:
        """Have a thread call ``run``, or ``refuse`` if none is free within PATIENCE. Neither may raise."""
        self._unfinished += 1
        self._jobs.put(Job(run, refuse, time.monotonic()))

    def finished(self) -> None:
        """Count a submitted job as done."""
        self._unfinished -= 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if time.monotonic() - job.since > PATIENCE:
                job.refuse()
            else:
                job.run()
            # No reference to the request while the thread waits for the next.
            del job
