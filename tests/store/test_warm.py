"""The store's door: what was put is got, the later fetch wins, and Redis may be empty, stale or away."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from contract.entries import EntryKey, HistogramType, Resolution, Tower
from deploy.local.process import free_port
from store import warm
from store.models import QuickTest, Run, WarmEntry
from store.warm import HotCopyError
from tests.conftest import start_valkey
from tests.store.samples import announce, entry, warm_run

OVERVIEW = EntryKey.history("run1", Resolution.OVERVIEW)
HISTOGRAM = EntryKey.histogram("run1", HistogramType.WEIGHTS, Tower.QUERY, Resolution.FULL)


def test_what_was_put_is_got_hot_and_cold(hot: redis.Redis) -> None:
    announce()
    put = warm_run("first")
    assert warm.put(put)
    assert warm.get(OVERVIEW) == put.entries[OVERVIEW]
    hot.flushdb()
    assert warm.get(OVERVIEW) == put.entries[OVERVIEW], "from the table"
    WarmEntry.objects.all().delete()
    assert warm.get(OVERVIEW) == put.entries[OVERVIEW], "the read from the table has heated it"


def test_nothing_is_warm_before_it_was_put() -> None:
    assert warm.get(OVERVIEW) is None


def test_the_later_fetch_wins_whichever_finishes_last() -> None:
    announce()
    later = warm_run("later", minutes=5)
    assert warm.put(later)
    assert not warm.put(warm_run("earlier"))
    assert warm.get(OVERVIEW) == later.entries[OVERVIEW]
    assert warm.put(warm_run("latest", minutes=6))
    assert warm.get(OVERVIEW) != later.entries[OVERVIEW]


def test_an_entry_that_is_no_more_is_gone_everywhere(hot: redis.Redis) -> None:
    announce()
    warm.put(warm_run("with", more={HISTOGRAM: entry("histogram")}))
    assert warm.get(HISTOGRAM)
    warm.put(warm_run("without", minutes=1))
    assert warm.get(HISTOGRAM) is None
    assert not hot.exists(str(HISTOGRAM))


def test_a_slow_reader_does_not_bring_an_old_body_back(hot: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    warm.put(warm_run("old"))
    hot.flushdb()
    read = warm._from_table
    new = warm_run("new", minutes=1)

    def read_then_be_overtaken(key: EntryKey) -> Any:
        old = read(key)
        warm.put(new)
        return old

    monkeypatch.setattr(warm, "_from_table", read_then_be_overtaken)
    warm.get(OVERVIEW)
    assert warm.get(OVERVIEW) == new.entries[OVERVIEW]


def test_an_earlier_fetch_that_heats_last_changes_nothing() -> None:
    announce()
    earlier, later = warm_run("earlier"), warm_run("later", minutes=1)
    warm.put(earlier)
    warm.put(later)
    warm._heat(earlier.entries, warm._generation(earlier.fetched_at))
    assert warm.get(OVERVIEW) == later.entries[OVERVIEW]


def test_the_summary_and_the_quick_test_are_written_with_the_entries() -> None:
    announce()
    QuickTest.objects.create(pk=41, mlflow_run_id="run1")
    warm.put(warm_run("first"))
    run = Run.objects.get(pk="run1")
    assert (run.experiment_name, run.epochs, run.sparkline) == ("two-tower", 3, [3.0, None, 1.0])
    assert run.warmed_at
    test = QuickTest.objects.get(pk=41)
    assert test.mlflow_experiment_name == "two-tower"
    assert test.training_history_json == {"available": True, "text": "first overview"}


def test_a_put_that_fails_changes_nothing() -> None:
    announce()
    before = warm_run("before")
    warm.put(before)
    without_overview = replace(warm_run("broken", minutes=1), entries={HISTOGRAM: entry("x")})
    with pytest.raises(KeyError):
        warm.put(without_overview)
    assert warm.get(OVERVIEW) == before.entries[OVERVIEW]
    assert WarmEntry.objects.count() == 2


def test_without_redis_the_tables_answer_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    own = start_valkey(tmp_path, port)
    monkeypatch.setattr(settings, "REDIS_URL", f"redis://127.0.0.1:{port}/0")
    warm._redis.cache_clear()
    try:
        announce()
        warm.put(warm_run("first"))
        own.kill()
        with caplog.at_level(logging.WARNING):
            assert warm.get(OVERVIEW) == warm_run("first").entries[OVERVIEW]
            with pytest.raises(HotCopyError, match="Redis is away"):
                warm.put(warm_run("second", minutes=1))
            assert warm.get(OVERVIEW) == warm_run("second").entries[OVERVIEW]
        assert "Redis is away" in caplog.text
    finally:
        own.stop()
        warm._redis.cache_clear()
