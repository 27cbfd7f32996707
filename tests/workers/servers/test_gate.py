"""The gate of a tracking server: closed while it is down, and then a bounded rate."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from store.models import TrackingServerState
from workers.servers import gate
from workers.servers.gate import HeldBackError

pytestmark = pytest.mark.django_db


def state() -> TrackingServerState:
    return TrackingServerState.objects.get()


def test_a_server_without_a_row_is_up() -> None:
    assert gate.admit("default", 5) == 0.0
    assert gate.is_down("default") is None
    assert not TrackingServerState.objects.exists()


def test_a_server_is_down_since_the_first_failure() -> None:
    first = gate.close("default", "connection refused")
    since = state().down_since
    assert gate.close("default", "timed out")
    gate.still_down("default", "answers 503")
    assert (state().down_since, state().reason) == (since, "answers 503")
    assert state().asked_at
    assert first == f"waits for tracking server 'default', down since {since:%Y-%m-%d %H:%M:%S} UTC: connection refused"
    with pytest.raises(HeldBackError, match="answers 503"):
        gate.admit("default", 5)
    assert gate.admit("eu", 5) == 0.0


def test_a_server_that_is_back_is_asked_at_a_bounded_rate() -> None:
    gate.close("default", "down")
    gate.reopen("default")
    turns: list[datetime] = []
    for _ in range(3):
        assert 0 <= gate.admit("default", 4) <= gate.LONGEST_PACE
        turns += filter(None, [state().next_at])
    assert all(later - earlier >= timedelta(seconds=0.25) for earlier, later in pairwise(turns))
    assert len(turns) == 3
    TrackingServerState.objects.update(next_at=timezone.now() + timedelta(hours=1))
    with pytest.raises(HeldBackError, match="one after the other"):
        gate.admit("default", 4)


def test_a_server_that_is_back_is_forgotten_when_none_of_its_runs_came_for_a_while() -> None:
    gate.close("default", "down")
    gate.settle(["default"])
    assert state().down_since, "it is still down"
    gate.reopen("default")
    gate.settle(["default"])
    assert gate.states() == {"default": False}
    TrackingServerState.objects.update(next_at=timezone.now() - timedelta(hours=1))
    gate.settle(["default"])
    assert gate.states() == {}


def test_a_server_that_goes_again_is_down_since_then() -> None:
    gate.close("default", "refused")
    long_ago = timezone.now() - timedelta(hours=1)
    TrackingServerState.objects.update(down_since=long_ago)
    gate.reopen("default")
    gate.close("default", "answers 500")
    assert state().down_since != long_ago
    assert state().reason == "answers 500"


def test_a_reason_is_bounded_and_can_be_stored() -> None:
    gate.close("default", "\0" + "x" * 10_000)
    assert len(state().reason) == gate.LONGEST_REASON
