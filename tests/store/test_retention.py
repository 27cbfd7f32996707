"""Retention: an expired run stays listed, its charts are deleted everywhere, and a new warming restores them."""

from datetime import timedelta

import pytest
import redis

from store import retention, warm
from store.models import Run, RunSource, WarmEntry
from store.state import run_state
from tests.store.samples import NOON, announce, warm_run
from warmboard.contract.entries import Encoding, EntryKey, Resolution


def put(run_id: str, minutes: int) -> None:
    if not Run.objects.filter(pk=run_id).exists():
        announce(run_id)
    assert warm.put(warm_run("first", run_id=run_id, minutes=minutes))


def test_runs_expire_in_batches_oldest_fetch_first() -> None:
    for minutes in range(5):
        put(f"run{minutes}", minutes)
    cutoff = NOON + timedelta(minutes=3)
    assert [retention.expire(cutoff, 2) for _ in range(3)] == [2, 1, 0]
    assert sorted(run.pk for run in Run.objects.all() if run.has_expired) == ["run0", "run1", "run2"]
    assert set(WarmEntry.objects.values_list("run_id", flat=True)) == {"run3", "run4"}
    assert set(RunSource.objects.values_list("run_id", flat=True)) == {"run3", "run4"}
    for minutes in range(5):
        key = EntryKey.history(f"run{minutes}", Resolution.OVERVIEW)
        warm._local().forget(key.run_id)
        assert (warm.get(key, Encoding.ZSTD) is not None) == (minutes >= 3), "not from Redis either"
    assert warm.source("run0") is None


def test_an_expired_run_says_so_and_a_warming_restores_it() -> None:
    put("run1", 0)
    retention.expire(NOON + timedelta(days=1), 10)
    expired = Run.objects.get()
    assert (expired.name, expired.sparkline) == ("quick-test-1", [3.0, None, 1.0])
    state = run_state("run1")
    assert state.state == "expired"
    assert "replay" in state.expect
    put("run1", 1)
    assert Run.objects.get().is_warm
    assert retention.expire(NOON, 10) == 0


def test_nothing_is_dropped_while_redis_is_down(hot: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    put("run1", 0)

    def fail(*_: object) -> None:
        raise redis.ConnectionError("down")

    monkeypatch.setattr("store.hot.Hot.forget", fail)
    with pytest.raises(redis.ConnectionError):
        retention.expire(NOON + timedelta(days=1), 10)
    assert Run.objects.get().is_warm
    assert WarmEntry.objects.count() == 2
