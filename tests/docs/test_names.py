"""What the documents import of ours exists: examples in Python, and the new names in CHANGELOG.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import warmboard
from tests.docs.test_docs import PAGES

OURS = ("warmboard", "trainer", "workers")
OLD = "CHANGELOG.md"
"""It also has names that are gone, in the first column of its table."""


def examples(page: Path) -> Iterator[str]:
    """The Python of a page, also of interactive sessions, and imports in its tables."""
    text = page.read_text()
    if page.name == OLD:
        text = re.sub(r"^( *)\| .*? \| (.*) \|$", r"\1| \2 |", text, flags=re.MULTILINE)
    yield from re.findall(r"`((?:from [\w.]+ )?import [^`]+)`", text)
    for block in re.findall(r"```py(?:thon)?\n(.*?)```", text, re.DOTALL):
        yield "\n".join(
            re.sub(r"^(>>>|\.\.\.) ?", "", line)
            for line in block.splitlines()
            if not block.startswith(">>>") or line[:3] in (">>>", "...")
        )


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Module and name; the name is empty where the module is imported as a whole."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def names_of(module: str) -> set[str]:
    """All names that a module's file binds, without importing it: some need TensorFlow."""
    spec = find_spec(module)
    assert spec is not None, f"there is no module {module}"
    assert spec.origin is not None
    names: set[str] = set()
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


FOUND = sorted(
    {
        (page.name, module, name)
        for page in PAGES
        for code in examples(page)
        for module, name in imports(code)
        if module.split(".")[0] in OURS
    }
)


@pytest.mark.parametrize(("page", "module", "name"), FOUND)
def test_an_imported_name_exists(page: str, module: str, name: str) -> None:
    assert not name or name in names_of(module)
    assert find_spec(module) is not None


def test_the_examples_are_found() -> None:
    assert ("README.md", "warmboard.keras", "WarmboardCallback") in FOUND
    assert ("CHANGELOG.md", "warmboard.keras", "WarmboardCallback") in FOUND
    assert not any(module in ("contract", "trainer.callbacks") for _, module, _ in FOUND)


def test_attributes_of_the_library_exist() -> None:
    called = {name for page in PAGES for name in re.findall(r"\bwarmboard\.(\w+)\(", page.read_text())}
    assert "start_run" in called
    assert called <= set(warmboard.__all__)
