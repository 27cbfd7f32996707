"""``python -m webapp manage backup FILE``."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from webapp.backup.write import write

LEVEL = 6


class Command(BaseCommand):
    help = (
        "Write a backup of the store, while everything runs: events, rows of runs, accounts, annotations, tokens, "
        "restrictions and the audit log. Charts are left out: after a restore workers fetch them from MLflow. The file "
        "has hashes of passwords and tokens: keep it where only operators read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a new file, of gzipped lines of JSON; - for standard output")
        parser.add_argument("--everything", action="store_true", help="also charts, so that a restore needs no MLflow")

    def handle(self, *_: Any, file: str, everything: bool, **__: Any) -> None:
        try:
            with _opened(file) as raw, gzip.open(raw, "wb", LEVEL) as packed, io.TextIOWrapper(packed, "utf-8") as text:
                counts = write(text, everything=everything, tell=self._tell)
        except (OSError, Error) as error:
            raise CommandError(f"no backup was written: {error}") from error
        self._tell(f"backed up {sum(counts.values()):,} rows of {len(counts)} tables")

    def _tell(self, text: str) -> None:
        """On standard error, as the backup may go to standard output; but not in red."""
        self.stderr.write(text, str)


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """The file, which only its owner may read. It appears when it is complete, and replaces none."""
    if name == "-":
        yield sys.stdout.buffer
        return
    path = Path(name)
    if path.exists():
        raise FileExistsError(f"{name} exists already")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as part:
        written = Path(part.name)
        try:
            yield part.file
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    written.rename(path)
