"""Copies of what is deployed with one edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from deploy.checks.__main__ import faults
from deploy.checks.fault import Fault
from deploy.checks.terraform import FOLDER
from tests.paths import ROOT


class Edited:
    """A folder of files, which a test changes. ``find`` finds the faults in it."""

    def __init__(self, folder: Path, find: Callable[[Path], list[Fault]]) -> None:
        self.folder, self._find = folder, find

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first of a text, which must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r} any more: change this test"
        path.write_text(text.replace(old, new, 1))

    def faults(self) -> list[str]:
        return [fault.shown(self.folder) for fault in self._find(self.folder)]


class Copy(Edited):
    """A copy of the Terraform files, which finds beside it what the original finds."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        super().__init__(folder / "deploy" / "gcp" / "terraform", faults)
        shutil.copytree(FOLDER, self.folder)
        (folder / "workers").symlink_to(ROOT / "workers")
        for job in FOLDER.parent.glob("*.yaml"):
            shutil.copy(job, self.folder.parent)
