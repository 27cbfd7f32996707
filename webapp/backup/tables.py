"""What a backup has. A table that is not named here is in every backup, so that a new one can't be forgotten."""

from __future__ import annotations

from django.apps import apps
from django.core.management.color import no_style
from django.core.serializers import sort_dependencies
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model

MADE_BY_MIGRATE = {"auth.permission", "contenttypes.contenttype"}
MADE_BY_WARMING = {"store.warmentry", "store.runsource", "store.runparam", "store.runtag", "store.runmetric"}
"""All but the last percent of a store: a fetch from MLflow makes them again."""
PASSING = {"sessions.session", "accounts.failedsignin", "store.trackingserverstate", "store.snapshot"}
"""Never kept. Sessions would sign people in; the others say how things are at the moment."""


def kept(everything: bool) -> list[type[Model]]:
    """The models whose rows a backup has, referred ones first."""
    left_out = MADE_BY_MIGRATE | PASSING | (set() if everything else MADE_BY_WARMING)
    ordered = sort_dependencies([(app, None) for app in apps.get_app_configs()], allow_cycles=True)
    return [model for model in ordered if model._meta.managed and model._meta.label_lower not in left_out]


def is_empty() -> bool:
    """Whether no table has a row, but for those that migrating writes and those that are never kept."""
    return not any(
        model._base_manager.exists() for model in kept(everything=True) if model._meta.label_lower != "auth.group"
    )


def empty() -> None:
    """Delete every row, but for those of MADE_BY_MIGRATE. PostgreSQL truncates, which the audit log allows its owner;
    others wait until the transaction ends.
    """
    tables = [
        table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and model._meta.label_lower not in MADE_BY_MIGRATE
        for table in [model._meta.db_table]
    ]
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


def migrations() -> dict[str, list[str]]:
    """The migrations that the tables have: names by app."""
    found: dict[str, list[str]] = {}
    for app, name in sorted(MigrationRecorder(connection).applied_migrations()):
        found.setdefault(app, []).append(name)
    return found
