"""The tables of the store: their migrations, and the indexes that the models declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import BaseConstraint, Index, Model

from workers.doctor.finding import Findings, failure, ok

SUBJECT = "tables"
APP = "store"
MIGRATE = "Run `python -m webapp manage migrate`; in Compose `docker compose run --rm migrate`."
INVALID = """
SELECT index.relname FROM pg_index
JOIN pg_class index ON index.oid = indexrelid
JOIN pg_class owner ON owner.oid = indrelid
WHERE NOT (indisvalid AND indisready) AND pg_table_is_visible(owner.oid) ORDER BY 1
"""


def models() -> list[type[Model]]:
    """The models whose tables the workers write."""
    return list(apps.get_app_config(APP).get_models())


def migrations(database: BaseDatabaseWrapper) -> Findings:
    ours = {name for app, name in MigrationLoader(None).disk_migrations or () if app == APP}
    applied = {name for app, name in MigrationRecorder(database).applied_migrations() if app == APP}
    if not applied:
        yield failure(SUBJECT, "there are none: no migration was applied", MIGRATE)
    elif missing := sorted(ours - applied):
        yield failure(SUBJECT, f"migrations are not applied: {', '.join(missing)}", MIGRATE)
    elif newer := sorted(applied - ours):
        text = f"they are of a newer version of Warmboard, whose migrations this one lacks: {', '.join(newer)}"
        fix = "Run the newer version here, too. To go back, restore a backup from before the upgrade."
        yield failure(SUBJECT, text, fix)
    else:
        yield ok(SUBJECT, f"all {len(ours)} migrations are applied")


def indexes(database: BaseDatabaseWrapper) -> Findings:
    """Indexes and constraints that a model declares and the database lacks; on PostgreSQL also invalid ones, which a
    failed CREATE INDEX CONCURRENTLY leaves behind.
    """
    count, faults = 0, []
    with database.cursor() as cursor:
        for model in models():
            found = database.introspection.get_constraints(cursor, model._meta.db_table)
            for name, is_there, sql in _declared(model, database, found):
                count += 1
                if not is_there:
                    faults.append(failure(SUBJECT, f"{model._meta.db_table} lacks its index {name}", f"Run: {sql}"))
        if database.vendor == "postgresql":
            cursor.execute(INVALID)
            for (name,) in cursor.fetchall():
                fix = f"Run: REINDEX INDEX CONCURRENTLY {database.ops.quote_name(name)};"
                faults.append(failure(SUBJECT, f"the index {name} is invalid, and not used", fix))
    yield from faults or [ok(SUBJECT, f"all {count} indexes exist")]


def _declared(
    model: type[Model], database: BaseDatabaseWrapper, found: dict[str, Any]
) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is there, and the SQL that creates it, of each index and constraint of a model."""
    for index in model._meta.indexes:
        yield index.name, index.name in found, _sql(database, model, index)
    for constraint in model._meta.constraints:
        yield constraint.name, constraint.name in found, _sql(database, model, constraint)
    for field in model._meta.local_fields:
        if not field.primary_key and (getattr(field, "db_index", False) or field.unique):
            columns = [each["columns"] for each in found.values() if each["index"] or each["unique"]]
            is_there = [field.column] in columns
            index = Index(fields=[field.name], name=f"{model._meta.db_table}_{field.column}")
            yield f"on {field.column}", is_there, _sql(database, model, index)


def _sql(database: BaseDatabaseWrapper, model: type[Model], declared: Index | BaseConstraint) -> str:
    editor = database.SchemaEditorClass(database)
    return f"{declared.create_sql(model, editor)};"
