"""Other frameworks, in an environment of their own (requirements/frameworks.txt), for `make test-all`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local import isolated

WANTED = bool(os.environ.get("TEST_FRAMEWORKS"))
"""Whether this is `make test-all`."""


def python() -> Path:
    """The environment's Python. Skips the test where it can't be installed."""
    try:
        return isolated.binaries("frameworks") / "python"
    except isolated.NotInstalledError as error:
        pytest.skip(f"not run: the examples of other frameworks, which can't be installed ({error})")


def has(module: str) -> bool:
    """Whether the environment has this module. PyTorch, and what needs it, is there only where it was added by hand."""
    return subprocess.run([python(), "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
