"""Restore a backup into the tables, in one transaction: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core import serializers
from django.core.management.color import no_style
from django.core.serializers.base import DeserializationError, DeserializedObject
from django.db import connection, transaction
from django.db.models import Model

from store.retention import have_all_rebuilt
from webapp.backup.tables import empty, is_empty, kept, migrations
from webapp.backup.write import FORMAT, Tell

LONGEST_LINE = 1_500_000_000
"""PostgreSQL's longest value has 1 GB, which is a third longer as text."""
BATCH, BATCH_CHARACTERS = 500, 8_000_000
"""Rows that are written at a time: at most so many, or the first that exceed so much text."""
Row = dict[str, Any]


class RestoreError(Exception):
    """The backup can't be restored; nothing was changed."""


@dataclass(frozen=True)
class Restored:
    """What a restore has written. ``rebuilds``: the runs whose entries are not in the backup."""

    made_at: str
    rows: int
    rebuilds: int


def restore(file: Any, *, replace: bool, tell: Tell) -> Restored:
    """Restore from ``file``, which gives lines of text. ``replace``: delete what the tables have. Raises RestoreError;
    then nothing was changed.
    """
    lines = _lines(file)
    about = _about(next(lines, ({}, 0))[0])
    with transaction.atomic():
        if not replace and not is_empty():
            raise RestoreError("the store has rows already. --replace deletes all of them first")
        empty()
        models = {model._meta.label_lower: model for model in kept(about["everything"])}
        written = dict.fromkeys(models, 0)
        for name, rows in _batches(lines, written):
            _insert(models[name], rows)
            written[name] += len(rows)
            tell(f"{name}: {written[name]:,} rows")
        _correct_sequences(list(models.values()))
        rebuilds = 0 if about["everything"] else have_all_rebuilt()
    return Restored(about["made_at"], sum(written.values()), rebuilds)


def _lines(file: Any) -> Iterator[tuple[Row, int]]:
    """Each line's document, and its length."""
    while text := file.readline(LONGEST_LINE):
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict) or not text.endswith("\n"):
            raise RestoreError("the file is no backup, or is cut off")
        yield document, len(text)


def _about(first: Row) -> Row:
    """What the first line says. Raises RestoreError if the rows don't fit the tables."""
    about: Row = first.get("backup", {})
    if about.get("format") != FORMAT:
        raise RestoreError(f"the file is no backup that this version reads (format {FORMAT})")
    theirs, ours = about["migrations"], migrations()
    differ = sorted(app for app in theirs.keys() | ours.keys() if theirs.get(app) != ours.get(app))
    if differ:
        raise RestoreError(
            f"the backup is of tables with other migrations ({', '.join(differ)}). Restore it with the version "
            "that made it, into tables of that version; then upgrade them with `manage migrate`"
        )
    return about


def _batches(lines: Iterator[tuple[Row, int]], written: dict[str, int]) -> Iterator[tuple[str, list[Row]]]:
    """Some rows of one table at a time. ``written``: how many of each table the caller has written; the last line is
    compared with it.
    """
    batch: list[Row] = []
    characters = 0
    for document, length in lines:
        name = document.get("model", "")
        if batch and (name != batch[0]["model"] or len(batch) == BATCH or characters > BATCH_CHARACTERS):
            yield batch[0]["model"], batch
            batch, characters = [], 0
        if "rows" in document:
            if document["rows"] != written:
                raise RestoreError("the backup lacks rows: its last line counts others than were read")
            return
        if name not in written:
            raise RestoreError(f"the backup has a row of {name!r}, which no backup of this version has")
        batch.append(document)
        characters += length
    raise RestoreError("the backup is cut off: its last line is missing")


def _insert(model: type[Model], rows: list[Row]) -> None:
    """As they are: `bulk_create` would set times of creation again."""
    try:
        found: list[DeserializedObject] = list(serializers.deserialize("python", rows))
    except DeserializationError as error:
        raise RestoreError(f"a row of {model._meta.label_lower} can't be read: {error}") from error
    fields = model._meta.concrete_fields
    objects = [row.object for row in found]
    size = max(connection.ops.bulk_batch_size(fields, objects), 1)
    for begin in range(0, len(objects), size):
        query = model._base_manager.get_queryset()
        query._insert(objects[begin : begin + size], fields=fields, raw=True)  # type: ignore[attr-defined]
    for row in found:
        for name, others in (row.m2m_data or {}).items():
            getattr(row.object, name).set(others)


def _correct_sequences(models: list[type[Model]]) -> None:
    """PostgreSQL's next IDs follow the restored ones."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
