"""How the requests of one fetch pause where a server asks for fewer (429)."""

from __future__ import annotations

import threading
import time

from workers.backoff import backoff
from workers.errors import ThrottledError
from workers.fetch.budget import Budget

MOST_TRIES = 6
"""Of one request."""
FIRST_SECONDS = 1.0
"""The first pause, if the server names none. Hosted MLflow servers count their requests by the second."""
LONGEST_SECONDS = 20.0
"""A server that names a longer pause ends the fetch: meanwhile its process warms other runs."""


class Pauses:
    """Several threads may use it: when the server answers one of them with 429, all of them pause.

    Only if it has answered a request of the fetch before. Where the first one is rejected, the run has to wait for
    its turn (``workers/servers/gate.py``).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_answered = False
        self._until = 0.0
        self._over: ThrottledError | None = None

    def wait(self, budget: Budget) -> None:
        """Wait until the next request may be sent. Raises TransientError at the deadline of the fetch, or
        ThrottledError if another request has failed by now.
        """
        while (left := self._until - time.monotonic()) > 0:
            time.sleep(min(left, budget.seconds()))
        if self._over:
            raise self._over

    def answered(self) -> None:
        """The server has answered a request with something else."""
        self._has_answered = True

    def pause(self, tries: int, error: ThrottledError) -> None:
        """Let all requests pause, after one that was rejected ``tries`` times. Raises its error if that is the end."""
        seconds = error.rest or backoff(tries, FIRST_SECONDS, LONGEST_SECONDS)
        with self._lock:
            if not self._has_answered or tries >= MOST_TRIES or seconds > LONGEST_SECONDS:
                self._over = error
                raise error
            self._until = max(self._until, time.monotonic() + seconds)
