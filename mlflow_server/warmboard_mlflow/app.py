"""What `mlflow server --app-name` starts: MLflow's own application, and our routes on its Flask part.

Flask, since MLflow's host check and its basic authentication guard every Flask route; a route of ours on the ASGI part
would be open to anyone under basic authentication.
"""

from __future__ import annotations

from typing import Any

from mlflow.environment_variables import _MLFLOW_SGI_NAME
from mlflow.server import app as flask_app

from warmboard_mlflow import routes


def create_app() -> Any:
    """`--app-name warmboard`: ASGI under uvicorn, WSGI under gunicorn and waitress."""
    routes.register(flask_app)
    if _MLFLOW_SGI_NAME.get() != "uvicorn":
        return flask_app
    from mlflow.server.fastapi_app import app

    return app


def create_basic_auth_app() -> Any:
    """`--app-name warmboard-basic-auth`: the same behind MLflow's basic authentication."""
    from mlflow.server import auth

    from warmboard_mlflow import access

    app = auth.create_app(flask_app)
    routes.register(flask_app)
    access.guard(auth)
    return app
