"""docs/operations/threat-model.md names tests that exist, for every threat or with the reason why there is none."""

from __future__ import annotations

import ast
import re

import pytest

from tests.paths import ROOT

PAGE = (ROOT / "docs/operations/threat-model.md").read_text()
TABLES = [table.split("\n\n")[0] for table in PAGE.split("| threat | control | test |\n|---|---|---|\n")[1:]]
ROWS = [line.strip("| ").split(" | ") for table in TABLES for line in table.splitlines()]


def functions(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def test_all_rows_are_read() -> None:
    assert len(TABLES) == 3
    assert all(len(row) == 3 for row in ROWS)
    assert PAGE.count("::test_") == sum(row[2].count("::test_") for row in ROWS)


@pytest.mark.parametrize(("threat", "tests"), [(row[0], row[2]) for row in ROWS])
def test_the_tests_of_a_threat_exist(threat: str, tests: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
    assert named or re.match("no test: .{10}", tests)
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_the_security_policy_leads_to_the_page() -> None:
    assert "docs/operations/threat-model.md" in (ROOT / "SECURITY.md").read_text()
