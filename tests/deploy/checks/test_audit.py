"""`make audit`: what pip-audit says, and that no answer is no good news."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.checks import audit as checked
from tests.paths import ROOT

FINE = {"name": "asgiref", "version": "3.13.0", "vulns": []}
FLAWED = {
    "name": "django",
    "version": "5.2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["5.2.1", "5.3"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "kombu", "skip_reason": "Dependency not found on PyPI and could not be audited: kombu (5.6.2)"}


def pip_audit(folder: Path, output: str, status: int = 0) -> str:
    """A program that says what pip-audit says."""
    said, program = folder / "said", folder / "pip-audit"
    said.write_text(output)
    program.write_text(f"#!/bin/sh\ncat {said}\necho 'the network is unreachable' >&2\nexit {status}\n")
    program.chmod(0o755)
    return str(program)


def said(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize(
    ("output", "is_clean", "told"),
    [
        (said(FINE), True, "webapp.txt: 0 known vulnerabilities in 1 packages"),
        (
            said(FINE, FLAWED),
            False,
            "1 known vulnerabilities in 2 packages\n  django 5.2.0: PYSEC-1, fixed in 5.2.1, 5.3",
        ),
        (said(FINE, SKIPPED), False, "0 known vulnerabilities in 1 packages\n  NOT AUDITED: 1 packages that"),
        # pip-audit itself says: No known vulnerabilities found.
        (said(SKIPPED), False, "webapp.txt: NOT AUDITED, no database could be asked."),
        (said(), False, "NOT AUDITED"),
        ("", False, "NOT AUDITED, no database could be asked. the network is unreachable"),
    ],
)
def test_only_an_answer_for_every_package_is_clean(tmp_path: Path, output: str, is_clean: bool, told: str) -> None:
    found = checked.audit(pip_audit(tmp_path, output), ROOT / "requirements" / "webapp.txt")
    assert found.is_clean is is_clean
    assert told in str(found)


def test_every_program_is_audited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked.main([pip_audit(tmp_path, said(FINE))]) == 0
    assert checked.main([pip_audit(tmp_path, said(FLAWED), 1)]) == 1
    audited = {line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith(tuple("tmw"))}
    assert audited == {f"{name}.txt" for name in checked.SHIPPED}
    assert all((ROOT / "requirements" / name).is_file() for name in audited)
