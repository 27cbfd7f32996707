"""Reserve ports among the stacks of this machine.

A stack chooses all its ports at once, but its MLflow listens 15 s later. Until then a second stack would find that port
free and choose it too, and each would read runs of the other's server.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path


class Reserved:
    """Ports that no other stack chooses, until this object is deleted or its process ends."""

    def __init__(self) -> None:
        self._files: list[int] = []

    def reserve(self, port: int) -> bool:
        """Whether the port is ours now. False if another stack has it."""
        path = Path(tempfile.gettempdir()) / f"warmboard-port-{port}.lock"
        try:
            file = _opened(path)
        except OSError:
            # Another user's file that can't be read tells nothing. Whether the port is free does.
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._files.append(file)
        return True

    def __del__(self) -> None:
        for file in self._files:
            with suppress(OSError):
                os.close(file)


def _opened(path: Path) -> int:
    """The file, created if there is none. It stays: if it were deleted, two stacks could lock two files of one name."""
    try:
        # In a shared folder, Linux lets no one create a file of another user, root included.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
