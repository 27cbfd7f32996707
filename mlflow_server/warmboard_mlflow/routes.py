"""Warmboard's routes: a run's history, and a version that tells clients that the route exists."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import psycopg
from flask import Flask, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED, TEMPORARILY_UNAVAILABLE
from mlflow.server.handlers import (
    _add_static_prefix,
    _disable_if_artifacts_only,
    _get_tracking_store,
    catch_mlflow_exception,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.version import VERSION as MLFLOW_VERSION
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from warmboard_mlflow import arrays, rows
from warmboard_mlflow.compression import IDENTITY, compressed, negotiated
from warmboard_mlflow.head import FORMAT, read_head
from warmboard_mlflow.lines import to_lines
from warmboard_mlflow.selection import Selection, prefixes_of, step_of

HISTORY, VERSION = "warmboard_history", "warmboard_version"
_PATH = "/api/2.0/warmboard"


def register(app: Flask) -> None:
    """Add the routes to the app, under the same static prefix as MLflow's own."""
    for path, name, view in (("/runs/<run_id>/history", HISTORY, history), ("/version", VERSION, version)):
        guarded = catch_mlflow_exception(_disable_if_artifacts_only(view))
        app.add_url_rule(_add_static_prefix(_PATH + path), name, guarded, methods=["GET"])


def version() -> Response:
    """The versions of the history's format and of MLflow. A stock server answers 404."""
    return jsonify({"history": FORMAT, "mlflow": MLFLOW_VERSION})


def history(run_id: str) -> Response:
    """Stream a run's history.

    Raises MlflowException if the first chunk can't be made. An error after that cuts off the response.
    """
    encoding = negotiated(request.accept_encodings)
    chunks = compressed(_lines(_sql_store(), _selection(run_id)), encoding)
    with _as_mlflow_errors():
        first = next(chunks)
    response = Response(chain([first], chunks), mimetype="application/x-ndjson")
    # The client may disconnect before the end.
    response.call_on_close(chunks.close)
    response.vary.add("Accept-Encoding")
    if encoding != IDENTITY:
        response.content_encoding = encoding
    return response


def _selection(run_id: str) -> Selection:
    text = request.args.get("from_step")
    try:
        return Selection(run_id, prefixes_of(request.args.getlist("prefix")), step_of(text))
    except ValueError as error:
        raise MlflowException.invalid_parameter_value(f"from_step is {text!r}, which is not a whole number") from error


def _sql_store() -> Any:
    store = _get_tracking_store()
    if not isinstance(store, SqlAlchemyStore):
        raise MlflowException("A run's history is read from a database, and this server has none", NOT_IMPLEMENTED)
    return store


def _lines(store: Any, selection: Selection) -> Generator[bytes]:
    with Session(store.read_engine or store.engine) as session:
        _hold_the_moment(session)
        head = read_head(store, session, selection.run_id)
        # Close the cursor before the session, even if the client disconnects or an error occurs.
        with closing(_reader(session).read_points(session, selection)) as metrics:
            yield from to_lines(head, metrics)


def _hold_the_moment(session: Session) -> None:
    """Begin a transaction in which all reads see the same snapshot, if the database supports it."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        # Python's driver begins a transaction only for writes.
        session.connection().exec_driver_sql("BEGIN")
    elif dialect in ("postgresql", "mysql", "mariadb"):
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _reader(session: Session) -> Any:
    dialect = session.get_bind().dialect
    return arrays if (dialect.name, dialect.driver) == ("postgresql", "psycopg") else rows


@contextmanager
def _as_mlflow_errors() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, psycopg.Error) as error:
        raise MlflowException(f"The database can't be read: {error}", TEMPORARILY_UNAVAILABLE) from error
