"""Progress bars on a terminal. If standard error is not a terminal, nothing is shown."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

WIDTH = 24
REDRAW_SECONDS = 0.1


def bar(done: int, total: int) -> str:
    """Return a bar of ``WIDTH`` blocks, of which the share ``done / total`` is filled."""
    filled = min(WIDTH, WIDTH * done // max(total, 1))
    return "█" * filled + "░" * (WIDTH - filled)


class Bar:
    """A line that fills with the progress, and is removed at the end. ``total`` is in any unit."""

    def __init__(self, label: str, total: int, stream: TextIO | None = None, *, shown: bool = True) -> None:
        self._label = label
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = shown and self._stream.isatty()
        self._done = 0
        self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def add(self, done: int) -> None:
        """Add progress, in the unit of ``total``."""
        self._done += done
        now = time.monotonic()
        if self._shown and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            share = min(100, 100 * self._done // max(self._total, 1))
            self._stream.write(f"\r{self._label}  {bar(self._done, self._total)}  {share} %\x1b[K")
            self._stream.flush()
