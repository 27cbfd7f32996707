"""Fixtures of the library's and the trainer's tests: a stock MLflow of both versions, and a fake Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mlflow_2_9 import binaries
from tests.mlflow_server.servers import Server, started
from tests.warmboard.servers import FakePubsub, pubsub_server
from trainer.__main__ import quiet_tensorflow

# Before any test module imports it.
quiet_tensorflow()


@pytest.fixture(scope="module", params=["3.17.2", "2.9.2"])
def both_servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A stock MLflow server. A test that uses it runs once with each supported version."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.sqlite3"
    options = ["server", "--workers=1", f"--backend-store-uri={uri}"]
    if request.param == "2.9.2":
        programs = binaries()
        given = started(folder, uri, [str(programs / "mlflow"), *options], PATH=f"{programs}:/usr/bin:/bin")
    else:
        given = started(folder, uri, ["mlflow", *options])
    with given as running:
        assert running.get("/version").text == request.param
        yield running


@pytest.fixture
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as fake:
        yield fake
