"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Fault:
    """A mistake, with its place."""

    file: Path
    line: int
    text: str

    def shown(self, root: Path) -> str:
        """The fault in one line, its file relative to the checkout."""
        file = self.file.relative_to(root) if self.file.is_relative_to(root) else self.file
        return f"{file}:{self.line}: {self.text}"


class UnreadableError(Exception):
    """A file or an expression that the checks can't read."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.file}:{fault.line}: {fault.text}")
        self.fault = fault
