"""``python -m tests [PYTEST ARGUMENTS]``: what `make test` runs.

Two runs of pytest, side by side: every test on SQLite, in TEST_PROCESSES processes (default: one more than there are
cores, as tests often wait for a server); and the tests that use tables once more on PostgreSQL, at the lowest priority.
Arguments go to the first. If they choose tests (a path, -k, -m, --lf …), there is no second. Its output comes when both
have ended, then one closing line for both.

Exits with the status of the first run, or of the second if the first passed. Ends every process that a test has left
behind, also when it is interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.postgres import Postgres

ON_POSTGRES = [
    "tests/store",
    "tests/workers",
    "tests/webapp/listing",
    "tests/webapp/test_annotations.py",
    "tests/webapp/test_backup.py",
    "tests/webapp/test_database_role.py",
    "tests/webapp/test_visibility.py",
]
CHOOSING = ("-k", "-m", "--lf", "--last-failed", "--sw", "--stepwise", "--deselect", "--co", "--collect-only")
PR_SET_CHILD_SUBREAPER = 36
MOST_PROCESSES = 4
"""There are few long groups of tests (tests/groups.py), and each process takes a gigabyte."""


@dataclass(frozen=True)
class Run:
    """One run of pytest. ``told`` is where it writes what its last line is made of (tests/conftest.py)."""

    told: Path
    process: subprocess.Popen[bytes]
    output: Path | None = None

    def counts(self) -> Counter[str]:
        """By outcome. A run that was killed is an error."""
        return Counter(self._read().get("counts", {"error": 1}))

    def not_run(self) -> list[str]:
        return list(self._read().get("not_run", []))

    def _read(self) -> dict[str, dict[str, int]]:
        """Empty if it ended before it could tell."""
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, dict[str, int]] = json.loads(self.told.read_text())
            return found
        return {}


@dataclass
class Session:
    """Both runs, and the server of the second. A context manager: afterwards no process is left."""

    arguments: list[str]
    runs: list[Run] = field(default_factory=list)

    def __enter__(self) -> Session:
        _adopt_orphans()
        # A shell that starts this in the background ignores Ctrl-C in it. What the tests start would inherit that.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        self._began = time.monotonic()
        self._temporary = tempfile.TemporaryDirectory(prefix="warmboard-tests-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self._folder.chmod(0o755)  # PostgreSQL may run as another user.
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._temporary.cleanup()

    def end(self) -> None:
        """Ends what is left of both runs."""
        _end(psutil.Process().children(recursive=True))

    def start(self) -> None:
        processes = os.environ.get("TEST_PROCESSES") or min((os.cpu_count() or 2) + 1, MOST_PROCESSES)
        beside = not choose(self.arguments)
        if beside:
            # Before the other: then both do not look for the same free port.
            server = Postgres(self._folder)
            server.start()
        self._run("sqlite", [f"-n{processes}", *self.arguments])
        if beside:
            options = ["-q", "--durations=0", "--durations-min=5", "-p", "no:cacheprovider", *ON_POSTGRES]
            self._run("postgresql", options, server.url("warmboard"))

    def wait(self) -> int:
        """The exit status. A run that is interrupted ends by itself; interrupted twice, it is killed."""
        try:
            statuses = [run.process.wait() for run in self.runs]
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                for run in self.runs:
                    run.process.send_signal(signal.SIGINT)
                for run in self.runs:
                    run.process.wait()
            return 2
        return next((status for status in statuses if status), 0)

    def close(self) -> None:
        """Prints what the second run wrote, and the closing lines."""
        for run in self.runs:
            if run.output:
                print(f"\nOnce more on PostgreSQL:\n{run.output.read_text(errors='replace')}")
        counts = sum((run.counts() for run in self.runs), Counter[str]())
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no tests ran"
        seconds = time.monotonic() - self._began
        print(f"Processor time: {_processor_seconds():.0f} s, in {seconds:.0f} s")
        line = f" {told} in {seconds:.2f}s ({seconds // 60:.0f}:{seconds % 60:02.0f} min) "
        print(line.center(shutil.get_terminal_size().columns, "="))
        not_run = list(dict.fromkeys(reason for run in self.runs for reason in run.not_run()))
        if len(self.runs) == 1:
            not_run.append("tests with tables on PostgreSQL, because the arguments choose tests")
        print(f"\nNot run here: {'; '.join(not_run) or 'nothing'}", flush=True)

    def _run(self, name: str, options: list[str], database: str = "") -> None:
        told, output = self._folder / f"{name}.json", self._folder / f"{name}.txt" if database else None
        environ = {**os.environ, "TESTS_TOLD": str(told), **({"TEST_DATABASE_URL": database} if database else {})}
        with output.open("wb") if output else contextlib.nullcontext() as file:
            lowest = ["nice", "-n", "19"] if database else []
            command = [*lowest, sys.executable, "-m", "pytest", *options]
            self.runs.append(Run(told, subprocess.Popen(command, env=environ, stdout=file, stderr=file), output))


def choose(arguments: list[str]) -> bool:
    """Whether some of these arguments of pytest choose tests."""
    return any(word.startswith(CHOOSING) or Path(word.partition("::")[0]).exists() for word in arguments)


def _adopt_orphans() -> None:
    """Processes whose parent ends become children of this one, so that it can end them. On Linux only."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _processor_seconds() -> float:
    """Of everything that this process has started and waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # Orphans that have ended.
            pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str]) -> int:
    with Session(arguments) as session:
        session.start()
        status = session.wait()
        session.end()
        session.close()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
