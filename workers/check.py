"""The health check of a worker process. Subscriber and beat have a heartbeat file instead (`heartbeat.py`)."""

from __future__ import annotations

import socket

from workers.heartbeat import UnhealthyError
from workers.queue import app


def check_worker() -> str:
    """Ping the worker on this host over the broker.

    Raises UnhealthyError if it does not answer.
    """
    name = f"celery@{socket.gethostname()}"
    if not app.control.ping(destination=[name], timeout=3):
        raise UnhealthyError(f"worker {name} does not answer over the broker")
    return f"worker {name} answers"
