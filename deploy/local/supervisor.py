"""Start a stack, keep it running, stop all of it. One supervisor per data folder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from deploy.local.process import Part, PartError, Process, signal_group
from deploy.local.stack import Stack

READY_SECONDS = 120.0
MOST_RESTARTS = 5
RESTART_WINDOW = 60.0
MARK = "SUBSCRIBER_HEARTBEAT"
"""The variable that identifies the processes of a stack: its value is a file in the data folder."""


class AlreadyUpError(Exception):
    """Another supervisor holds the data folder's lock; ``state`` is the state that it saved."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(f"already up (process {state.get('pid')})")
        self.state = state


class Supervisor:
    """A context manager: inside it every part is up, after it every part has ended.

    Entering raises AlreadyUpError, or PartError if a part doesn't start.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.processes: dict[str, Process] = {}
        self._restarts: dict[str, list[float]] = defaultdict(list)
        self._up = False

    def __enter__(self) -> Self:
        self._lock = lock(self.stack.data)
        say(f"Warmboard: starting every part. Data: {self.stack.data}")
        try:
            self._end_leftovers()
            self.stack.prepare()
            self._start_all()
            self._up = True
            self._write_state()
        except BaseException as error:
            self._examine(error)
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._examine(error)
        self.stop()

    def start(self, part: Part) -> Process:
        """Start one part without waiting for it."""
        process = Process(part, self.stack.environ, self.stack.log(part.name))
        self.processes[part.name] = process
        self._write_state()
        return process

    def watch(self) -> None:
        """Restart parts that have ended. Raises PartError if a part keeps ending."""
        for name, process in list(self.processes.items()):
            if (status := process.ended()) is None:
                continue
            recent = [at for at in self._restarts[name] if time.monotonic() - at < RESTART_WINDOW]
            if len(recent) >= MOST_RESTARTS:
                raise PartError(f"{name} keeps ending (status {status}).\n{process.tail()}\nlog: {process.log}")
            self._restarts[name] = [*recent, time.monotonic()]
            say(f"! {name} ended with status {status}; restarting it")
            process.kill()
            self.start(process.part)

    def stop(self) -> None:
        """Stop the programs, then the servers that they use."""
        say("\nStopping every part …")
        programs = {part.name for part in self.stack.programs()}
        for wave in (programs, self.processes.keys() - programs):
            processes = [process for name, process in self.processes.items() if name in wave]
            for process in processes:
                process.terminate()
            for process in processes:
                process.stop()
        self.processes.clear()
        state_file(self.stack.data).unlink(missing_ok=True)
        self._lock.close()
        say(f"Stopped. The data is in {self.stack.data}")

    def _examine(self, error: BaseException | None) -> None:
        """If a part has failed, add what doctor finds to the error, while the other parts still run."""
        if not (isinstance(error, PartError) and self.processes):
            return
        say("\nSomething is wrong. Looking for the cause …")
        command = [sys.executable, "-m", "workers", "doctor", "--quiet"]
        done = subprocess.run(command, env=self.stack.environ, capture_output=True, text=True, check=False)
        error.add_note(f"doctor:\n{done.stdout or done.stderr}")

    def _start_all(self) -> None:
        for name in ("mlflow", "valkey", "pubsub", "storage"):
            if self.stack.is_external(name):
                report(name, "external, not started here")
        # MLflow takes longest to start, so the programs start meanwhile; none calls it before there is an event.
        servers = [self.start(part) for part in self.stack.servers()]
        self._wait([process for process in servers if process.part.name != "mlflow"])
        for command in self.stack.migrations():
            self._run(command)
        programs = [self.start(part) for part in self.stack.programs()]
        self._wait([*programs, *(process for process in servers if process.part.name == "mlflow")])

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.stack.environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PartError(f"{' '.join(command[1:])} failed:\n{done.stdout}{done.stderr}")

    def _wait(self, processes: list[Process]) -> None:
        waiting = list(processes)
        while waiting:
            for process in list(waiting):
                if process.is_ready():
                    waiting.remove(process)
                    report(process.part.name, process.part.address, time.monotonic() - process.began)
                elif time.monotonic() - process.began > READY_SECONDS:
                    process.wait_ready(READY_SECONDS)
            progress(waiting)
            time.sleep(0.05)

    def _write_state(self) -> None:
        path = state_file(self.stack.data)
        state = {
            "pid": os.getpid(),
            "began": started(os.getpid()),
            "up": self._up,
            "urls": self.stack.urls,
            "environ": self.stack.settings,
            "groups": {name: [process.pid, started(process.pid)] for name, process in self.processes.items()},
        }
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(state))
        draft.replace(path)

    def _end_leftovers(self) -> None:
        """End the processes that a killed supervisor left, but no other process that now has one of their IDs."""
        for name, (group, began) in read_state(self.stack.data).get("groups", {}).items():
            if self._is_left_over(group, began):
                say(f"! ending {name}, left over from an earlier run")
                signal_group(group, signal.SIGKILL)

    def _is_left_over(self, group: int, began: float) -> bool:
        """Whether the group's leader is the process that was started, or has ended and left children of this stack."""
        if (leader := started(group)) is not None:
            return leader == began
        return any(self._is_ours(pid) for pid in group_members(group))

    def _is_ours(self, pid: int) -> bool:
        try:
            environ = psutil.Process(pid).environ()
        except psutil.Error:
            return False
        return environ.get(MARK) == self.stack.settings[MARK]


def lock(data: Path) -> Any:
    """Lock the data folder for this process. Raises AlreadyUpError if another supervisor has it."""
    data.mkdir(parents=True, exist_ok=True)
    file = (data / "up.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyUpError(live_state(data)) from None
    return file


def state_file(data: Path) -> Path:
    return data / "up.json"


def read_state(data: Path) -> dict[str, Any]:
    """The last supervisor's state: pid, began, up (every part is ready), urls, environ, groups. Empty if none."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        state: dict[str, Any] = json.loads(state_file(data).read_text())
        return state
    return {}


def live_state(data: Path) -> dict[str, Any]:
    """The same, but empty if that supervisor no longer runs: it was killed, and its file is out of date."""
    state = read_state(data)
    return state if state and started(state["pid"]) == state["began"] else {}


def started(pid: int) -> float | None:
    """When the process started, or None if there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def group_members(group: int) -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group:
                yield process.pid


def say(text: str) -> None:
    """Print one line for people, in place of the progress line, if there is one."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{clear}{text}", file=sys.stderr, flush=True)


def report(name: str, address: str, seconds: float | None = None) -> None:
    """Print the status line of one part."""
    took = "" if seconds is None else f"{seconds:5.1f} s"
    say(f"  ✓ {name:<11} {took:>8}  {address}".rstrip())


def progress(waiting: list[Process]) -> None:
    """On a terminal, print the parts that are not ready yet."""
    if waiting and sys.stderr.isatty():
        names = ", ".join(process.part.name for process in waiting)
        took = time.monotonic() - min(process.began for process in waiting)
        print(f"\r\033[K  … {names} ({took:.0f} s)", end="", file=sys.stderr, flush=True)
