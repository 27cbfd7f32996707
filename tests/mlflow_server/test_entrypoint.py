"""MLflow's start script: what it refuses, and that the server it starts keeps runs in PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from mlflow import MlflowClient

from deploy.local.postgres import Postgres
from deploy.local.process import Part, Process, answers_http, free_port
from tests.environment import GIVEN

ENTRYPOINT = Path(__file__).parents[2] / "mlflow_server" / "entrypoint.sh"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{GIVEN['PATH']}"


@pytest.mark.parametrize("missing", ["MLFLOW_BACKEND_STORE_URI", "MLFLOW_ARTIFACT_ROOT"])
def test_it_refuses_to_start_without_a_place_to_keep_things(missing: str) -> None:
    given = {"PATH": PATH, "MLFLOW_BACKEND_STORE_URI": "sqlite:///x", "MLFLOW_ARTIFACT_ROOT": "x", missing: ""}
    done = subprocess.run(["sh", str(ENTRYPOINT)], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"mlflow_server: {missing} is not set. Set it to" in done.stderr


@pytest.mark.integration
def test_it_keeps_runs_in_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    port = free_port()
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("create database mlflow")
    given = {
        **GIVEN,
        "PATH": PATH,
        "MLFLOW_BACKEND_STORE_URI": postgres.url("mlflow"),
        "MLFLOW_ARTIFACT_ROOT": str(tmp_path),
        "MLFLOW_PORT": str(port),
    }
    address = f"http://127.0.0.1:{port}"
    part = Part("mlflow", ["sh", str(ENTRYPOINT)], answers_http(f"{address}/health"), address, stop_all=True)
    server = Process(part, given, tmp_path / "mlflow.log")
    try:
        server.wait_ready(120)
        client = MlflowClient(address)
        run = client.create_run(client.create_experiment("kept"))
        client.log_metric(run.info.run_id, "loss", 0.5, step=3)
        assert [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")] == [(3, 0.5)]
    finally:
        server.stop()
