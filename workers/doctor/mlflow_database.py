"""A tracking server's own database, if runs are read from it: whether we can read it, and may only read."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from warmboard.contract.settings import MLFLOW_TRACKING_DATABASES
from workers.doctor.finding import Check, Findings, Given, ok, warning
from workers.fetch.budget import Budget, Limits
from workers.fetch.database.route import DatabaseRoute
from workers.fetch.database.snapshot import UnreadableError
from workers.settings import Settings

NAMED = MLFLOW_TRACKING_DATABASES.name
LIMITS = Limits(seconds=5.0)


def checks(settings: Settings) -> list[Check]:
    """One check for each server whose database is configured."""
    return [
        Check(f"MLflow {name}'s database", partial(_look, name, server.database), (NAMED,))
        for name, server in settings.tracking_servers.items()
        if server.database
    ]


def _look(name: str, uri: str, _: Given) -> Findings:
    subject = f"MLflow {name}'s database"
    try:
        with closing(DatabaseRoute(uri)) as route:
            may_write = route.look(Budget(LIMITS, subject))
    except UnreadableError as error:
        fix = f"Until then runs are fetched by HTTP. If Warmboard is up to date, correct {NAMED}, or leave {name} out."
        yield warning(subject, str(error), fix)
        return
    yield ok(subject, "runs are read from it, without HTTP")
    if may_write:
        fix = f"Name a user in {NAMED} who may only read: docs/how-to/tracking-servers.md."
        yield warning(subject, "its user may write MLflow's tables, which Warmboard never does", fix)
