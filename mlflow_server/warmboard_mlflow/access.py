"""Permissions of Warmboard's routes under MLflow's basic authentication.

MLflow authenticates every request, and looks up the permission check by the exact path. The history's path holds a run
ID, so its check is looked up by the Flask endpoint instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Request, request

from warmboard_mlflow import routes

Check = Callable[[], bool]


def guard(auth: Any) -> None:
    """Add the routes' checks to MLflow's authentication module.

    Raises AttributeError if that module lacks the private functions used here: a server that doesn't start is better
    than one without checks.
    """
    stock_check, may_read_run = auth._find_validator, auth._authorize_run_id

    def may_read_history() -> bool:
        # The ID in the path. MLflow's own parser would prefer ?run_id=, which may name any other run.
        return bool(may_read_run((request.view_args or {})["run_id"], "read"))

    checks: dict[str | None, Check] = {routes.HISTORY: may_read_history, routes.VERSION: lambda: True}

    def find_check(asked: Request) -> Check | None:
        return checks.get(asked.endpoint) or stock_check(asked)

    auth._find_validator = find_check
