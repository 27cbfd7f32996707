"""A server that allows so many requests a second, as hosted MLflow servers do, is fetched from at that rate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points, _json
from workers.errors import ThrottledError, TransientError
from workers.fetch import pauses
from workers.fetch.fetcher import Fetcher, Limits, TrackingServer

SERVER = TrackingServer("databricks", "https://dbc.example.com", token="dapi")  # noqa: S106
CURVE: Points = [(0, 1.0, 10), (1, 0.5, 20)]
METRICS: Mapping[str, Points] = {f"m{number}": CURVE for number in range(40)}
REJECTED = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Too many requests"}


class Limited(FakeMlflow):
    """Answers ``most`` requests, then rejects all until it is left alone for a moment."""

    def __init__(self, most: int, named: str | None = None, pause: float = 0.02) -> None:
        super().__init__(METRICS)
        self.most, self.named, self.pause = most, named, pause
        self.left, self.last = most, time.monotonic()
        self.rejected = 0

    def _answer(self, path: str, query: Mapping[str, Any], accept: str) -> tuple[int, bytes, dict[str, str]]:
        if path.endswith("/warmboard/version"):
            return super()._answer(path, query, accept)
        now = time.monotonic()
        if now - self.last >= self.pause:
            self.left = self.most
        if self.left <= 0:
            self.rejected += 1
            status, body, headers = _json(429, REJECTED)
            return status, body, headers | ({"Retry-After": self.named} if self.named else {})
        self.left, self.last = self.left - 1, now
        return super()._answer(path, query, accept)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.05)


def fetch(wire: FakeMlflow, **limits: Any) -> Any:
    return Fetcher(SERVER, transport=wire, limits=Limits(**limits)).fetch(RUN_ID)


def test_a_fetch_goes_on_at_the_rate_that_the_server_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    # However a busy machine shares its turns among the threads.
    monkeypatch.setattr(pauses, "MOST_TRIES", 1_000)
    wire = Limited(10)
    run = fetch(wire)
    assert run.points.keys() == METRICS.keys()
    assert all(len(points) == len(CURVE) for points in run.points.values())
    assert wire.rejected


def test_all_requests_pause_when_one_is_rejected() -> None:
    wire = Limited(10)
    Fetcher(SERVER, transport=wire, concurrency=1).fetch(RUN_ID)
    # Alone, a request is sent again after the pause, and never before.
    assert wire.rejected <= len(METRICS) // wire.most + 1


def test_a_server_that_rejects_the_first_request_is_left_alone() -> None:
    wire = FakeMlflow(METRICS, failures=[429] * 3)
    with pytest.raises(ThrottledError, match="429"):
        fetch(wire)
    assert len(wire.asked("runs/get")) == 1


def test_a_pause_that_is_too_long_ends_the_fetch() -> None:
    wire = Limited(5, named=str(int(pauses.LONGEST_SECONDS) + 1), pause=1e9)
    with pytest.raises(ThrottledError, match="429") as found:
        fetch(wire)
    assert found.value.rest == pauses.LONGEST_SECONDS + 1


def test_one_request_is_sent_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.001)
    wire = Limited(5, pause=1e9)
    with pytest.raises(ThrottledError, match="429"):
        Fetcher(SERVER, transport=wire, concurrency=1).fetch(RUN_ID)
    # Another one may have been sent when the first gave up.
    assert wire.rejected - pauses.MOST_TRIES in (0, 1)


def test_the_deadline_holds_while_it_waits() -> None:
    wire = Limited(5, named="15", pause=1e9)
    with pytest.raises(TransientError, match=r"has not answered in full within 0\.3 s"):
        fetch(wire, seconds=0.3)
