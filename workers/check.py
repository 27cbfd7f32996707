"""Health checks of the workers' processes, judged by work done: exit status for containers and `make up`."""

from __future__ import annotations

import time
from pathlib import Path

HEARTBEAT_AGE = 15.0


class UnhealthyError(Exception):
    """The process does not work; the text says how it shows."""


def check_subscriber(heartbeat: Path) -> str:
    """The subscriber touched its heartbeat lately. Raises UnhealthyError."""
    try:
        age = time.time() - heartbeat.stat().st_mtime
    except FileNotFoundError:
        raise UnhealthyError(f"no heartbeat at {heartbeat}: the subscriber has not listened yet") from None
    if age > HEARTBEAT_AGE:
        raise UnhealthyError(f"the last heartbeat at {heartbeat} is {age:.0f} s old")
    return f"listening, heartbeat {age:.0f} s old"


def check_worker() -> str:
    """A worker answers a ping over the broker. Raises UnhealthyError."""
    from workers.app import app

    replies = app.control.ping(timeout=3)
    if not replies:
        raise UnhealthyError("no worker answers over the broker")
    return ", ".join(sorted(name for reply in replies for name in reply))
