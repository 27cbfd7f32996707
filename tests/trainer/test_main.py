"""The whole program as a user runs it, against a real MLflow server; and its errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from deploy.local.process import free_port
from tests.mlflow_server.servers import Server
from tests.waiting import PATIENCE
from tests.warmboard.keras.test_callbacks import CATALOGUE, COUNTERS
from tests.warmboard.servers import FakePubsub, pubsub_server
from trainer.__main__ import main
from warmboard.contract.events import RunEvent, RunStatus
from warmboard.run import tracked as run_module
from warmboard.run.ending import Limits

FINAL = {"final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))}


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> str:
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "purchases.csv"
    times = pd.date_range("2026-01-01", periods=3000, freq="min", tz="UTC")
    columns = {"buyer_id": random.integers(50, size=3000), "product_id": random.integers(200, size=3000)}
    pd.DataFrame({**columns, "timestamp": times}).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def mlflow_uri(stock_mlflow: Server) -> str:
    return stock_mlflow.address


def start(
    arguments: list[str], mlflow_uri: str, pubsub: FakePubsub, folder: Path, **environ: str
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": mlflow_uri,
        "PUBSUB_EMULATOR_HOST": pubsub.address,
        "OUTPUT_URI": str(folder / "output"),
        "SPOOL_DIR": str(folder / "spool"),
        **environ,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.integration
def test_a_run_is_in_mlflow_completely(purchases: str, mlflow_uri: str, pubsub: FakePubsub, tmp_path: Path) -> None:
    arguments = [
        "--data", purchases, "--epochs", "3", "--batch-size", "256", "--min-buyers", "2", "--embedding-dim", "8",
        "--quick-test-id", "11", "--experiment", "tests", "--json", str(tmp_path / "result.json"),
    ]  # fmt: skip
    program = start(arguments, mlflow_uri, pubsub, tmp_path, WEBAPP_URL="https://web.test")
    _, said = program.communicate(timeout=PATIENCE)
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

    folder = tmp_path / "output" / result["run_id"]
    for kind, name in (("model_uri", "model.keras"), ("index_uri", "index.npz")):
        assert result[kind] == info[kind] == (folder / name).as_uri()
        assert (folder / name).is_file()
    assert result["values_sent"] > 3 * len(CATALOGUE | COUNTERS)
    assert [result[f"values_{kind}"] for kind in ("waiting", "refused", "lost")] == [0, 0, 0]
    assert result["waiting_at"] is None
    assert result["test"].keys() == FINAL - {"final_loss", "final_val_loss"}
    assert result["seconds"].keys() == {"data", "start", "training", "test", "total"}
    assert "event   published to warmboard-runs" in said
    assert said.endswith(f"page    https://web.test/runs/{result['run_id']}/\n")
    assert "oneDNN" not in said


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
    program.communicate(timeout=PATIENCE)
    assert program.returncode == 143
    event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
    assert event.status is RunStatus.KILLED
    assert event.epochs is not None
    assert event.epochs >= 2
    run = MlflowClient(mlflow_uri).get_run(event.run_id)
    assert run.info.status == "KILLED"
    assert "loss" in run.data.metrics


class InProcess:
    """The program in this process, with servers that can be down."""

    def __init__(self, folder: Path, purchases: str, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.words = [
            "--data", purchases, "--epochs=1", "--batch-size=256", "--min-buyers=2", "--embedding-dim=4",
            "--json", str(folder / "result.json"),
        ]  # fmt: skip
        # A minute is too long to wait for a server that the test keeps down.
        monkeypatch.setattr(run_module, "PATIENT", Limits(flush=0.2, spool=5, end=0.2, info=10, unsent=10, event=2))
        environ = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_READY_SECONDS": "0",
            "PUBSUB_EMULATOR_HOST": pubsub.address, "OUTPUT_URI": str(folder / "output"),
            "SPOOL_DIR": str(folder / "spool"),
        }  # fmt: skip
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    def result(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.folder / "result.json").read_text())
        return document


@pytest.fixture
def in_process(tmp_path: Path, purchases: str, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(tmp_path, purchases, pubsub, monkeypatch)


class TestServersThatAreDown:
    def test_a_training_succeeds_while_mlflow_is_down(
        self, in_process: InProcess, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(in_process.words) == 0
        said = capsys.readouterr().err
        result = in_process.result()
        assert (result["run_id"], result["values_sent"], result["published_at"]) == ("", 0, None)
        (spool,) = (in_process.folder / "spool").iterdir()
        assert result["waiting_at"] == str(spool)
        assert f"{result['values_waiting']:,} values are NOT SENT to MLflow, but kept in {spool}" in said
        assert "warmboard flush\n" in said
        assert Path(str(result["model_uri"]).removeprefix("file://")).is_file()

    def test_pubsub_rejects_the_event(
        self,
        in_process: InProcess,
        mlflow_uri: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
        monkeypatch.setenv("MLFLOW_READY_SECONDS", "60")
        monkeypatch.setattr(run_module, "PATIENT", Limits(flush=60, spool=5, end=20, info=30, unsent=30, event=2))
        with pubsub_server() as refusing:
            refusing.refuse_with = grpc.StatusCode.PERMISSION_DENIED
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", refusing.address)
            assert main([*in_process.words, "--no-save"]) == 0
        result = in_process.result()
        assert (result["published_at"], result["model_uri"]) == (None, None)
        said = capsys.readouterr().err
        assert "event   NOT PUBLISHED. The workers' sweep finds the run by its mlflow_info.json" in said
        assert f"warmboard publish {result['mlflow_info_uri']}" in said

    def test_a_folder_that_cannot_be_written(self, in_process: InProcess, capsys: pytest.CaptureFixture[str]) -> None:
        (in_process.folder / "output").write_text("in the way")
        assert main(in_process.words) == 1
        result = in_process.result()
        assert result["model_uri"] is None
        assert "model   NOT SAVED" in capsys.readouterr().err


class TestUsage:
    def test_help_has_commands_and_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        said = capsys.readouterr().out
        assert "examples:" in said
        for command in ("python -m trainer [train]", "python -m trainer sweep", "warmboard flush", "warmboard publish"):
            assert f"  {command} " in said

    @pytest.mark.parametrize("command", ["train", "sweep"])
    def test_every_command_has_its_help(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        assert "usage: python -m trainer" in capsys.readouterr().out

    @pytest.mark.parametrize("command", ["flush", "publish"])
    @pytest.mark.parametrize("more", [[], ["--help"], ["--list", "file"]])
    def test_a_command_of_the_library_names_its_place(
        self, command: str, more: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([command, *more]) == 2
        assert f"warmboard {command}\n" in capsys.readouterr().err

    def test_an_unknown_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["swep"]) == 2
        assert "no command swep; did you mean sweep?" in capsys.readouterr().err

    def test_a_bad_config_is_wrong_usage(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "run.toml").write_text("epoch = 3\n")
        with pytest.raises(SystemExit, match="2"):
            main(["--config", str(tmp_path / "run.toml")])
        assert "run.toml: unknown key epoch; did you mean epochs?" in capsys.readouterr().err

    def test_commands_and_help_need_neither_pandas_nor_tensorflow(self) -> None:
        code = (
            "import sys\n"
            "for name in ('pandas', 'keras', 'tensorflow', 'pyarrow'): sys.modules[name] = None\n"
            "from trainer.__main__ import main\n"
            "sys.exit(main(['sweep', '--help']) or main(['--help']))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_missing_package_is_named(self) -> None:
        code = "import sys; sys.modules['pandas'] = None; from trainer.__main__ import main; sys.exit(main([]))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == "trainer: training needs the package pandas; see requirements/trainer.txt\n"

    @pytest.mark.parametrize("argument", ["--epochs=0", "--batch-size=x", "--learning-rate=nan", "--quick-test-id=-1"])
    def test_wrong_usage(self, argument: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main([argument])
        assert argument.split("=")[0] in capsys.readouterr().err

    def test_a_malformed_file_is_an_error_before_any_request(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "bad.csv").write_text("buyer_id,product_id,timestamp\na,p,never\n")
        assert main(["--data", str(tmp_path / "bad.csv")]) == 1
        assert "column timestamp, row 1: 'never'" in capsys.readouterr().err

    def test_an_invalid_setting_is_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "nowhere")
        assert main([]) == 1
        assert "PUBSUB_EMULATOR_HOST" in capsys.readouterr().err
