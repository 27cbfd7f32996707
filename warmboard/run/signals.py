"""SIGTERM, as a cloud sends it before it takes the machine away; and Ctrl-C while a run ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

TERMINATED = 143
"""The exit status of a process that SIGTERM ended, as shells tell it."""

_active: list[Termination] = []
"""Who listens to SIGTERM, the innermost last."""


class Termination:
    """Turns SIGTERM into SystemExit(143) in the main thread, so that ``with`` blocks end as they should.

    Only where SIGTERM has its default action: a program's own handler is its own business. Where several listen, the
    latest gets the signal. Python takes handlers in the main thread only; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        """Called before SystemExit is raised."""
        self.noted: BaseException | None = None
        """What came while it was `put_off`."""
        self._puts_off = False
        self._interrupt: Any = None

    def listen(self) -> None:
        if not _in_main_thread() or self in _active:
            return
        if not _active and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            _active.append(self)

    def put_off(self) -> None:
        """From now on SIGTERM and Ctrl-C are only noted: what is under way must not be left half done."""
        self._puts_off = True
        if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._interrupt = signal.signal(signal.SIGINT, self._note_interrupt)

    def settle(self) -> None:
        """Signals do again what they did before; one that was put off is raised now."""
        if self in _active and _in_main_thread():
            _active.remove(self)
            if not _active and signal.getsignal(signal.SIGTERM) is _on_sigterm:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._interrupt is not None and _in_main_thread():
            signal.signal(signal.SIGINT, self._interrupt)
            self._interrupt = None
        self._puts_off = False
        if self.noted is not None:
            noted, self.noted = self.noted, None
            raise noted

    def terminate(self) -> None:
        """SIGTERM came."""
        if self._puts_off:
            self.noted = SystemExit(TERMINATED)
            return
        self.before()
        raise SystemExit(TERMINATED)

    def _note_interrupt(self, number: int, frame: Any) -> None:
        self.noted = KeyboardInterrupt()


def _on_sigterm(number: int, frame: Any) -> None:
    if not _active:
        # The last one has just ended.
        raise SystemExit(TERMINATED)
    _active[-1].terminate()


def _forget() -> None:
    """In a forked process, such as a data loader's: the run is the parent's, and SIGTERM just ends the child."""
    _active.clear()
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
