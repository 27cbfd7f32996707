"""What ``--mlflow`` and ``--mlruns`` name, as the variables that the stack reads."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

from deploy.local.process import PartError
from warmboard.contract.settings.parsers import server_address, without_credentials
from workers.fetch.database.revisions import NEWEST, NEWEST_REVISION

ALLOW_FOLDER = "MLFLOW_ALLOW_FILE_STORE"
"""MLflow 3.17 reads a folder of runs only if this is set."""
ALONE = {"MLFLOW_WORKERS": "1", "BACKFILL_RUNS_PER_SECOND": "200"}
"""For an MLflow that lists runs to us alone: one process starts sooner than two, and there is no load to bound."""


def variables(mlflow: str | None, mlruns: Path | None, given: Mapping[str, str]) -> dict[str, str]:
    """The variables for one source of runs; with neither, MLFLOW_TRACKING_URI must be ``given``.

    Raises PartError, which says what to do.
    """
    if mlruns:
        return _of_folder(mlruns)
    address = mlflow or given.get("MLFLOW_TRACKING_URI", "")
    if not address:
        raise PartError(
            "which MLflow? Name it: --mlflow https://mlflow.example.org, --mlflow sqlite:///mlflow.db, or"
            " --mlruns ./mlruns"
        )
    if address.startswith("sqlite:"):
        return {**ALONE, **_given(ALONE, given), **_of_database(address)}
    try:
        return _of_server(server_address(address))
    except ValueError as error:
        raise PartError(f"--mlflow {without_credentials(address)}: it {error}") from None


def _given(names: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: given[name] for name in names if given.get(name)}


def _of_server(address: str) -> dict[str, str]:
    # Pages show the address for people, which must not have credentials.
    shown = "" if "@" in urlsplit(address).netloc else f"default={address}"
    return {"MLFLOW_TRACKING_URI": address, "MLFLOW_UI_URLS": shown}


def _of_database(address: str) -> dict[str, str]:
    found = re.fullmatch(r"sqlite:///(.+)", address)
    if not found:
        raise PartError(f"--mlflow {address}: write sqlite:///mlflow.db, or sqlite:////FOLDER/mlflow.db")
    file = Path(found[1]).absolute()
    if not file.is_file():
        raise PartError(f"--mlflow {address}: there is no file {file}")
    _needs_mlflow()
    uri = f"sqlite:///{file}"
    revision = _revision(file)
    if revision != NEWEST_REVISION:
        raise PartError(
            f"{file} was written by another MLflow than {NEWEST} (schema {revision or 'unknown'}). Start a server with"
            " the MLflow that wrote it, and name that: --mlflow http://127.0.0.1:5000. Or keep a copy, and bring the"
            f" file up to date: {sys.executable} -m mlflow db upgrade {uri}"
        )
    # MLflow's server answers searches; runs are read from the file itself.
    return {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_TRACKING_DATABASES": f"default={uri}", "MLFLOW_TRACKING_URI": ""}


def _of_folder(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise PartError(f"--mlruns {folder}: there is no such folder")
    _needs_mlflow()
    return {"MLFLOW_BACKEND_STORE_URI": str(folder.absolute()), ALLOW_FOLDER: "true", "MLFLOW_TRACKING_URI": ""}


def _needs_mlflow() -> None:
    if find_spec("mlflow") is None:
        raise PartError(
            "MLflow itself reads folders and files, and it is not installed here: install warmboard-server[mlflow]"
        )


def _revision(file: Path) -> str:
    """Of the schema in the file; empty if it has none."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""
