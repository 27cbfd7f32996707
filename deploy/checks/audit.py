"""``python -m deploy.checks.audit PIP_AUDIT``: known vulnerabilities of the packages in ``requirements/``.

pip-audit asks PyPI about each package, and leaves out those that it gets no answer for. Where PyPI's own pages can't be
reached, as behind a mirror, that is all of them; this says so, and fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("tracking", "trainer", "trainer_gpu", "workers", "webapp", "mlflow_server")
"""Programs and library; what only developers use is left out."""
SECONDS = 900.0


@dataclass(frozen=True)
class Audit:
    """What is known of the packages of one file. ``found``: package, version, and the vulnerability with its fixes."""

    file: str
    asked: int
    answered: int
    found: list[str]
    error: str = ""

    @property
    def is_clean(self) -> bool:
        return not self.found and not self.error and self.asked == self.answered > 0

    def __str__(self) -> str:
        if self.error or not self.answered:
            return f"{self.file}: NOT AUDITED, no database could be asked. {self.error}".rstrip()
        left = self.asked - self.answered
        told = [f"{self.file}: {len(self.found)} known vulnerabilities in {self.answered} packages", *self.found]
        return "\n  ".join(told + ([f"NOT AUDITED: {left} packages that the database lacks"] if left else []))


def audit(program: str, file: Path) -> Audit:
    """Ask about all packages of a file with pinned versions and hashes."""
    options = ["--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json"]
    command = [program, f"--requirement={file}", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Audit(file.name, 0, 0, [], f"pip-audit did not end within {SECONDS:g} s")
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return Audit(file.name, 0, 0, [], (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    answered = [package for package in packages if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'none'}"
        for package in answered
        for flaw in package["vulns"]
    ]
    return Audit(file.name, len(packages), len(answered), found)


def main(arguments: list[str]) -> int:
    """0 if every package was asked about and none has a known vulnerability."""
    audits = [audit(arguments[0], ROOT / "requirements" / f"{name}.txt") for name in SHIPPED]
    print(*audits, sep="\n")
    return 0 if all(audit.is_clean for audit in audits) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
