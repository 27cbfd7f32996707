"""Lanes: groups of threads that run requests of one kind, so that no kind can take the threads of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue

PATIENCE = 30.0
"""Seconds. A request that waited longer for a thread is refused: its client, or a proxy, will soon give up."""


@dataclass(slots=True)
class Job:
    """A request that runs or waits. If its client is ``gone`` before a thread is free, it does not run."""

    run: Callable[[], None]
    refuse: Callable[[], None]
    since: float = field(default_factory=time.monotonic)
    gone: bool = False

    @property
    def is_late(self) -> bool:
        return self.gone or time.monotonic() - self.since > PATIENCE


class Lane:
    """A fixed number of threads with a queue of bounded length. ``submit`` belongs to one thread, the event loop's."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name, self._threads, self._most = name, threads, threads + waiting
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

    @property
    def has_waiting(self) -> bool:
        return self._unfinished > self._threads

    def submit(self, run: Callable[[], None], refuse: Callable[[], None]) -> Job:
        """Have a thread call ``run``, or ``refuse`` if none is free within PATIENCE or before the client is gone.
        Neither may raise.
        """
        job = Job(run, refuse)
        self._unfinished += 1
        self._jobs.put(job)
        return job

    def finished(self) -> None:
        """Count a submitted job as done."""
        self._unfinished -= 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job.is_late:
                job.refuse()
            else:
                job.run()
            # No reference to the request while the thread waits for the next.
            del job
