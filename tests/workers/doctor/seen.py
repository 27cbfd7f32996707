"""What a check has found, in short."""

from __future__ import annotations

from collections.abc import Iterable

from workers.doctor.finding import Finding, Level


def problems(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def the_failure(findings: Iterable[Finding]) -> str:
    """The text and the fix of the only failure."""
    return _only(findings, Level.FAILURE)


def the_warning(findings: Iterable[Finding]) -> str:
    """The text and the fix of the only warning."""
    return _only(findings, Level.WARNING)


def _only(findings: Iterable[Finding], level: Level) -> str:
    [found] = [finding for finding in findings if finding.level is level]
    assert found.fix, "a fault has a fix"
    return f"{found.text} → {found.fix}"
