"""Fixtures of the library's and the trainer's tests: a stock MLflow of both versions, and a fake Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mlflow_server.servers import Server
from tests.warmboard.servers import FakePubsub, pubsub_server
from trainer.__main__ import quiet_tensorflow

# Before any test module imports it.
quiet_tensorflow()


@pytest.fixture(params=["3.17.2", "2.9.2"], scope="session")
def both_servers(request: pytest.FixtureRequest) -> Server:
    """A stock MLflow server. A test that uses it runs once with each supported version."""
    server: Server = request.getfixturevalue({"3.17.2": "stock_mlflow", "2.9.2": "old_mlflow"}[request.param])
    assert server.get("/version").text == request.param
    return server


@pytest.fixture
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as fake:
        yield fake
