"""The program uses the library as any user does: by its public names."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from tests.paths import ROOT

PUBLIC = (
    "warmboard",
    "warmboard.errors",
    "warmboard.keras",
    "warmboard.run",
    "warmboard.statistics",
    "warmboard.tracking",
)
FILES = sorted((ROOT / "trainer").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_public_names_are_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("warmboard.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("warmboard"):
            names = {alias.name for alias in node.names}
            if not f"{node.module}.".startswith("warmboard.contract."):
                assert node.module in PUBLIC
                assert names <= public_names(str(node.module))


def public_names(name: str) -> set[str]:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [each for each in vars(module) if not each.startswith("_")]
    return {*names, *(["storage"] if name == "warmboard" else [])}
