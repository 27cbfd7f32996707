"""The findings as a table for people, and as JSON for programs."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TextIO

from workers.doctor.finding import Finding, Level

COLOURS = {Level.OK: "\033[32m", Level.WARNING: "\033[33m", Level.FAILURE: "\033[31m"}
PLAIN = "\033[0m"
NARROWEST = 40
"""Columns of text."""


def failed(findings: Iterable[Finding]) -> bool:
    """Whether any finding is a failure."""
    return any(finding.level is Level.FAILURE for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """``{"ok": …, "findings": [{"subject", "level", "text", "fix"}]}``"""
    document = {"ok": not failed(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_table(findings: Sequence[Finding], *, colours: bool, columns: int) -> str:
    """One row for each finding, its fix below, and a last line with the counts."""
    width = max((len(finding.subject) for finding in findings), default=0)
    level_width = max(map(len, Level))
    indent = " " * (level_width + width + 4)
    lines = []
    for finding in findings:
        begin = finding.level.ljust(level_width)
        begin = f"{COLOURS[finding.level]}{begin}{PLAIN}" if colours else begin
        [first, *rest] = _wrapped(finding.text, columns - len(indent)) or [""]
        lines += [f"{begin}  {finding.subject.ljust(width)}  {first}", *(indent + line for line in rest)]
        lines += [indent + line for line in _wrapped(f"→ {finding.fix}" if finding.fix else "", columns - len(indent))]
    return "\n".join([*lines, "", _counts(findings)])


def columns_of(output: TextIO, environ: Mapping[str, str]) -> tuple[bool, int]:
    """Whether to use colours, and the width: a terminal's, else no limit."""
    if not output.isatty():
        return False, 10_000
    return not environ.get("NO_COLOR"), shutil.get_terminal_size().columns


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, NARROWEST), break_long_words=False, break_on_hyphens=False)


def _counts(findings: Sequence[Finding]) -> str:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    said = [f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count and level != "ok"]
    return f"{', '.join(said)}." if said else "All is well."
