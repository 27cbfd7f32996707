"""The health checks: open to anyone, at any host name."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client
from pytest_django import Settings


def test_a_process_that_lives_says_so_without_its_database() -> None:
    response = Client().get("/healthz", headers={"Host": "10.1.2.3"})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready_when_database_and_redis_answer(anyone: Client) -> None:
    response = anyone.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_without_redis_it_is_degraded_and_without_its_database_unavailable(
    anyone: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = anyone.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "degraded", "away": ["redis"]})

    def away() -> None:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        response = anyone.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable", "away": ["database", "redis"]})
