"""A server that asks to be left alone for a while (Retry-After) is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from store.models import TrackingServerState
from tests.workers.fetch.small_server import serving
from workers.errors import ThrottledError, TransientError
from workers.fetch.api import API, MlflowApi
from workers.fetch.rest import LONGEST_SECONDS, rest_of
from workers.fetch.server import TrackingServer
from workers.servers import gate
from workers.servers.outage import outage_of
from workers.servers.probe import asked
from workers.servers.watch import LONGEST_PAUSE, Watch


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (429, "7", 7),
        (503, "7", 7),
        (200, "7", 0),
        (500, "7", 0),
        (429, "86400", LONGEST_SECONDS),
        (429, "9" * 5000, 0),
        (429, "-1", 0),
        (429, "Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_SECONDS),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (429, "Wed, 21 Oct 99999 07:28:00 GMT", 0),
        (429, "", 0),
    ],
)
def test_a_rest_is_read(status: int, value: str, seconds: float) -> None:
    assert rest_of(status, {"Retry-After": value}) == seconds
    assert rest_of(status, {}) == 0


@given(st.text())
def test_a_rest_is_bounded_whatever_the_server_says(value: str) -> None:
    assert 0 <= rest_of(429, {"Retry-After": value}) <= LONGEST_SECONDS


@pytest.mark.parametrize("status", [429, 503])
def test_an_answer_says_it(status: int) -> None:
    with serving(lambda *_: (status, b"", {"Retry-After": "60"})) as found:
        server = TrackingServer("default", found.address)
        assert asked(server).rest == 60
        with pytest.raises(TransientError) as error:
            MlflowApi(server, connections=1).get(API + "runs/get", "run")
    assert not isinstance(error.value, ThrottledError) or error.value.rest == 60


def until() -> float:
    """Seconds until the server may be asked."""
    found = TrackingServerState.objects.get().next_at
    assert found
    return (found - timezone.now()).total_seconds()


@pytest.mark.django_db
def test_a_throttled_run_lets_its_server_rest() -> None:
    assert outage_of(ThrottledError("answered 429", 60), TrackingServer("default", "http://mlflow.test"))
    assert 0 < until() <= 60
    assert gate.resting() == {"default"}
    gate.still_down("default", "answers 429", 200)
    assert 60 < until() <= 200
    gate.reopen("default")
    assert gate.resting() == set()
    gate.close("default", "down")
    assert gate.resting() == set(), "it asked for it before it was back"


@pytest.mark.usefixtures("tables")
def test_beat_does_not_ask_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    answers = 0

    def answer(*_: object) -> tuple[int, bytes, dict[str, str]]:
        nonlocal answers
        answers += 1
        return 503, b"", {"Retry-After": "60"}

    def turn() -> None:
        nonlocal now
        now += LONGEST_PAUSE
        watch.turn()
        for question in watch._asked.values():
            question.join()

    with serving(answer) as found:
        server = TrackingServer("default", found.address)
        watch = Watch({"default": server}, 5, lambda _: None, clock=lambda: now)
        gate.close("default", "down")
        while not gate.resting():
            turn()
        assert answers == 1
        for _ in range(5):
            turn()
        assert answers == 1
        TrackingServerState.objects.update(next_at=timezone.now() - timedelta(seconds=1))
        while not gate.resting():
            turn()
        assert answers == 2
