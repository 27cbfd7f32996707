"""Write a backup: lines of JSON. The first is about the backup, the last has the number of rows of each table; between
them is a line for each row, in the shape of Django's serializers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.core import serializers
from django.db import connection
from django.db.models import BinaryField, Model
from django.utils import timezone

from webapp.backup.tables import kept, migrations

FORMAT = 1
BATCH, LARGE_BATCH = 500, 10
"""How many rows are read at a time; of a table with bodies or messages, which may have megabytes each, fewer."""

Tell = Callable[[str], None]


def write(file: Any, *, everything: bool, tell: Tell) -> dict[str, int]:
    """Write the tables as they are now, while others go on writing. ``file``: takes text. Returns the rows by table."""
    counts: dict[str, int] = {}
    with snapshot():
        about = {"format": FORMAT, "made_at": timezone.now(), "everything": everything, "migrations": migrations()}
        file.write(line({"backup": about}))
        for model in kept(everything):
            counts[model._meta.label_lower] = _write_rows(model, file, tell)
    file.write(line({"rows": counts}))
    return counts


@contextmanager
def snapshot() -> Iterator[None]:
    """Every read until the end sees the same rows. It blocks no one: `transaction.atomic` would lock SQLite."""
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if connection.vendor == "postgresql" else "BEGIN"
    with connection.cursor() as cursor:
        cursor.execute(begin)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _write_rows(model: type[Model], file: Any, tell: Tell) -> int:
    name, written = model._meta.label_lower, 0
    size = LARGE_BATCH if any(isinstance(field, BinaryField) for field in model._meta.concrete_fields) else BATCH
    total = model._base_manager.count()
    rows = iter(model._base_manager.order_by("pk").iterator(chunk_size=size))
    while batch := list(islice(rows, size)):
        for row in serializers.serialize("python", batch, use_natural_foreign_keys=True):
            file.write(line(row))
        written += len(batch)
        tell(f"{name}: {written:,} of {total:,} rows")
    return written


def line(document: dict[str, Any]) -> str:
    return json.dumps(document, default=_exactly) + "\n"


def _exactly(value: object) -> str:
    """Django's own encoder cuts times to milliseconds."""
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")
