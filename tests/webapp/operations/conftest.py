"""An operator, and a Pub/Sub that takes what is published."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from tests.warmboard.servers import FakePubsub, pubsub_server
from tests.webapp.operations.test_operations import member


@pytest.fixture
def operator(db: None) -> Client:
    return member()


@pytest.fixture
def pubsub(settings: Settings) -> Iterator[FakePubsub]:
    """Takes what is published over real gRPC."""
    with pubsub_server() as server:
        settings.PUBSUB_EMULATOR_HOST = server.address
        yield server
