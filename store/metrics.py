"""Prometheus metrics of a program: counted in all its processes, served by one of them on a port of its own.

A program that serves metrics calls ``share`` before any metric is made; the processes that it starts then count in
files. Without METRICS_PORT nothing is counted.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

from warmboard.contract.settings import METRICS_PORT, SettingError

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own variable: the folder of the files."""
PREFIX = "warmboard-metrics-"
NEW_SECONDS = 60.0
"""A folder that is younger may not be locked yet."""
SILENT_SECONDS = 5.0
"""How long a client of the port may send or take nothing."""
MOST_CLIENTS = 32
"""Connections of the port at once; more are closed."""
_held: int | None = None
"""The lock of this process's folder."""


def share(process: Callable[[], object] = os.getpid) -> None:
    """Have this process and those that it starts count in files of a new folder.

    ``process`` names the process in which it is called: no two that run at the same time may have one name. One that
    takes the name of a process that has ended counts on in its files.
    """
    global _held
    _delete_leftovers()
    # Its own variable for the path: a folder of another program's would mix their numbers.
    os.environ[FOLDER] = tempfile.mkdtemp(prefix=PREFIX)
    _held = _lock(os.environ[FOLDER])
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process)  # type: ignore[no-untyped-call]


def _lock(path: str | Path) -> int | None:
    """Lock a folder for this process and those that it forks; None if others hold it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def _delete_leftovers() -> None:
    """Delete the folders of processes that were killed: the kernel has released their locks."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            is_new = time.time() - path.stat().st_mtime < NEW_SECONDS
            if not is_new and (lock := _lock(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def folder() -> str | None:
    """The folder of the files; None if no metrics are served, so that nothing is to be counted."""
    path = os.environ.get(FOLDER, "")
    # Another program's environment may have set it.
    return path if PREFIX in path else None


def count_reads(found: Literal["process", "redis", "tables", "nowhere"], count: int = 1) -> None:
    """Count reads of bodies, by where they were found."""
    if count and (path := folder()):
        _reads(path).labels(found).inc(count)


@cache
def _reads(_: str) -> Any:
    from prometheus_client import Counter

    return Counter("warmboard_reads", "Of bodies, by where they were found.", ["found"], registry=None)


def serve(host: str, port: int, collectors: Iterable[Any] = ()) -> int:
    """Serve the sums of all processes, and what ``collectors`` find when they are asked, from a thread. Port 0 is any
    free one. Returns the port.

    Raises SettingError if the port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    class Living(MultiProcessCollector):
        def collect(self) -> Any:
            _forget_dead()
            return super().collect()  # type: ignore[no-untyped-call]

    registry = CollectorRegistry()
    Living(registry)  # type: ignore[no-untyped-call]
    for collector in collectors:
        registry.register(collector)
    try:
        server, _ = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SettingError(
            f"METRICS_PORT: {port} can't be listened on: {error.strerror}. {METRICS_PORT.help}"
        ) from None
    handler: Any = server.RequestHandlerClass
    server.RequestHandlerClass = type("Bounded", (handler,), {"timeout": SILENT_SECONDS})
    server.verify_request = lambda *_: _clients() < MOST_CLIENTS  # type: ignore[method-assign]
    # Processes that are forked later would keep the port of one that was killed.
    os.register_at_fork(after_in_child=server.socket.close)
    return int(server.server_port)


def _clients() -> int:
    """Connections that are being answered: each has a thread of socketserver's."""
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def _forget_dead() -> None:
    """Delete what processes that have ended say of now; what they counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(os.environ[FOLDER]).glob("gauge_live*_*.db"):
        process = file.stem.rpartition("_")[2]
        if process.isdecimal() and not _runs(int(process)):
            mark_process_dead(int(process))  # type: ignore[no-untyped-call]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def forget() -> None:
    """Delete the files, when the program ends."""
    global _held
    if path := folder():
        del os.environ[FOLDER]
        shutil.rmtree(path, ignore_errors=True)
    if _held is not None:
        os.close(_held)
        _held = None
