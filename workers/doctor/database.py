"""The store's database: whether it answers and can be written; then its tables, and the inbox in them."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

from django.db import DatabaseError, NotSupportedError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from workers.doctor import clock, events, tables
from workers.doctor.finding import Finding, Findings, Given, Level, failure, ok, warning

SUBJECT = "database"
SECONDS = 5
MIGRATE = "python -m webapp manage migrate"
MIB = 2**20
LOW_DISK, EMPTY_DISK = 1024 * MIB, 64 * MIB
CAUSES = (
    ("password authentication failed|no password supplied", "Correct user and password in DATABASE_URL."),
    ('role "[^"]*" does not exist', "Create the user (`createuser NAME`), or correct it in DATABASE_URL."),
    ('database "[^"]*" does not exist', f"Create it: `createdb NAME`, then `{MIGRATE}`. Or correct DATABASE_URL."),
    ("pg_hba.conf", "Let this machine in: add it to pg_hba.conf; or add ?sslmode=require to DATABASE_URL."),
    ("translate host name|resolve host|Name or service|getaddrinfo", "Correct the host's name in DATABASE_URL."),
    ("too many clients|remaining connection slots", "Raise max_connections, or run fewer processes."),
    ("starting up|shutting down|recovery mode", "Wait until the server has started."),
    ("not a database|malformed", "The file is no SQLite database, or damaged: restore it, or correct DATABASE_URL."),
    ("locked", "Another process holds the file: end it. For more than one machine use PostgreSQL."),
    (
        "unable to open|readonly|read-only",
        "Make the file and its folder readable and writable for the user of this process.",
    ),
    ("certificate|SSL", "Correct sslmode and sslrootcert in DATABASE_URL."),
)
"""What the database's own message has, and what to do."""


def look(_: Given) -> Findings:
    yield from look_at(connection)


def look_at(database: Any) -> Findings:
    """Everything about one of Django's connections. What depends on a fault is not looked at."""
    try:
        for part in (_file, _answers, tables.migrations, tables.indexes, _writable, events.look):
            found = list(part(database))
            yield from found
            if any(finding.level is Level.FAILURE for finding in found) and part is not tables.indexes:
                return
    except DatabaseError as error:
        yield failure(SUBJECT, f"its tables can't be read: {_line(error)}", _write_fix(database))


def _file(database: BaseDatabaseWrapper) -> Findings:
    """SQLite's file, and the space beside it."""
    name = str(database.settings_dict["NAME"])
    if database.vendor != "sqlite" or database.is_in_memory_db():  # type: ignore[attr-defined]
        return
    path = Path(name)
    if not path.exists():
        fix = f"Create it: `{MIGRATE}`. Or correct DATABASE_URL; a relative path is relative to the working folder."
        yield failure(SUBJECT, f"there is no file {path}", fix)
        return
    free = shutil.disk_usage(path.parent).free
    fix = "Free some, or lower RETENTION_DAYS."
    if free < EMPTY_DISK:
        yield failure(SUBJECT, f"the disk of {path} is full: {free // MIB} MiB are free", fix)
    elif free < LOW_DISK:
        yield warning(SUBJECT, f"the disk of {path} is nearly full: {free // MIB} MiB are free", fix)


def _answers(database: BaseDatabaseWrapper) -> Findings:
    if database.vendor == "postgresql" and database.connection is None:
        options = {"connect_timeout": SECONDS, **database.settings_dict.get("OPTIONS", {})}
        database.settings_dict = {**database.settings_dict, "OPTIONS": options}
    try:
        database.ensure_connection()
        version = ".".join(map(str, database.get_database_version()))
        yield ok(SUBJECT, f"{database.display_name} {version} answers")
        if database.vendor == "postgresql":
            yield from _server(database)
    except NotSupportedError as error:
        yield failure(SUBJECT, str(error), "Upgrade the database server.")
    except DatabaseError as error:
        yield _failed(error)


def _server(database: BaseDatabaseWrapper) -> Findings:
    """PostgreSQL's clock, and whether it takes writes."""
    with database.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float, pg_is_in_recovery()")
        theirs, is_replica = cursor.fetchone()
    yield from clock.difference(SUBJECT, theirs, before, time.time())
    if is_replica:
        yield failure(SUBJECT, "it is a replica, which takes no writes", "Name the primary in DATABASE_URL.")


def _writable(database: BaseDatabaseWrapper) -> Findings:
    """Try to write to every table, without a row: permissions, read-only files and read-only servers all show."""
    quote = database.ops.quote_name
    for model in tables.models():
        table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
        for statement in (
            f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0",  # noqa: S608  names of our own
            f"UPDATE {table} SET {key} = {key} WHERE 1 = 0",  # noqa: S608
            f"DELETE FROM {table} WHERE 1 = 0",  # noqa: S608
        ):
            try:
                with transaction.atomic(using=database.alias), database.cursor() as cursor:
                    cursor.execute(statement)
            except DatabaseError as error:
                yield failure(
                    SUBJECT, f"this user can't write to the table {table}: {_line(error)}", _write_fix(database)
                )
                return


def _write_fix(database: BaseDatabaseWrapper) -> str:
    if database.vendor == "sqlite":
        return "Make the file and its folder writable for the user of this process, and free its disk."
    return (
        "Give DATABASE_URL's user the rights of a writer: `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"
        " public TO NAME; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO NAME`. Or use the workers' user."
    )


def _failed(error: DatabaseError) -> Finding:
    text = _line(error)
    fixes = [fix for pattern, fix in CAUSES if re.search(pattern, text, re.IGNORECASE)]
    fix = "Start the database, or correct DATABASE_URL; check that no firewall is between."
    return failure(SUBJECT, f"it does not answer: {text}", fixes[0] if fixes else fix)


def _line(error: DatabaseError) -> str:
    return " ".join(str(error).split())
