"""The wheels of ``make wheels``, built once for these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

UV = Path(sys.executable).with_name("uv")
EXTRA = bool(os.environ.get("TEST_FRAMEWORKS"))
"""Whether what `make test-all` alone tries is tried."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, ROOT / "deploy" / "server"):
        run(UV, "build", "--quiet", "--wheel", "--out-dir", folder, project)
    return folder


def run(*command: Any) -> None:
    # Of thousands of modules a few hundred are used: Python compiles these.
    environ = {name: value for name, value in os.environ.items() if name != "UV_COMPILE_BYTECODE"}
    done = subprocess.run([str(word) for word in command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
