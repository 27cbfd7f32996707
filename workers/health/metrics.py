"""The metrics ports of the workers' processes: METRICS_PORT. One without the setting counts nothing."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable

from celery.utils.log import current_process_index

from store import metrics
from workers.settings import Settings

MAIN = "main"


def share(settings: Settings, process: Callable[[], object] = lambda: MAIN) -> bool:
    """Begin to count, in this process and in those that it forks; returns whether there is a port to serve it on."""
    if not settings.metrics_port:
        return False
    metrics.share(process)
    began = os.getpid()
    atexit.register(lambda: metrics.forget() if os.getpid() == began else None)
    return True


def place() -> object:
    """The name of a worker's process: its place among the worker's, so that who follows a dead one counts on in its
    files. There are never more files than places.
    """
    index = current_process_index(0)
    return MAIN if index is None else index


def serve(settings: Settings, *, with_database: bool = False) -> None:
    """Serve what was counted. Does nothing if there is no port; raises SettingError if it is taken."""
    if not settings.metrics_port:
        return
    # Imported here: without a port it isn't needed.
    from workers.health.gauges import DatabaseGauges

    gauges = [DatabaseGauges(settings.tracking_servers)] if with_database else []
    metrics.serve(settings.metrics_host, settings.metrics_port, gauges)
