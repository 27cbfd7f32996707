"""MLflow 2.9.2, in an environment of its own: it needs an older SQLAlchemy than ours does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements" / "mlflow-2.9.2.txt"
ENVIRONMENT = ROOT / "build" / "mlflow-2.9.2"


def binaries() -> Path:
    """The folder of its programs; installed on first use, in seconds. Skips the test where that can't be done."""
    marker, digest = ENVIRONMENT / "installed", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not marker.exists() or marker.read_text() != digest:
        try:
            _install()
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            pytest.skip(f"not run: fetching from MLflow 2.9.2, which can't be installed ({said.strip()[-200:]})")
        marker.write_text(digest)
    return ENVIRONMENT / "bin"


def _install() -> None:
    uv, python = Path(sys.executable).with_name("uv"), ENVIRONMENT / "bin" / "python"
    for command in (
        ["venv", "--clear", "--python", sys.executable, str(ENVIRONMENT)],
        ["pip", "install", "--python", str(python), "--require-hashes", "--requirements", str(REQUIREMENTS)],
    ):
        environ = {**os.environ, "UV_COMPILE_BYTECODE": "1"}
        subprocess.run([uv, *command], env=environ, check=True, capture_output=True, text=True)
