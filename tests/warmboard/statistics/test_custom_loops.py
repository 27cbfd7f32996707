"""The loops of docs/how-to/custom-loops.md, unchanged; and docs/reference/metrics.md, which names all keys."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from tests import frameworks
from tests.environment import GIVEN
from tests.mlflow_server.servers import Server
from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.warmboard.servers import FakePubsub
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.contract.info import RunInfo
from warmboard.statistics.values import TOWERS, GradientSums, weight_edges_param, weight_norms, weight_statistics

PAGE = ROOT / "docs" / "how-to" / "custom-loops.md"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
LOOPS = dict(re.findall(r"^## (\w+)\n\n```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
EPOCHS, STEPS, BATCH, DIM, ROWS = 3, 16, 100, 8, {"query": 100, "candidate": 50}

ARRAYS = {tower: [np.arange(3.0)] for tower in TOWERS}
LOSSES = {f"{part}{name}" for part in ("", "val_") for name in ("loss", "regularization_loss", "total_loss")}
AT_THE_END = {"final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))}
PARAMS = {"epochs", "batch_size", "learning_rate", "learning_rate_schedule", "optimizer", "embedding_dim"}


def statistics() -> dict[str, float]:
    """Return all metric keys that the library computes for a loop."""
    gradients = GradientSums()
    gradients.add(ARRAYS)
    values = weight_norms(ARRAYS) | gradients.values()
    for tower, arrays in ARRAYS.items():
        values |= weight_statistics(tower, arrays)
    return values


def edges() -> dict[str, str]:
    params = GradientSums().params()
    for tower in TOWERS:
        params |= weight_edges_param(tower, statistics())
    return params


class TestReference:
    def test_it_names_every_key(self) -> None:
        keys = LOSSES | AT_THE_END | PARAMS | statistics().keys() | edges().keys()
        patterns = {re.sub(r"_bin_\d+$", "_bin_0", re.sub(r"^(query|candidate)_", "{tower}_", key)) for key in keys}
        page = REFERENCE.read_text()
        assert len(patterns) > 30
        assert {pattern for pattern in patterns if f"`{pattern}`" not in page} == set()

    def test_its_examples_are_correct(self) -> None:
        tried = doctest.testfile(str(REFERENCE), module_relative=False)
        assert tried.failed == 0
        assert tried.attempted > 5


@pytest.fixture
def server(stock_mlflow: Server) -> Server:
    return stock_mlflow


def train(code: str, folder: Path, server: Server, pubsub: FakePubsub, python: str | Path) -> str:
    """Run the loop as a separate program and return its run's ID."""
    environ = {
        **GIVEN, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "MLFLOW_TRACKING_URI": server.address,
        "PUBSUB_EMULATOR_HOST": pubsub.address, "OUTPUT_URI": str(folder / "output"),
        "SPOOL_DIR": str(folder / "spool"),
    }  # fmt: skip
    (folder / "your_loop.py").write_text(code)
    done = subprocess.run(
        [python, "your_loop.py"],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = re.search(r"^run (\w+)$", done.stdout, re.MULTILINE)
    assert said, done.stdout
    return said[1]


def histories(client: MlflowClient, run_id: str, keys: set[str]) -> dict[str, list[float]]:
    """Return every key's values by epoch. Fails if a key does not have exactly one value per epoch."""
    found = {}
    for key in keys:
        points = sorted(client.get_metric_history(run_id, key), key=lambda point: point.step)
        assert [point.step for point in points] == list(range(EPOCHS)), key
        found[key] = [point.value for point in points]
    return found


def assert_counted(values: dict[str, list[float]], tower: str) -> None:
    """Assert that histograms count every weight and every gradient; of embeddings, those of the rows looked up."""
    dense = DIM * DIM + DIM
    weights = np.sum([values[f"{tower}_hist_bin_{index}"] for index in range(25)], axis=0)
    assert weights.tolist() == [ROWS[tower] * DIM + dense] * EPOCHS
    outside = [values[f"{tower}_grad_{name}"] for name in ("hist_underflow", "hist_overflow", "nonfinite")]
    inside = [values[f"{tower}_grad_hist_bin_{index}"] for index in range(25)]
    assert np.sum([*inside, *outside], axis=0).tolist() == [STEPS * (BATCH * DIM + dense)] * EPOCHS
    assert all(std > 0 for std in values[f"{tower}_grad_std"])


@pytest.mark.integration
@pytest.mark.parametrize(("framework", "module"), [("TensorFlow", "tensorflow"), ("PyTorch", "torch")])
def test_a_loop(framework: str, module: str, tmp_path: Path, server: Server, pubsub: FakePubsub) -> None:
    here = bool(find_spec(module))
    if not here and not (frameworks.WANTED and frameworks.has(module)):
        pytest.skip(f"not run: the {framework} loop ({module} is not installed)")
    run_id = train(LOOPS[framework], tmp_path, server, pubsub, sys.executable if here else frameworks.python())

    client = MlflowClient(server.address)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    logged = {"loss", "val_loss"} | statistics().keys()
    assert run.data.metrics.keys() == logged
    values = histories(client, run_id, logged)
    assert values["loss"][-1] < values["loss"][0]
    for tower in TOWERS:
        assert_counted(values, tower)

    assert run.data.params.keys() == {"epochs", "batch_size", "optimizer"} | edges().keys()
    assert {len(run.data.params[key].split(",")) for key in edges()} == {26}
    first = [float(edge) for edge in run.data.params["query_hist_bin_edges"].split(",")]
    assert (first[0], first[-1]) == pytest.approx((values["query_weights_min"][0], values["query_weights_max"][0]))

    events = [RunEvent.decode(message.data, message.attributes) for message in pubsub.messages]
    (event,) = [event for event in events if event.type is EventType.COMPLETED]
    assert (event.run_id, event.status, event.epochs) == (run_id, RunStatus.FINISHED, EPOCHS)
    info = RunInfo.decode((tmp_path / "output" / run_id / "mlflow_info.json").read_bytes())
    assert (info.status, info.unsent) == (RunStatus.FINISHED, 0)
    assert list((tmp_path / "spool").glob("*.ndjson")) == []
