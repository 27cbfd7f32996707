"""SIGTERM and Ctrl-C as an event."""

from __future__ import annotations

import signal
import threading

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_event() -> threading.Event:
    """An event that SIGTERM or SIGINT sets, from now on. For the main thread, before it starts others.

    A thread of its own waits for them, since a handler must not set an event: it may run while the main thread holds
    the event's lock, and then waits for that lock for ever.
    """
    stop = threading.Event()
    # Threads inherit this, so that the signals are left for that one.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    threading.Thread(target=_set_on_signal, args=[stop], name="signals", daemon=True).start()
    return stop


def _set_on_signal(stop: threading.Event) -> None:
    signal.sigwait(STOP_SIGNALS)
    stop.set()
