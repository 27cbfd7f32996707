"""A timeout for work that may hang: it runs on its own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05


class Bounded(Generic[T]):
    """Runs ``action`` on a thread, at once. `result` returns its result or raises its exception."""

    def __init__(self, action: Callable[[], T], name: str) -> None:
        self._action = action
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down and starts no threads.
            self._run()

    def wait(self, seconds: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Wait up to this many seconds, or until ``hurry`` returns True. Return True if ``action`` has ended."""
        deadline = time.monotonic() + seconds
        while not self._done.wait(max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or hurry():
                return self._done.is_set()
        return True

    def result(self) -> T | None:
        """Return the action's result; None while it runs. Raises the action's exception."""
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._action()
        except Exception as error:  # noqa: BLE001 - raised again by result()
            self._error = error
        finally:
            self._done.set()
