"""Who may read our routes under MLflow's basic authentication.

MLflow asks everybody for a name and a password before any route, and looks up by the exact path what else to check. Our
path holds a run's ID, so we find our check by the route instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Request, request

from warmboard_mlflow import routes

Check = Callable[[], bool]


def guard(auth: Any) -> None:
    """Adds our routes' checks to MLflow's authentication module. Raises AttributeError when that module is another than
    the one this was written for: a server that does not start is better than one that is open.
    """
    stock_check, may_read_run = auth._find_validator, auth._authorize_run_id

    def may_read_history() -> bool:
        # The ID in the path. MLflow's own reader of parameters would prefer ?run_id=, the ID of any other run.
        return bool(may_read_run((request.view_args or {})["run_id"], "read"))

    checks: dict[str | None, Check] = {routes.HISTORY: may_read_history, routes.VERSION: lambda: True}

    def find_check(asked: Request) -> Check | None:
        return checks.get(asked.endpoint) or stock_check(asked)

    auth._find_validator = find_check
