"""Empties the tables after a test that commits (`transactional_db`).

Django's own way empties every table and then announces a migration, upon which content types, permissions and groups
are made again: half of the processor time of such a test. Here what migrating wrote stays or is copied back. Rows are
deleted, since PostgreSQL takes five times as long to truncate tables that hold a few.
"""

from __future__ import annotations

from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction

STAY = {"django_migrations", "django_content_type", "auth_permission"}
"""What no test writes."""
APPEND_ONLY = {"accounts_auditrecord"}
"""PostgreSQL deletes no row of it; it can be truncated."""
COPIED_BACK = ("auth_group", "auth_group_permissions")
Rows = list[tuple[Any, ...]]


def copy() -> dict[str, Rows]:
    """The rows that the migrations wrote into tables that tests write too."""
    return {table: _query(f"SELECT * FROM {_quoted(table)}") for table in COPIED_BACK}  # noqa: S608


def empty(copied: dict[str, Rows]) -> None:
    """As the tables were when they were copied. In one transaction, at whose end foreign keys are checked."""
    with transaction.atomic(), connection.cursor() as cursor:
        truncate(*APPEND_ONLY)
        for table in set(connection.introspection.django_table_names(only_existing=True)) - STAY - APPEND_ONLY:
            cursor.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608
        for table, rows in copied.items():
            if rows:
                values = ", ".join(["%s"] * len(rows[0]))
                cursor.executemany(f"INSERT INTO {_quoted(table)} VALUES ({values})", rows)  # noqa: S608


def truncate(*tables: str) -> None:
    """With what refers to them: for tables with many rows."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sql_flush(no_style(), tables, allow_cascade=True):
            cursor.execute(statement)


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)


def _query(sql: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: Rows = cursor.fetchall()
        return found
