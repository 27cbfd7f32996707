"""Discovery that looks at a faked MLflow."""

from __future__ import annotations

import pytest

from tests.workers.discover.fake_tracking import DAYS, FakeTracking
from workers.discover.discovery import Discovery
from workers.discover.mlflow import MlflowLook
from workers.fetch.server import TrackingServer


@pytest.fixture
def tracking(monkeypatch: pytest.MonkeyPatch) -> FakeTracking:
    """A faked server; it also answers whether it is down."""
    found = FakeTracking()
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: found)
    return found


@pytest.fixture
def queued() -> list[str]:
    """The runs whose warming was queued."""
    return []


@pytest.fixture
def look(tracking: FakeTracking) -> MlflowLook:
    server = TrackingServer("default", "http://mlflow.test")
    return MlflowLook(server, DAYS, transport=tracking, clock=lambda: tracking.clock)


@pytest.fixture
def discovery(look: MlflowLook, queued: list[str]) -> Discovery:
    return Discovery([look], queued.append)
