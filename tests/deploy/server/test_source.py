"""What ``warmboard-server up`` makes of ``--mlflow`` and ``--mlruns``, and what it says of what it can't use."""

from __future__ import annotations

import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.local.process import PartError
from deploy.local.stack import Stack
from deploy.server.source import variables
from tests.paths import ROOT
from workers.fetch.database.revisions import NEWEST_REVISION


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with nothing but the revision of its schema."""
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [NEWEST_REVISION])
    return path


@pytest.mark.parametrize(
    ("address", "shown"),
    [("https://mlflow.example/x/", "default=https://mlflow.example/x"), ("https://ann:s3cret@mlflow.example", "")],
)
def test_a_server(address: str, shown: str, tmp_path: Path) -> None:
    found = variables(address, None, {"MLFLOW_TRACKING_URI": "http://other"})
    assert found == {"MLFLOW_TRACKING_URI": address.rstrip("/"), "MLFLOW_UI_URLS": shown}
    assert variables(None, None, {"MLFLOW_TRACKING_URI": address}) == found
    stack = Stack(tmp_path, found)
    assert stack.is_external("mlflow")
    assert stack.environ["MLFLOW_UI_URLS"] == shown


def test_a_file_is_served_by_mlflow_and_read_by_us(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    uri = f"sqlite:///{file}"
    found = variables("sqlite:///mlflow.db", None, {"MLFLOW_TRACKING_URI": "http://other"})
    assert found["MLFLOW_TRACKING_DATABASES"] == f"default={uri}"
    stack = Stack(file.parent / "data", found)
    assert not stack.is_external("mlflow")
    assert stack.environ["MLFLOW_BACKEND_STORE_URI"] == uri
    assert found["MLFLOW_WORKERS"] == "1"
    assert variables(uri, None, {"MLFLOW_WORKERS": "3"})["MLFLOW_WORKERS"] == "3"


def test_a_folder_is_served_by_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    stack = Stack(tmp_path / "data", variables(None, Path("mlruns"), {}))
    assert not stack.is_external("mlflow")
    assert stack.environ["MLFLOW_BACKEND_STORE_URI"] == str(tmp_path / "mlruns")
    assert stack.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"


@pytest.mark.parametrize(
    ("mlflow", "mlruns", "said"),
    [
        (None, None, "which MLflow"),
        ("ftp://x", None, "does not start with http:// or https://"),
        ("https://ann:s3cret/@x", None, "%2F"),
        ("sqlite:mlflow.db", None, "write sqlite:///mlflow.db"),
        ("sqlite:///missing.db", None, "there is no file /.*/missing.db"),
        (None, Path("missing"), "there is no such folder"),
    ],
)
def test_what_cannot_be_used(mlflow: str | None, mlruns: Path | None, said: str) -> None:
    with pytest.raises(PartError, match=said) as caught:
        variables(mlflow, mlruns, {})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "statement", ["UPDATE alembic_version SET version_num = 'acf3f17fdcc7'", "DROP TABLE alembic_version"]
)
def test_a_file_of_another_mlflow_is_left_as_it_is(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)
    before = file.read_bytes()
    with pytest.raises(PartError, match=r"another MLflow than 3\.17\.2 .*-m mlflow db upgrade sqlite:///"):
        variables(f"sqlite:///{file}", None, {})
    assert file.read_bytes() == before


def test_without_mlflow_it_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.server.source.find_spec", lambda _: None)
    for mlflow, mlruns in ((f"sqlite:///{file}", None), (None, file.parent)):
        with pytest.raises(PartError, match=r"install warmboard-server\[mlflow\]"):
            variables(mlflow, mlruns, {})


def test_its_packages_are_those_of_the_checkout() -> None:
    own, ours, theirs = (
        tomllib.loads((ROOT / path / "pyproject.toml").read_text()) for path in ("deploy/server", ".", "mlflow_server")
    )

    def group(*names: str) -> set[str]:
        found: set[str] = set()
        for name in names:
            for item in ours["dependency-groups"][name]:
                found |= group(item["include-group"]) if isinstance(item, dict) else {item}
        return found

    project = own["project"]
    library = f"warmboard=={ours['project']['version']}"
    assert set(project["dependencies"]) == {library, *group("workers", "webapp", "local")}
    rest = group("mlflow_server") - group("workers", "webapp", "local")
    assert set(project["optional-dependencies"]["mlflow"]) == rest
    assert project["version"] == ours["project"]["version"]
    assert project["entry-points"] == theirs["project"]["entry-points"]


def test_every_package_of_the_checkout_that_a_program_imports_is_in_it() -> None:
    included: dict[str, Any] = tomllib.loads((ROOT / "deploy" / "server" / "pyproject.toml").read_text())
    sources = included["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for source in sources:
        assert (ROOT / "deploy" / "server" / source).exists(), source
    own = {f"{path.name}" for path in (ROOT / "deploy" / "server").glob("*.py")}
    assert own <= sources.keys()
