"""A copy of the Terraform files for each test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.checks.tree import Copy


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)
