"""`store.warm`: get returns what was put, the later fetch wins, and Redis may be empty, stale or down."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deploy.local.process import Process, free_port
from store import hot as hot_copy
from store import warm
from store.models import QuickTest, Run, RunSource, WarmEntry
from store.warm import HotCopyError
from tests.conftest import start_valkey
from tests.store.samples import NOON, announce, entry, warm_run
from tests.waiting import wait
from warmboard.contract.entries import Body, Encoding, Entry, EntryKey, HistogramType, Resolution, Tower

OVERVIEW = EntryKey.history("run1", Resolution.OVERVIEW)
FULL = EntryKey.history("run1", Resolution.FULL)
HISTOGRAM = EntryKey.histogram("run1", HistogramType.WEIGHTS, Tower.QUERY, Resolution.FULL)
CHUNK = EntryKey.metric_chunk("run1", 0, Resolution.OVERVIEW)
INDEX = EntryKey.metric_index("run1")


def get(key: EntryKey = OVERVIEW, encoding: Encoding = Encoding.GZIP) -> Body | None:
    """Get a body, bypassing the in-process cache."""
    warm._local().forget(key.run_id)
    return warm.get(key, encoding)


@pytest.fixture
def own_valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """A Valkey that a test may stop."""
    port = free_port()
    process = start_valkey(tmp_path, port)
    monkeypatch.setattr(settings, "REDIS_URL", f"redis://127.0.0.1:{port}/0")
    hot_copy.hot.cache_clear()
    yield process
    process.stop()
    hot_copy.hot.cache_clear()


@pytest.mark.parametrize("encoding", Encoding)
def test_get_returns_what_was_put_hot_and_cold(hot: Any, encoding: Encoding) -> None:
    announce()
    put = warm_run("first")
    assert warm.put(put)
    expected = put.entries[OVERVIEW].body(encoding)
    assert get(encoding=encoding) == expected
    hot.flushdb()
    assert get(encoding=encoding) == expected, "from the table"
    WarmEntry.objects.all().delete()
    assert get(encoding=encoding) == expected, "the read from the table heated it"


def test_nothing_is_warm_before_a_put() -> None:
    assert warm.get(OVERVIEW, Encoding.GZIP) is None
    assert warm.get_many([OVERVIEW], Encoding.GZIP) == {}
    assert warm.get_many([], Encoding.GZIP) == {}
    assert warm.source("run1") is None


def test_a_run_must_have_been_announced() -> None:
    with pytest.raises(Run.DoesNotExist):
        warm.put(warm_run("first"))


def test_the_later_fetch_wins_regardless_of_which_finishes_last() -> None:
    announce()
    later = warm_run("later", minutes=5)
    assert warm.put(later)
    assert not warm.put(warm_run("earlier"))
    assert get() == later.entries[OVERVIEW].body(Encoding.GZIP)
    found = warm.source("run1")
    assert found == warm.Source(b"source of later", later.fetched_at)
    assert warm.put(warm_run("latest", minutes=6))
    assert get() != later.entries[OVERVIEW].body(Encoding.GZIP)
    assert RunSource.objects.count() == 1


def test_a_fetch_by_a_clock_that_was_ahead_freezes_nothing(hot: Any) -> None:
    announce()
    assert warm.put(warm_run("of 2099", minutes=60 * 24 * 365 * 73))
    ahead = Run.objects.get().fetched_at
    assert ahead
    assert ahead.year > 2090
    Run.objects.update(warmed_at=ahead)
    second = warm_run("second", minutes=2)
    assert warm.put(second)
    assert get() == second.entries[OVERVIEW].body(Encoding.GZIP)
    assert not warm.put(warm_run("first", minutes=1))
    # Tables that were restored know nothing of the generation in Redis.
    Run.objects.update(warmed_at=NOON)
    third = warm_run("third", minutes=3)
    assert warm.put(third)
    assert get() == third.entries[OVERVIEW].body(Encoding.GZIP)
    assert hot.get("warmboard:generation:run1") < b"%020d" % int(ahead.timestamp() * 1e6)


def test_the_same_fetch_may_be_put_again() -> None:
    announce()
    more = {HISTOGRAM: entry("histogram"), CHUNK: entry("chunk")}
    warm.put(warm_run("first", more=more))
    for key in (HISTOGRAM, CHUNK):
        assert get(key)
    again = warm_run("again", more={CHUNK: entry("other chunk")})
    assert warm.put(again)
    assert get() == again.entries[OVERVIEW].body(Encoding.GZIP)
    assert get(CHUNK) == again.entries[CHUNK].body(Encoding.GZIP), "the stale hot body has the same fetch time"
    assert get(HISTOGRAM) is None


def test_a_removed_entry_is_deleted_everywhere() -> None:
    announce()
    warm.put(warm_run("with", more={HISTOGRAM: entry("histogram")}))
    assert get(HISTOGRAM)
    warm.put(warm_run("without", minutes=1))
    assert get(HISTOGRAM) is None
    assert WarmEntry.objects.count() == 2


def test_a_warming_heats_what_pages_read_first(hot: Any) -> None:
    announce()
    warm.put(warm_run("first", more={key: entry(str(key)) for key in (HISTOGRAM, CHUNK, INDEX)}))
    names = {name.decode() for name in hot.keys("warmboard:entry:*")}
    assert names == {f"{key}:{encoding}" for key in (OVERVIEW, FULL, INDEX) for encoding in Encoding}
    assert all(0 < hot.ttl(name) <= settings.HOT_SECONDS for name in hot.keys("warmboard:*")), (
        "so that Redis may evict it"
    )


def test_a_body_that_is_too_large_for_redis_is_read_from_the_tables(
    hot: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hot_copy, "LARGEST", len(entry("x" * 50).gzip) + 20)
    announce()
    noise = np.random.default_rng(1).bytes(500).hex()
    warm.put(warm_run("x" * 50, more={FULL: entry(noise)}))
    assert get(FULL) == entry(noise).body(Encoding.GZIP)
    assert get() is not None
    kept = {name.decode().removesuffix(":gzip") for name in hot.keys("warmboard:entry:*:gzip")}
    assert kept == {str(OVERVIEW)}
    assert not caplog.records, "a large body is no reason to take Redis for down"


def test_many_are_read_by_one_command_and_one_query(hot: Any) -> None:
    runs = [f"run{number}" for number in range(20)]
    for run_id in runs:
        announce(run_id)
        warm.put(warm_run(run_id, run_id=run_id))
    keys = [EntryKey.history(run_id, resolution) for run_id in runs for resolution in Resolution]
    unknown = EntryKey.history("unknown", Resolution.FULL)
    with CaptureQueriesContext(connection) as queries:
        hot_found = warm.get_many(keys, Encoding.ZSTD)
    assert len(queries) == 0
    hot.delete(*(f"{key}:zstd" for key in keys[:30]))
    with CaptureQueriesContext(connection) as queries:
        found = warm.get_many([*keys, unknown], Encoding.ZSTD)
    assert len(queries) == 1
    assert found == hot_found
    assert found.keys() == set(keys)
    with CaptureQueriesContext(connection) as queries:
        warm.get_many(keys, Encoding.ZSTD)
    assert len(queries) == 0, "heated again"


def test_a_slow_reader_does_not_bring_an_old_body_back(hot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    warm.put(warm_run("old"))
    hot.flushdb()
    heat = hot_copy.Hot.heat
    new = warm_run("new", minutes=1)

    def be_overtaken(self: hot_copy.Hot, *args: object) -> None:
        monkeypatch.setattr(hot_copy.Hot, "heat", heat)
        warm.put(new)
        heat(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(hot_copy.Hot, "heat", be_overtaken)
    warm.get(OVERVIEW, Encoding.GZIP)
    assert warm.get(OVERVIEW, Encoding.GZIP) == new.entries[OVERVIEW].body(Encoding.GZIP)
    assert get() == new.entries[OVERVIEW].body(Encoding.GZIP)


def test_an_earlier_warming_that_heats_last_changes_nothing() -> None:
    announce()
    earlier, later = warm_run("earlier"), warm_run("later", minutes=1)
    warm.put(earlier)
    earlier_warmed_at = Run.objects.get().warmed_at
    assert earlier_warmed_at
    warm.put(later)
    body = earlier.entries[OVERVIEW].body(Encoding.GZIP)
    hot_copy.hot().write("run1", earlier_warmed_at, {(OVERVIEW, Encoding.GZIP): body})
    assert get() == later.entries[OVERVIEW].body(Encoding.GZIP)


def test_every_warming_is_later_than_the_previous_even_if_clocks_differ() -> None:
    announce()
    warm.put(warm_run("first"))
    ahead = Run.objects.get().warmed_at
    assert ahead
    ahead += timedelta(hours=1)
    Run.objects.update(warmed_at=ahead)
    warm.put(warm_run("second", minutes=1))
    assert Run.objects.get().warmed_at == ahead + timedelta(microseconds=1)


def test_the_summary_and_the_quick_test_are_written_with_the_entries() -> None:
    announce()
    QuickTest.objects.create(pk=41, mlflow_run_id="run1")
    warm.put(warm_run("first"))
    run = Run.objects.get(pk="run1")
    assert (run.experiment_name, run.epochs, run.sparkline) == ("two-tower", 3, [3.0, None, 1.0])
    assert run.warmed_at
    assert run.is_warm
    test = QuickTest.objects.get(pk=41)
    assert test.mlflow_experiment_name == "two-tower"
    assert test.training_history_json == {"available": True, "text": "first overview"}


def test_a_fetch_does_not_resume_a_completed_run() -> None:
    announce()
    warm.put(replace(warm_run("MLflow does not know yet"), status="RUNNING", end_time=None))
    assert Run.objects.get().status == "FINISHED"
    Run.objects.update(status="RUNNING")
    warm.put(replace(warm_run("running again", minutes=1), status="RUNNING", end_time=None))
    assert (Run.objects.get().status, Run.objects.get().end_time) == ("RUNNING", None)
    warm.put(replace(warm_run("done", minutes=2), status="KILLED"))
    assert Run.objects.get().status == "KILLED"


def chunks(many: int) -> dict[EntryKey, Entry]:
    body = entry("chunk")
    return {EntryKey.metric_chunk("run1", number, Resolution.FULL): body for number in range(many)}


@pytest.mark.parametrize("quick_test", [False, True])
def test_a_put_takes_few_statements_however_many_entries(quick_test: bool) -> None:
    announce()
    if quick_test:
        QuickTest.objects.create(mlflow_run_id="run1")
    for minutes, many in enumerate([0, 20, 20, 90, 3]):
        with CaptureQueriesContext(connection) as queries:
            warm.put(warm_run("first", minutes=minutes, more=chunks(many)))
        statements = [query["sql"].split()[0] for query in queries if not query["sql"].startswith(("BEGIN", "COMMIT"))]
        # Changed parameters, known and changed tags and metrics; the run; its new and its removed entries; its source;
        # its quick test.
        # Before the first warming there is nothing to compare with, and nothing to remove.
        searched = ["INSERT"] * 3 if minutes == 0 else ["SELECT"] * 2
        entries = ["INSERT", "INSERT"] if minutes == 0 else ["INSERT", "DELETE", "INSERT"]
        assert statements == ["SELECT", *searched, "UPDATE", *entries, *["UPDATE"] * quick_test]
        assert WarmEntry.objects.count() == 2 + many


def test_a_put_that_fails_changes_nothing() -> None:
    announce()
    before = warm_run("before")
    warm.put(before)
    without_overview = replace(warm_run("broken", minutes=1), entries={HISTOGRAM: entry("x")})
    with pytest.raises(KeyError):
        warm.put(without_overview)
    assert get() == before.entries[OVERVIEW].body(Encoding.GZIP)
    assert WarmEntry.objects.count() == 2


def test_without_redis_the_tables_answer_and_the_log_says_so_once(
    own_valkey: Process, caplog: pytest.LogCaptureFixture
) -> None:
    announce()
    warm.put(warm_run("first"))
    own_valkey.kill()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert get() == warm_run("first").entries[OVERVIEW].body(Encoding.GZIP)
        with pytest.raises(HotCopyError, match="Redis is down"):
            warm.put(warm_run("second", minutes=1))
        assert get() == warm_run("second").entries[OVERVIEW].body(Encoding.GZIP)
    assert caplog.text.count("Redis is down") == 1


def test_redis_is_used_again_once_it_is_back(
    own_valkey: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce()
    warm.put(warm_run("first"))
    own_valkey.kill()
    assert get()
    port = int(settings.REDIS_URL.rpartition(":")[2].partition("/")[0])
    again = start_valkey(tmp_path, port)
    try:
        monkeypatch.setattr(hot_copy.hot(), "_rest_until", 0.0)
        assert get()
        WarmEntry.objects.all().delete()
        assert get()
    finally:
        again.stop()


def test_a_full_redis_evicts_hot_bodies_and_no_tasks(hot: Any) -> None:
    before = {name: hot.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    announce()
    try:
        # Keys of other databases would be evicted first. Flushed keys are freed in the background and count until then.
        hot.flushall()
        hot.lpush("celery", "a task")
        wait(lambda: not hot.info("memory")["lazyfree_pending_objects"], "flushed keys to be freed")
        hot.config_set("maxmemory-policy", "volatile-lru")
        hot.config_set("maxmemory", int(hot.info("memory")["used_memory"]) + 1_500_000)
        big = Entry(gzip=b"g" * 100_000, zstd=b"z" * 100_000, etag="e" * 32)
        for number in range(30):
            announce(f"big{number}")
            run = warm_run("big", run_id=f"big{number}")
            warm.put(replace(run, entries={**run.entries, EntryKey.metric_index(run.run_id): big}))
        assert hot.lrange("celery", 0, -1) == [b"a task"]
        assert len(hot.keys("warmboard:entry:*metric-index*")) < 60
        for number in range(30):
            assert get(EntryKey.metric_index(f"big{number}")) == big.body(Encoding.GZIP)
    finally:
        hot.delete("celery")
        for name, value in before.items():
            hot.config_set(name, value)
