"""All logs of a stack, interleaved, each line with the name of its part."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TextIO

POLL_SECONDS = 0.2


def follow(folder: Path, stop: threading.Event, output: TextIO = sys.stdout) -> None:
    """Print the logs in ``folder``, and follow them until ``stop`` is set."""
    offsets: dict[Path, int] = {}
    while not stop.is_set():
        for path in sorted(folder.glob("*.log")):
            offsets[path] = _print_new(path, offsets.get(path, 0), output)
        stop.wait(POLL_SECONDS)


def _print_new(path: Path, offset: int, output: TextIO) -> int:
    """Print whole lines from ``offset`` on; return the offset of their end."""
    with path.open("rb") as log:
        log.seek(offset)
        text = log.read()
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        print(f"{path.stem:<11}| {line}", file=output, flush=True)
    return offset + len(whole)
