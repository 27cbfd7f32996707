"""A small disk of its own for the database, which can be filled: a tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 600
BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount the disk at ``folder``; gives whether that worked. Otherwise ``folder`` is an ordinary one."""
    folder.mkdir(parents=True)
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=0755", "warmboard-chaos", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _run("umount", "--lazy", str(folder))


def fill(folder: Path) -> None:
    """Leave no byte free."""
    ballast = folder / BALLAST
    with ballast.open("wb") as file:
        while free := os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize:
            os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)


def empty(folder: Path) -> None:
    (folder / BALLAST).unlink(missing_ok=True)


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
