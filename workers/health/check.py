"""``python -m workers check PROCESS``: is a process on this machine alive?

Container engines run it every few seconds, so it costs little: it reads the age of a heartbeat, or asks Flower's port,
and imports nothing beyond the settings and the standard library's smallest modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from warmboard.contract.settings import (
    BEAT_HEARTBEAT,
    FLOWER_PORT,
    HEARTBEAT_AGE_SECONDS,
    SUBSCRIBER_HEARTBEAT,
    WORKER_HEARTBEAT,
    SettingError,
)
from workers.heartbeat import UnhealthyError, check_heartbeat

HEARTBEATS = {"subscriber": SUBSCRIBER_HEARTBEAT, "worker": WORKER_HEARTBEAT, "beat": BEAT_HEARTBEAT}
"""The setting that names each process's heartbeat."""
PROCESSES = (*HEARTBEATS, "flower")
FLOWER_SECONDS = 4


def main(arguments: Sequence[str]) -> int | None:
    """Print the state of one process; returns 0 if it is alive, 1 if not, 2 for an invalid setting.

    Returns None for wrong usage, which the full parser explains.
    """
    if len(arguments) != 1 or arguments[0] not in PROCESSES:
        return None
    try:
        print(_check(arguments[0]))
    except UnhealthyError as error:
        print(f"workers check: {error}", file=sys.stderr)
        return 1
    except SettingError as error:
        print(f"workers: {error}", file=sys.stderr)
        return 2
    return 0


def heartbeat_check(process: str, environ: Mapping[str, str]) -> Callable[[], str]:
    """A check of one process's heartbeat, by these settings. The check raises UnhealthyError. Raises SettingError."""
    heartbeat, seconds = HEARTBEATS[process].read(environ), HEARTBEAT_AGE_SECONDS.read(environ)
    return lambda: check_heartbeat(heartbeat, seconds)


def _check(process: str) -> str:
    if process in HEARTBEATS:
        return heartbeat_check(process, os.environ)()
    return _ask_flower(FLOWER_PORT.read(os.environ))


def _ask_flower(port: int) -> str:
    """Ask Flower for its health. By hand: the standard library's client takes as long to import as all of this."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), FLOWER_SECONDS) as connection:
            connection.sendall(b"GET /healthcheck HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            status = connection.recv(64).split(b"\r\n")[0].decode(errors="replace")
    except OSError as error:
        raise UnhealthyError(f"Flower does not answer at FLOWER_PORT {port}: {error}") from error
    if " 200 " not in f"{status} ":
        raise UnhealthyError(f"Flower answers {status!r} at FLOWER_PORT {port}")
    return "Flower answers"
