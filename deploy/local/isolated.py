"""Separate Python environments, for programs that need other versions than ours."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class NotInstalledError(Exception):
    """The environment can't be created here. The message says why."""


def binaries(name: str) -> Path:
    """The folder of the programs in ``requirements/NAME.txt``, installed into ``build/NAME`` on first use, in seconds.

    Raises NotInstalledError if they can't be installed.
    """
    requirements, environment = ROOT / "requirements" / f"{name}.txt", ROOT / "build" / name
    marker, digest = environment / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not marker.exists() or marker.read_text() != digest:
        try:
            _install(requirements, environment)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            raise NotInstalledError(said.strip()[-200:]) from error
        marker.write_text(digest)
    return environment / "bin"


def _install(requirements: Path, environment: Path) -> None:
    uv, python = Path(sys.executable).with_name("uv"), environment / "bin" / "python"
    for command in (
        ["venv", "--clear", "--python", sys.executable, str(environment)],
        ["pip", "install", "--python", str(python), "--require-hashes", "--requirements", str(requirements)],
    ):
        environ = {**os.environ, "UV_COMPILE_BYTECODE": "1"}
        subprocess.run([uv, *command], env=environ, check=True, capture_output=True, text=True)
