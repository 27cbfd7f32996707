"""Separate Python environments, for programs that need other versions than ours."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


class NotInstalledError(Exception):
    """The environment can't be created here. The message says why."""


def binaries(name: str) -> Path:
    """The folder of the programs in ``requirements/NAME.txt``, which has all that is installed, installed into
    ``build/NAME`` on first use, in seconds.

    Two processes may ask at once: one installs, the other waits for it. Raises NotInstalledError if they can't be
    installed.
    """
    requirements, environment = ROOT / "requirements" / f"{name}.txt", ROOT / "build" / name
    marker, digest = environment / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    try:
        with _locked(environment.with_name(f"{name}.lock")):
            if not marker.exists() or marker.read_text() != digest:
                _install(requirements, environment)
                marker.write_text(digest)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise NotInstalledError(said.strip()[-200:]) from error
    return environment / "bin"


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keeps other processes out of an environment that is being installed: each would clear what the other wrote."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _install(requirements: Path, environment: Path) -> None:
    uv, python = Path(sys.executable).with_name("uv"), environment / "bin" / "python"
    for command in (
        ["venv", "--clear", "--python", sys.executable, str(environment)],
        [
            "pip",
            "install",
            "--python",
            str(python),
            "--no-deps",
            "--require-hashes",
            "--requirements",
            str(requirements),
        ],
    ):
        environ = {**os.environ, "UV_COMPILE_BYTECODE": "1"}
        subprocess.run([uv, *command], env=environ, check=True, capture_output=True, text=True)
