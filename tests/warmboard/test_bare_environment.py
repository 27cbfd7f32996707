"""The library in an environment with the packages of requirements/tracking.txt only: no TensorFlow, Keras, pandas or
MLflow. The project is installed there as a user of the library installs it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.environment import GIVEN
from tests.mlflow_server.servers import Server
from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.warmboard.mlflow_server import MlflowServer
from tests.warmboard.servers import FakePubsub
from warmboard.contract.events import EventType, RunEvent, RunStatus

pytestmark = pytest.mark.integration

REQUIREMENTS = ROOT / "requirements" / "tracking.txt"
ENVIRONMENT = ROOT / "build" / "tracking"
PYTHON = ENVIRONMENT / "bin" / "python"
UV = Path(sys.executable).with_name("uv")
ABSENT = ("tensorflow", "keras", "pandas", "pyarrow", "mlflow", "django")
BINS = 25
LOOP = """
import math
import numpy as np
from warmboard import start_run
from warmboard.statistics import GradientSums, weight_norms, weight_statistics

random = np.random.default_rng(1)
towers = {"query": [random.normal(size=(20, 4))], "candidate": [random.normal(size=(30, 4))]}
gradients = GradientSums()
with start_run(quick_test_id=7, experiment="bare") as run:
    run.log_params({"optimizer": "by hand", **gradients.params()})
    for epoch in range(3):
        for _ in range(2):
            gradients.add({tower: [weights / 10 for weights in arrays] for tower, arrays in towers.items()})
        values = {"loss": 1 / (epoch + 1), "odd": math.nan, **gradients.values(), **weight_norms(towers)}
        for tower, arrays in towers.items():
            values |= weight_statistics(tower, arrays)
        run.log_metrics(values, step=epoch)
print(run.run_id, run.sent, run.waiting, run.rejected, run.lost)
"""
CLIENT = """
import sys
from datetime import UTC, datetime
from warmboard.contract.events import RunStatus
from warmboard import TrackingClient
from warmboard.tracking import Metric

client = TrackingClient(sys.argv[1])
client.wait_until_ready(20)
run_id = client.create_run(client.experiment("client"), "bare", datetime.now(UTC))
client.log_batch(run_id, [Metric("loss", 0.5, 0, 1000)], {"rate": 1})
client.end_run(run_id, RunStatus.FAILED, datetime.now(UTC))
print(run_id)
"""


TASK = """
import trainer
import warmboard

with warmboard.start_run(quick_test_id=8) as run:
    run.log_metrics({"loss": 0.5}, step=0)
print(trainer.__file__, run.run_id)
"""


@pytest.fixture(scope="module", autouse=True)
def bare() -> None:
    """Create the environment on first use, in seconds. The project is installed into it again each time."""
    marker, digest = ENVIRONMENT / "installed", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    try:
        if not marker.exists() or marker.read_text() != digest:
            _uv("venv", "--clear", "--python", sys.executable, str(ENVIRONMENT))
            _uv("pip", "sync", "--python", str(PYTHON), "--require-hashes", str(REQUIREMENTS))
            marker.write_text(digest)
        # Reinstalled: uv reuses its build of a folder even if modules have changed.
        _uv("pip", "install", "--python", str(PYTHON), "--no-deps", "--reinstall-package", "warmboard", str(ROOT))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"not run: the tracking library alone, which can't be installed ({said.strip()[-200:]})")


def _uv(*arguments: str) -> str:
    environ = {**os.environ, "UV_COMPILE_BYTECODE": "1"}
    done = subprocess.run([UV, *arguments], env=environ, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the two-tower program and nothing else of the checkout."""
    shutil.copytree(ROOT / "trainer", tmp_path / "trainer")
    return tmp_path


@pytest.fixture
def mlflow(stock_mlflow: Server) -> Server:
    return stock_mlflow


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the environment's Python in this folder, where it does not find the checkout."""
    given = {**GIVEN, "OUTPUT_URI": str(folder / "output"), "SPOOL_DIR": str(folder / "spool"), **environ}
    given.pop("PYTHONPATH", None)
    return subprocess.run(
        [PYTHON, *arguments], cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def addresses(mlflow: str, pubsub: FakePubsub) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": mlflow, "PUBSUB_EMULATOR_HOST": pubsub.address, "MLFLOW_READY_SECONDS": "180"}


def test_only_the_pinned_packages_and_the_project_are_installed() -> None:
    installed = {each["name"] for each in json.loads(_uv("pip", "list", "--python", str(PYTHON), "--format", "json"))}
    pinned = set(re.findall(r"^([\w.-]+)==", REQUIREMENTS.read_text(), re.MULTILINE))

    assert installed == pinned | {"warmboard"}


def test_the_project_installs_one_package_and_leaves_the_checkout_clean(tmp_path: Path) -> None:
    lines = "import importlib.metadata as m\nprint(*m.files('warmboard'))"
    brought = [Path(file) for file in run(tmp_path, "-c", lines).stdout.split() if ".dist-info/" not in file]

    assert {file.parts[0] for file in brought if file.parts[0] != ".."} == {"warmboard"}
    assert [str(file) for file in brought if file.parts[0] == ".."] == ["../../../bin/warmboard"]
    assert not [path for pattern in ("dist", "*.egg-info", "build/lib") for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("module", ABSENT)
def test_other_packages_are_not_installed(module: str, tmp_path: Path) -> None:
    assert f"No module named '{module}'" in run(tmp_path, "-c", f"import {module}").stderr


def test_the_installed_library_is_imported(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", "import warmboard; print(warmboard.__file__)")

    assert all(path.startswith(f"{ENVIRONMENT}/") for path in done.stdout.split()), done.stderr


def test_a_loop_without_a_framework(mlflow: Server, pubsub: FakePubsub, tmp_path: Path) -> None:
    done = run(tmp_path, "-c", LOOP, **addresses(mlflow.address, pubsub))

    assert done.returncode == 0, done.stderr
    run_id, sent, *rest = done.stdout.split()
    assert rest == ["0", "0", "0"]
    client = MlflowClient(mlflow.address)
    found = client.get_run(run_id)
    assert (found.info.status, found.info.run_name, found.data.params["optimizer"]) == (
        "FINISHED", "quick-test-7", "by hand",
    )  # fmt: skip
    assert int(sent) == 3 * len(found.data.metrics) + len(found.data.params)
    for tower in ("query", "candidate"):
        for stem in ("hist", "grad_hist"):
            assert {f"{tower}_{stem}_bin_{number}" for number in range(BINS)} <= found.data.metrics.keys()
        assert len(found.data.params[f"{tower}_grad_hist_bin_edges"].split(",")) == BINS + 1
        assert found.data.metrics[f"{tower}_grad_norm"] > 0
        assert found.data.metrics[f"{tower}_weights_std"] > 0
    assert sum(found.data.metrics[f"query_hist_bin_{number}"] for number in range(BINS)) == 80
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == [0, 1, 2]
    event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
    assert (event.type, event.run_id, event.status, event.epochs) == (
        EventType.COMPLETED, run_id, RunStatus.FINISHED, 3,
    )  # fmt: skip
    assert (tmp_path / "output" / run_id / "mlflow_info.json").is_file()


def test_the_client_alone(mlflow: Server, tmp_path: Path) -> None:
    done = run(tmp_path, "-c", CLIENT, mlflow.address)

    assert done.returncode == 0, done.stderr
    found = MlflowClient(mlflow.address).get_run(done.stdout.strip())
    assert (found.info.status, found.data.metrics, found.data.params) == ("FAILED", {"loss": 0.5}, {"rate": "1"})


def test_unsent_values_are_listed_and_flushed(mlflow: Server, pubsub: FakePubsub, tmp_path: Path) -> None:
    # A free port on which no server listens yet.
    away = MlflowServer(tmp_path / "mlflow")
    away.folder.mkdir()
    environ = {**addresses(away.uri, pubsub), "MLFLOW_READY_SECONDS": "0"}
    lines = "from warmboard import start_run\nwith start_run() as run:\n    run.log_metrics({'loss': 0.5}, step=0)\n"
    lines += "    raise SystemExit(143)"
    assert run(tmp_path, "-c", lines, **environ).returncode == 143

    listed = run(tmp_path, "-m", "warmboard", "flush", "--list", **environ)
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1), listed.stderr
    assert f"for {away.uri}; KILLED at " in listed.stdout
    away.start()
    try:
        flushed = run(tmp_path, "-m", "warmboard", "flush", **environ)
        assert flushed.returncode == 0, flushed.stderr
        event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
        found = MlflowClient(away.uri).get_run(event.run_id)
        assert (found.info.status, found.data.metrics) == ("KILLED", {"loss": 0.5})
    finally:
        away.stop()
    assert run(tmp_path, "-m", "warmboard", "flush", "--list", **environ).stdout.startswith("No spools")


def test_the_command_is_installed(tmp_path: Path) -> None:
    done = subprocess.run([PYTHON.with_name("warmboard"), "--help"], cwd=tmp_path, env=GIVEN, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: warmboard ")


def test_a_package_called_trainer_is_the_users_own(mlflow: Server, pubsub: FakePubsub, tmp_path: Path) -> None:
    """In a job of Vertex AI, the user's own package is called ``trainer`` and its module ``trainer.task``."""
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").touch()
    (tmp_path / "trainer" / "task.py").write_text(TASK)

    done = run(tmp_path, "-m", "trainer.task", **addresses(mlflow.address, pubsub))

    assert done.returncode == 0, done.stderr
    place, run_id = done.stdout.split()
    assert place == str(tmp_path / "trainer" / "__init__.py")
    found = MlflowClient(mlflow.address).get_run(run_id)
    assert (found.info.status, found.info.run_name, found.data.metrics) == ("FINISHED", "quick-test-8", {"loss": 0.5})
    event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
    assert (event.type, event.run_id, event.quick_test_id) == (EventType.COMPLETED, run_id, 8)


def test_help_needs_no_framework(program: Path) -> None:
    done = run(program, "-m", "trainer", "--help")

    assert done.returncode == 0, done.stderr
    assert "--epochs" in done.stdout


def test_a_missing_package_is_one_line(program: Path) -> None:
    done = run(program, "-m", "trainer", "--epochs", "1")

    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert re.search(r"pip install|requirements/trainer", line)
