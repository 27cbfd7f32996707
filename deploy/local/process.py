"""One long-running process: started in a session of its own, watched until it is ready, ended with all it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Probe = Callable[[], bool]
STOP_SECONDS = 10.0


class PartError(Exception):
    """A part could not be started; the text holds what it said last."""


@dataclass(frozen=True)
class Part:
    """One program and how to see that it is ready. ``address`` is what people are shown."""

    name: str
    command: Sequence[str]
    ready: Probe
    address: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_all: bool = False
    """Its children are asked to end too, because it hands no signal on."""


class Process:
    """A part that runs. Its output goes to ``log``."""

    def __init__(self, part: Part, environ: Mapping[str, str], log: Path, user: int | None = None) -> None:
        self.part = part
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_ending_with_us(), *part.command],
                env={**environ, **part.environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
        self.began = time.monotonic()

    @property
    def pid(self) -> int:
        """Also the ID of its process group."""
        return self._popen.pid

    def ended(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._popen.poll()

    def is_ready(self) -> bool:
        """Raises PartError when it ended before it was ready."""
        if (status := self.ended()) is not None:
            raise PartError(
                f"{self.part.name} ended with status {status} before it was ready.\n{self.tail()}\nlog: {self.log}"
            )
        return self.part.ready()

    def wait_ready(self, seconds: float) -> None:
        """Raises PartError."""
        while not self.is_ready():
            if time.monotonic() - self.began > seconds:
                raise PartError(f"{self.part.name} is not ready after {seconds:.0f} s.\n{self.tail()}\nlog: {self.log}")
            time.sleep(0.05)

    def tail(self, lines: int = 15) -> str:
        """What it said last."""
        return "\n".join(f"  | {line}" for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """kill -9 of the process and all it started."""
        signal_group(self.pid, signal.SIGKILL)
        self._popen.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to end, waits, then ends whatever is left of its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        self.kill()

    def terminate(self) -> None:
        """Asks the process to end; as a rule not its children: a pool ends its own."""
        if self.part.stop_all:
            signal_group(self.pid, signal.SIGTERM)
        elif self.ended() is None:
            self._popen.terminate()


def signal_group(group: int, number: signal.Signals) -> None:
    """Signals every process of a group, if there is any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending_with_us() -> list[str]:
    """Should the supervisor be killed, the kernel ends its processes, where util-linux can ask it to; elsewhere the
    next supervisor does. Not by a function between fork and exec: that is unsafe beside threads.
    """
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def free_port(preferred: int = 0, taken: set[int] | None = None) -> int:
    """``preferred`` if nobody listens there and it is not in ``taken``, else any free one."""
    for port in (preferred, 0):
        if port and taken and port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise PartError("no free port on 127.0.0.1")


def answers_tcp(port: int) -> Probe:
    """Somebody accepts connections there."""

    def probe() -> bool:
        with socket.socket() as connection:
            connection.settimeout(0.5)
            return connection.connect_ex(("127.0.0.1", port)) == 0

    return probe


def open_local(url: str, seconds: float) -> Any:
    """The answer of a server on this machine, whatever proxies the environment names. Raises OSError."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds)


def answers_http(url: str) -> Probe:
    """GET gives 200."""

    def probe() -> bool:
        try:
            with open_local(url, 2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return probe


def has_said(log: Path, text: str) -> Probe:
    """Its log holds the text."""
    return lambda: log.exists() and text in log.read_text(errors="replace")
