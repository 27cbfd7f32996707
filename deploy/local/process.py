"""A long-running process: started in its own session, watched until it is ready, ended with all its children."""

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
    """A part could not be started; the message has its last output."""


@dataclass(frozen=True)
class Part:
    """One program, and a probe that says whether it is ready. ``address`` is for people."""

    name: str
    command: Sequence[str]
    ready: Probe
    address: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_all: bool = False
    """Also signal its children to end, because the program does not pass signals on."""


class Process:
    """A running part. Its output goes to ``log``."""

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
        """Whether it is ready. Raises PartError if it ended before."""
        if (status := self.ended()) is not None:
            raise PartError(
                f"{self.part.name} ended with status {status} before it was ready.\n{self.tail()}\nlog: {self.log}"
            )
        return self.part.ready()

    def wait_ready(self, seconds: float) -> None:
        """Wait until it is ready. Raises PartError if it ends, or is not ready after ``seconds``."""
        while not self.is_ready():
            if time.monotonic() - self.began > seconds:
                raise PartError(f"{self.part.name} is not ready after {seconds:.0f} s.\n{self.tail()}\nlog: {self.log}")
            time.sleep(0.05)

    def tail(self, lines: int = 15) -> str:
        """Its last output."""
        return "\n".join(f"  | {line}" for line in self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """kill -9 the process and all its children."""
        signal_group(self.pid, signal.SIGKILL)
        self._popen.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask it to end, wait, then kill what is left of its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        self.kill()

    def terminate(self) -> None:
        """Ask the process to end; not its children, unless ``stop_all``: a pool ends its own."""
        if self.part.stop_all:
            signal_group(self.pid, signal.SIGTERM)
        elif self.ended() is None:
            self._popen.terminate()


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal every process of a group, if there is any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _ending_with_us() -> list[str]:
    """A prefix that makes the kernel end the process if the supervisor is killed. Without util-linux, the next
    supervisor ends it. A function between fork and exec (``preexec_fn``) would be unsafe with threads.
    """
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


def free_port(preferred: int = 0, taken: set[int] | None = None) -> int:
    """``preferred`` if it is free and not in ``taken``, else any free port."""
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
    """A probe: the port accepts connections."""

    def probe() -> bool:
        with socket.socket() as connection:
            connection.settimeout(0.5)
            return connection.connect_ex(("127.0.0.1", port)) == 0

    return probe


def open_local(url: str, seconds: float) -> Any:
    """The response of a server on this machine, bypassing proxies of the environment. Raises OSError."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds)


def answers_http(url: str) -> Probe:
    """A probe: GET is answered with 200."""

    def probe() -> bool:
        try:
            with open_local(url, 2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return probe


def has_said(log: Path, text: str) -> Probe:
    """A probe: the log contains the text."""
    return lambda: log.exists() and text in log.read_text(errors="replace")
