"""The library's public names: they exist, and importing them loads nothing heavy."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import warmboard
from tests.paths import ROOT

LIBRARY = ROOT / "warmboard"
PACKAGES = ["announce", "run", "spool", "statistics", "tracking", "keras"]
HEAVY = {
    "celery",
    "django",
    "google",
    "grpc",
    "keras",
    "lightning",
    "numpy",
    "requests",
    "tensorflow",
    "torch",
    "transformers",
}


def loaded(code: str) -> set[str]:
    """Return the top-level modules that a new Python process has loaded after this code."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code", ["import warmboard", "import warmboard.contract.settings", "import warmboard.__main__"]
)
def test_importing_it_loads_nothing_heavy(code: str) -> None:
    assert not loaded(code) & HEAVY


def test_a_run_needs_no_framework_and_no_server_program() -> None:
    found = loaded("import warmboard; [getattr(warmboard, name) for name in warmboard.__all__]")
    assert not found & {"celery", "django", "keras", "tensorflow", "mlflow", "pandas", "trainer"}


def test_statistics_need_numpy_only() -> None:
    assert not loaded("import warmboard.statistics") & (HEAVY - {"numpy"})


def test_its_names_are_there() -> None:
    assert {name for name in warmboard.__all__ if getattr(warmboard, name, None) is None} == set()
    assert set(warmboard.__all__) <= set(dir(warmboard))
    with pytest.raises(AttributeError, match="no attribute 'startrun'"):
        warmboard.startrun  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_hands_on_its_names(package: str) -> None:
    module = importlib.import_module(f"warmboard.{package}")
    assert module.__all__
    assert {name for name in module.__all__ if not hasattr(module, name)} == set()


def test_no_public_function_has_the_name_of_a_package_or_module() -> None:
    paths = sorted(LIBRARY.rglob("*.py"))
    modules = {_name(path) for path in paths}
    functions = {
        (node.name, str(path.relative_to(ROOT)))
        for path in paths
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert {(name, path) for name, path in functions if name in modules} == set()


def _name(path: Path) -> str:
    return path.parent.name if path.stem == "__init__" else path.stem
