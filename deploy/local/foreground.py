"""Keeps a stack up in the foreground until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.local.logs import follow
from deploy.local.process import PartError
from deploy.local.supervisor import Supervisor, live_state

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOOK_SECONDS = 0.5


class Stop(Exception):
    """A signal asked for an orderly end."""


def stop_on_signals() -> None:
    """From now on such a signal raises Stop."""
    for number in STOP_SIGNALS:
        signal.signal(number, _raise_stop)


def keep_running(supervisor: Supervisor, *, show_logs: bool, look: Callable[[], None] = lambda: None) -> None:
    """Restart parts that end, until a signal; calls ``look`` now and then. Raises PartError if a part keeps ending."""
    stop = threading.Event()
    if show_logs:
        threading.Thread(target=follow, args=(supervisor.stack.logs, stop), daemon=True).start()
    try:
        while True:
            supervisor.watch()
            look()
            time.sleep(LOOK_SECONDS)
    except Stop:
        # The work is done; Ctrl-C is the normal way to end.
        return
    finally:
        stop.set()


def running(data: Path, command: str) -> dict[str, Any]:
    """The state of the stack that is up. Raises PartError if none is; ``command`` starts one."""
    state = live_state(data)
    if not state.get("up"):
        raise PartError(f"nothing is up; start it with `{command}`")
    return state


def _raise_stop(*_: object) -> None:
    for number in STOP_SIGNALS:
        # The orderly end has begun; a second signal must not interrupt it.
        signal.signal(number, signal.SIG_IGN)
    raise Stop
