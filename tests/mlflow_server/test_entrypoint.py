"""MLflow's start script: settings that it refuses, the servers that it starts, and our installed plugin."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.mlflow_server.servers import BULK, ENTRYPOINT, PATH, Server
from tests.waiting import PATIENCE


def start(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the script with an environment in which it refuses to start."""
    given = {"PATH": PATH, "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/x", "MLFLOW_ARTIFACT_ROOT": str(folder)}
    return subprocess.run(
        ["sh", str(ENTRYPOINT)],
        env={**given, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("missing", ["MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACT_ROOT"])
def test_it_refuses_to_start_without_a_place_to_keep_things(tmp_path: Path, missing: str) -> None:
    done = start(tmp_path, **{missing: ""})
    assert done.returncode == 2
    assert f"mlflow_server: {missing} is not set. Set it to" in done.stderr


def test_it_refuses_what_is_neither_true_nor_false(tmp_path: Path) -> None:
    done = start(tmp_path, MLFLOW_BASIC_AUTH="maybe")
    assert done.returncode == 2
    assert "MLFLOW_BASIC_AUTH: 'maybe' is neither true nor false" in done.stderr


@pytest.mark.integration
def test_basic_authentication_without_a_password_ends_once_with_the_reason(tmp_path: Path) -> None:
    given = {"MLFLOW_BASIC_AUTH": "yes", "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-tests"}
    done = start(tmp_path, **given)
    assert done.returncode == 2
    assert "mlflow_server: MLflow Authentication needs a password to create the admin user 'admin'" in done.stderr


@pytest.mark.integration
def test_it_keeps_runs_in_postgresql(on_postgres: Server) -> None:
    client = on_postgres.client
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "loss", 0.5, step=3)
    assert [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")] == [(3, 0.5)]


@pytest.mark.integration
def test_without_a_database_behind_it_the_route_says_so(tmp_path: Path) -> None:
    code = f"""
from warmboard_mlflow.app import create_app
answer = create_app().test_client().get("{BULK}/runs/{"0" * 32}/history")
print(answer.status_code, answer.json["error_code"])
"""
    given = {
        "PATH": PATH,
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "_MLFLOW_SERVER_FILE_STORE": str(tmp_path),
        "_MLFLOW_SGI_NAME": "gunicorn",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=given,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.stdout == "501 NOT_IMPLEMENTED\n", done.stderr


def test_the_plugin_is_installed_under_both_names() -> None:
    found = {point.name: point.value for point in entry_points(group="mlflow.app")}
    assert found["warmboard"] == "warmboard_mlflow.app:create_app"
    assert found["warmboard-basic-auth"] == "warmboard_mlflow.app:create_basic_auth_app"
