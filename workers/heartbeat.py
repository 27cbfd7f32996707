"""A file that a process touches while it works; health checks read its age."""

from __future__ import annotations

import time
from pathlib import Path


class UnhealthyError(Exception):
    """A process does not work; the text says what was seen."""


def touch(heartbeat: Path) -> None:
    """Record that this process works: set the file's time to now. One that can't, as the disk is full, works on."""
    try:
        heartbeat.parent.mkdir(parents=True, exist_ok=True)
        heartbeat.touch()
    except OSError as error:
        # Imported here: the health check, which imports this module, does not need it.
        import logging

        text = "there is no heartbeat at %s, so health checks fail: %s"
        logging.getLogger(__name__).error(text, heartbeat, error)


def check_heartbeat(heartbeat: Path, max_age: float) -> str:
    """The heartbeat's age, in words. The subscriber's heartbeat comes every second while Pub/Sub answers, beat's with
    every successful sweep.

    Raises UnhealthyError if there is none, or if it is older than ``max_age`` seconds.
    """
    try:
        age = time.time() - heartbeat.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        raise UnhealthyError(f"there is no heartbeat at {heartbeat}: the process has not started working") from None
    if age > max_age:
        raise UnhealthyError(f"the last heartbeat at {heartbeat} is {age:.0f} s old")
    return f"the last heartbeat is {age:.0f} s old"
