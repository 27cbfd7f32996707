"""What trainings of the old version left on a machine: unsent values, and a saved model."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environment import GIVEN
from tests.upgrade.fixture import FOLDER, read
from tests.upgrade.mlflow import Mlflow
from tests.warmboard.servers import FakePubsub, pubsub_server
from tests.workers.fetch.small_server import serving
from warmboard.contract.events import RunEvent

SECONDS = 120


@pytest.fixture
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as server:
        yield server


def spooled(name: str, address: str) -> bytes:
    """A file of the fixture, of values that are meant for the MLflow at this address. Marks in the file are byte
    offsets, so the new address is as long as the old one.
    """
    data = (FOLDER / name).read_bytes()
    moved = re.sub(rb"http://127\.0\.0\.1:\d+", address.encode(), data, count=1)
    assert len(moved) == len(data)
    return moved


def head(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text().splitlines()[0])
    return content


@pytest.mark.integration
def test_what_was_never_sent_is_flushed(tmp_path: Path, pubsub: FakePubsub) -> None:
    mlflow = Mlflow()
    folder = tmp_path / "spool"
    folder.mkdir()
    with serving(mlflow) as server:
        for name in ("spool-killed.ndjson", "spool-never-created.ndjson"):
            (folder / f"{head(name)['creation']}.ndjson").write_bytes(spooled(name, server.address))
        environ = {
            **GIVEN, "PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": server.address, "SPOOL_DIR": str(folder),
            "OUTPUT_URI": str(tmp_path / "output"), "PUBSUB_EMULATOR_HOST": pubsub.address,
        }  # fmt: skip
        command = [sys.executable, "-m", "warmboard", "flush"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.iterdir()) == []
    assert_killed_run_is_whole(mlflow)
    assert_created_run_is_whole(mlflow)
    events = [RunEvent.decode(message.data, message.attributes) for message in pubsub.messages]
    told = {event.run_id: (event.status, event.epochs, event.quick_test_id) for event in events}
    assert told == {"killed0training": ("FAILED", 4, 9), "created1": ("FINISHED", 4, 9)}


def assert_killed_run_is_whole(mlflow: Mlflow) -> None:
    """MLflow is sent what begins after the mark, epochs 1 to 3: it had the parameters and epoch 0 already."""
    sent = mlflow.logged["killed0training"]
    assert [(step, value) for key, step, value in sent if key == "loss"] == [(1, 0.5), (2, 1 / 3), (3, 0.25)]
    assert len(sent) == 6
    assert mlflow.params["killed0training"] == {}
    assert mlflow.ended["killed0training"]["status"] == "FAILED"


def assert_created_run_is_whole(mlflow: Mlflow) -> None:
    (created,) = mlflow.created
    tags = {tag["key"]: tag["value"] for tag in created["tags"]}
    of = head("spool-never-created.ndjson")
    assert tags["warmboard.creation"] == of["creation"]
    assert (tags["team"], tags["quick_test_id"], created["run_name"]) == ("ranking", "9", "never")
    losses = [(step, value) for key, step, value in mlflow.logged["created1"] if key == "loss"]
    assert losses == [(epoch, 1.0 / (epoch + 1)) for epoch in range(4)]
    others = [float(value) for key, _, value in mlflow.logged["created1"] if key == "val_loss"]
    assert [math.isnan(value) for value in others] == [False, False, True, False]
    assert mlflow.params["created1"] == {"lr": "0.01", "optimizer": "adam"}
    assert mlflow.ended["created1"]["status"] == "FINISHED"


def test_a_saved_model_is_read_and_scores_as_before() -> None:
    import keras
    import numpy as np

    import trainer.model

    model = keras.models.load_model(FOLDER / "model.keras")
    assert isinstance(model, trainer.model.TwoTower)
    buyers, products = np.arange(4) % 5, np.arange(4)
    scores = np.asarray(model.query(buyers)) @ np.asarray(model.candidate(products)).T
    assert np.allclose(scores, read("model.json")["scores"], rtol=1e-3, atol=1e-5)
