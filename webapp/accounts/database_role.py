"""The webapp's own role in PostgreSQL: it reads everything, and writes no table of the store.

So a fault of the webapp, or a stolen password of its database, can't change an event or a chart.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.db import connection, transaction
from psycopg import sql

from webapp.accounts.models import AuditRecord

READ_ONLY = "store"
"""The app whose tables belong to the workers."""
ALL = "SELECT, INSERT, UPDATE, DELETE"


class RoleError(Exception):
    """The role can't be made; the text says what to do."""


def create_role(address: str) -> str:
    """Create the user of this address, or change it: its password, and its rights on today's tables. Returns its name.

    Run it after every migration. Raises RoleError.
    """
    parts = urlsplit(address)
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    if connection.vendor != "postgresql":
        raise RoleError("Only PostgreSQL has roles; DATABASE_URL is not a postgresql:// address.")
    if not name or not password:
        raise RoleError("WEBAPP_DATABASE_URL needs a user name and a password: postgresql://USER:PASSWORD@HOST/NAME.")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_database(), current_schema()")
        owner, database, schema = cursor.fetchone()
        if owner == name:
            raise RoleError(f"WEBAPP_DATABASE_URL has the user of DATABASE_URL, {name!r}, which owns the tables.")
        cursor.execute("SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = %s", [name])
        found = cursor.fetchone()
        if found and found[0]:
            raise RoleError(
                f"WEBAPP_DATABASE_URL has the user {name!r}, which may create roles or databases: name another."
            )
        role = sql.Identifier(name)
        # The server gets a hash, so that no log of statements has the password.
        hashed = connection.connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        run = _runner(cursor)
        # Without NOSUPERUSER and the like, which are the default: an owner that is no superuser may not alter them.
        run(f"{'ALTER' if found else 'CREATE'} ROLE {{}} LOGIN PASSWORD {{}}", role, sql.Literal(hashed.decode()))
        run("GRANT CONNECT ON DATABASE {} TO {}", sql.Identifier(database), role)
        run("REVOKE ALL ON SCHEMA {} FROM {}", sql.Identifier(schema), role)
        run("GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), role)
        run("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", sql.Identifier(schema), role)
        for table, rights in _rights().items():
            run(f"GRANT {rights} ON {{}} TO {{}}", sql.Identifier(table), role)
    return name


def _rights() -> dict[str, str]:
    """What the role may do, by table."""
    rights = {"django_migrations": "SELECT"}
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if meta.managed:
            rights[meta.db_table] = "SELECT" if meta.app_label == READ_ONLY else ALL
    return rights | {AuditRecord._meta.db_table: "SELECT, INSERT"}


def _runner(cursor: Any) -> Any:
    def run(statement: str, *parts: sql.Composable) -> None:
        cursor.execute(sql.SQL(statement).format(*parts).as_string(connection.connection))

    return run
