"""The health check of a worker process. Subscriber and beat have a heartbeat file instead (`heartbeat.py`)."""

from __future__ import annotations

from pathlib import Path

from workers.heartbeat import UnhealthyError
from workers.queue import app


def check_worker(name_file: Path) -> str:
    """Ping the worker that wrote its name to this file, over the broker.

    Raises UnhealthyError if it does not answer.
    """
    try:
        name = name_file.read_text()
    except FileNotFoundError:
        raise UnhealthyError(f"there is no name at {name_file}: the worker has not started working") from None
    if not app.control.ping(destination=[name], timeout=3):
        raise UnhealthyError(f"worker {name} does not answer over the broker")
    return f"worker {name} answers"
