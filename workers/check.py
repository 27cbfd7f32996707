"""Health checks of the workers' processes, judged by work done: exit status for containers and operators."""

from __future__ import annotations

import socket
import time
from pathlib import Path

HEARTBEAT_AGE = 30.0
"""Both heartbeats come every few seconds: the subscriber's every 2, beat's with every sweep that worked."""


class UnhealthyError(Exception):
    """The process does not work; the text says how it shows."""


def touch(heartbeat: Path) -> None:
    """What a process does while it works."""
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    heartbeat.touch()


def check_heartbeat(heartbeat: Path) -> str:
    """Its process worked lately. Raises UnhealthyError."""
    try:
        age = time.time() - heartbeat.stat().st_mtime
    except FileNotFoundError:
        raise UnhealthyError(f"there is no heartbeat at {heartbeat}: the process has not begun to work") from None
    if age > HEARTBEAT_AGE:
        raise UnhealthyError(f"the last heartbeat at {heartbeat} is {age:.0f} s old")
    return f"the last heartbeat is {age:.0f} s old"


def check_worker() -> str:
    """The worker on this host answers a ping over the broker. Raises UnhealthyError."""
    from workers.tasks import app

    name = f"celery@{socket.gethostname()}"
    if not app.control.ping(destination=[name], timeout=3):
        raise UnhealthyError(f"worker {name} does not answer over the broker")
    return f"worker {name} answers"
