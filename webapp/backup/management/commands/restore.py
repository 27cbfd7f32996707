"""``python -m webapp manage restore FILE``."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from webapp.accounts import audit
from webapp.backup.read import RestoreError, restore


class Command(BaseCommand):
    help = (
        "Restore a backup into empty tables, which `migrate` has made, on any database: all or nothing. Stop what "
        "writes before. Workers then fetch every run's charts from MLflow, unless the backup has them. "
        "Everyone signs in again; passwords and tokens are those of the backup."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what `backup` wrote; - for standard input")
        parser.add_argument("--replace", action="store_true", help="delete all that the tables have first")

    def handle(self, *_: Any, file: str, replace: bool, **__: Any) -> None:
        try:
            with (
                gzip.open(sys.stdin.buffer if file == "-" else file, "rb") as packed,
                io.TextIOWrapper(packed, "utf-8") as text,
            ):
                done = restore(text, replace=replace, tell=self._tell)
        except (RestoreError, OSError, EOFError, zlib.error, UnicodeDecodeError, Error) as error:
            raise CommandError(f"nothing was restored: {error}") from error
        told = f"{done.rows:,} rows of {done.made_at}"
        audit.note("restore", file, told)
        rebuilds = f"; workers now rebuild {done.rebuilds:,} runs" if done.rebuilds else ""
        self._tell(f"restored {told}{rebuilds}")

    def _tell(self, text: str) -> None:
        """On standard error, but not in red."""
        self.stderr.write(text, str)
