"""MLflow 2.9.2, in an environment of its own: it needs an older SQLAlchemy than ours does."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import isolated


def binaries() -> Path:
    """The folder of its programs. Skips the test where they can't be installed."""
    try:
        return isolated.binaries("mlflow-2.9.2")
    except isolated.NotInstalledError as error:
        pytest.skip(f"not run: fetching from MLflow 2.9.2, which can't be installed ({error})")
