"""The applications for `mlflow server --app-name`: MLflow's own, with Warmboard's routes on its Flask part.

MLflow's host check and its basic authentication guard every Flask route. A route on the ASGI part would not require
authentication.
"""

from __future__ import annotations

from typing import Any

from mlflow.environment_variables import _MLFLOW_SGI_NAME
from mlflow.server import app as flask_app

from warmboard_mlflow import routes


def create_app() -> Any:
    """Create the app of `--app-name warmboard`: ASGI under uvicorn, WSGI under gunicorn and waitress."""
    routes.register(flask_app)
    if _MLFLOW_SGI_NAME.get() != "uvicorn":
        return flask_app
    from mlflow.server.fastapi_app import app

    return app


def create_basic_auth_app() -> Any:
    """Create the app of `--app-name warmboard-basic-auth`: the same with MLflow's basic authentication."""
    from mlflow.server import auth

    from warmboard_mlflow import access

    app = auth.create_app(flask_app)
    routes.register(flask_app)
    access.guard(auth)
    return app
