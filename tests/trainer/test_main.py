"""The whole program as a user runs it, against a real MLflow server; and what it says when it can't run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from contract.events import RunEvent, RunStatus
from tests.trainer.servers import FakePubsub, pubsub_server
from tests.trainer.test_callbacks import CATALOGUE, COUNTERS
from trainer.__main__ import main

FINAL = {"final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))}


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "purchases.csv"
    times = pd.date_range("2026-01-01", periods=3000, freq="min", tz="UTC")
    columns = {"buyer_id": random.integers(50, size=3000), "product_id": random.integers(200, size=3000)}
    pd.DataFrame({**columns, "timestamp": times}).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as server:
        yield server


@pytest.fixture(scope="module")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    while not _healthy(uri):
        assert server.poll() is None, (folder / "log").read_text()
        time.sleep(0.2)
    yield uri
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(20)


def _healthy(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def start(arguments: list[str], mlflow_uri: str, pubsub: FakePubsub, folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": mlflow_uri,
        "PUBSUB_EMULATOR_HOST": pubsub.address,
        "OUTPUT_URI": str(folder / "output"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.integration
def test_a_run_lands_in_mlflow_whole(purchases: str, mlflow_uri: str, pubsub: FakePubsub, tmp_path: Path) -> None:
    arguments = [
        "--data", purchases, "--epochs", "3", "--batch-size", "256", "--min-buyers", "2", "--embedding-dim", "8",
        "--quick-test-id", "11", "--experiment", "tests", "--json", str(tmp_path / "result.json"),
    ]  # fmt: skip
    program = start(arguments, mlflow_uri, pubsub, tmp_path)
    _, said = program.communicate(timeout=120)
    assert program.returncode == 0, said
    assert "epoch 3/3  loss" in said

    result = json.loads((tmp_path / "result.json").read_text())
    client = MlflowClient(mlflow_uri)
    run = client.get_run(result["run_id"])
    assert (run.info.status, run.info.run_name, run.info.start_time > 0) == ("FINISHED", "quick-test-11", True)
    assert client.get_experiment(run.info.experiment_id).name == "tests"
    assert len(CATALOGUE | FINAL) == 134
    assert run.data.metrics.keys() == CATALOGUE | FINAL | COUNTERS
    for key in CATALOGUE | COUNTERS:
        assert sorted(point.step for point in client.get_metric_history(run.info.run_id, key)) == [0, 1, 2], key
    for key in FINAL:
        assert [point.step for point in client.get_metric_history(run.info.run_id, key)] == [2], key
    expected = {"epochs": "3", "batch_size": "256", "learning_rate": "0.003", "optimizer": "adam", "embedding_dim": "8"}
    assert run.data.params.items() >= expected.items()
    for tower in ("query", "candidate"):
        for name in (f"{tower}_hist_bin_edges", f"{tower}_grad_hist_bin_edges"):
            assert len(run.data.params[name].split(",")) == 26

    event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
    assert (event.run_id, event.status, event.epochs, event.quick_test_id) == (result["run_id"], "FINISHED", 3, 11)
    assert event.end_time is not None
    assert round(event.end_time.timestamp() * 1000) == run.info.end_time
    info = json.loads((tmp_path / "output" / result["run_id"] / "mlflow_info.json").read_text())
    assert (info["run_id"], info["tracking_uri"]) == (result["run_id"], mlflow_uri)


@pytest.mark.integration
def test_a_terminated_run_is_killed_and_announced(
    purchases: str, mlflow_uri: str, pubsub: FakePubsub, tmp_path: Path
) -> None:
    arguments = ["--data", purchases, "--epochs", "100000", "--batch-size", "256", "--min-buyers", "2"]
    program = start(arguments, mlflow_uri, pubsub, tmp_path)
    assert program.stderr is not None
    lines = iter(program.stderr.readline, "")
    assert any("epoch      2/" in line for line in lines)
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)
    assert program.returncode == 143
    event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
    assert event.status is RunStatus.KILLED
    assert event.epochs is not None
    assert event.epochs >= 2
    run = MlflowClient(mlflow_uri).get_run(event.run_id)
    assert run.info.status == "KILLED"
    assert "loss" in run.data.metrics


class TestUsage:
    def test_help_has_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        assert "examples:" in capsys.readouterr().out

    @pytest.mark.parametrize("argument", ["--epochs=0", "--batch-size=x", "--learning-rate=nan", "--quick-test-id=-1"])
    def test_wrong_usage(self, argument: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main([argument])
        assert argument.split("=")[0] in capsys.readouterr().err

    def test_a_malformed_file_ends_it_before_any_server_is_asked(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "bad.csv").write_text("buyer_id,product_id,timestamp\na,p,never\n")
        assert main(["--data", str(tmp_path / "bad.csv")]) == 1
        assert "column timestamp, row 1: 'never'" in capsys.readouterr().err

    def test_a_bad_setting_is_named(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "nowhere")
        assert main([]) == 1
        assert "PUBSUB_EMULATOR_HOST" in capsys.readouterr().err
