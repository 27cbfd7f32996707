"""Prometheus metrics of a program: counted in all its processes, served by one of them on a port of its own.

A program that serves metrics calls ``share`` before any metric is made; the processes that it starts then count in
files. Without METRICS_PORT nothing is counted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: the folder of the files."""
PREFIX = "warmboard-metrics-"


def share() -> None:
    """Have this process and those that it starts count in files of a new folder."""
    # Its own variable for the path: a folder of another program's would mix their numbers.
    os.environ[FOLDER] = tempfile.mkdtemp(prefix=PREFIX)


def counted() -> bool:
    """Whether metrics are served, so that it is worth to count."""
    return FOLDER in os.environ


def serve(host: str, port: int, collectors: Iterable[Any] = ()) -> None:
    """Serve the sums of all processes, and what ``collectors`` find when they are asked, from a thread.

    Raises OSError if the port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    for collector in collectors:
        registry.register(collector)
    start_http_server(port, addr=host, registry=registry)


def forget() -> None:
    """Delete the files, when the program ends."""
    if folder := os.environ.pop(FOLDER, None):
        shutil.rmtree(folder, ignore_errors=True)
