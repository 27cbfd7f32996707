"""SIGTERM, which a cloud sends before it stops a machine, and Ctrl-C while a run ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended, by the convention of shells: 128 + SIGINT."""
TERMINATED = 143
"""The exit status of a process that SIGTERM ended: 128 + SIGTERM."""

_listening: list[Termination] = []
"""The innermost is the last."""


class Termination:
    """Turns SIGTERM into SystemExit(143) in the main thread, so that ``with`` blocks are left as usual.

    Only if SIGTERM has its default action: a program's own handler is not replaced. If several listen, the last one
    gets the signal. Python sets handlers in the main thread only; in other threads this does nothing.
    """

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        """Called before SystemExit is raised."""
        self.deferred: BaseException | None = None
        """The exception of a signal that came after `defer`."""
        self._defers = False
        self._interrupt: Any = None

    def listen(self) -> None:
        """Start to handle SIGTERM."""
        if not _in_main_thread() or self in _listening:
            return
        if not _listening and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            _listening.append(self)

    def defer(self) -> None:
        """From now on only note SIGTERM and Ctrl-C, so that they can't interrupt the end of a run."""
        self._defers = True
        if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._interrupt = signal.signal(signal.SIGINT, self._note_interrupt)

    def settle(self) -> None:
        """Restore the signal handlers. Raises the exception of a deferred signal."""
        if self in _listening and _in_main_thread():
            _listening.remove(self)
            if not _listening and signal.getsignal(signal.SIGTERM) is _on_sigterm:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._interrupt is not None and _in_main_thread():
            signal.signal(signal.SIGINT, self._interrupt)
            self._interrupt = None
        self._defers = False
        if self.deferred is not None:
            deferred, self.deferred = self.deferred, None
            raise deferred

    def terminate(self) -> None:
        """Handle SIGTERM."""
        if self._defers:
            self.deferred = SystemExit(TERMINATED)
            return
        self.before()
        raise SystemExit(TERMINATED)

    def _note_interrupt(self, number: int, frame: Any) -> None:
        self.deferred = KeyboardInterrupt()


def _on_sigterm(number: int, frame: Any) -> None:
    if not _listening:
        # The last one has just stopped listening.
        raise SystemExit(TERMINATED)
    _listening[-1].terminate()


def _forget() -> None:
    """In a forked process, such as a data loader's: the run is the parent's, and SIGTERM just ends the child."""
    _listening.clear()
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
