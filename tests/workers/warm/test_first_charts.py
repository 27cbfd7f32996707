"""A run's first charts in the store, until the whole run is there: marked, replaced, and never in place of more."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from store import warm as door
from store.models import InboxEvent, QuickTest, Run, RunSource
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.test_inbox import message
from warmboard.contract.entries import SCHEMA_VERSION, Encoding, EntryKey, Resolution
from workers import inbox
from workers.documents.run import RunDocuments
from workers.errors import TransientError
from workers.fetch import stock
from workers.fetch.fetcher import Fetcher
from workers.settings import Settings
from workers.warm import pipeline
from workers.warm.attempt import Postponed, rebuild_entries, warm

pytestmark = pytest.mark.usefixtures("tables", "slow")
SETTINGS = Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test"})


class Breaking(FakeMlflow):
    """Answers until the last metric of the run is asked for."""

    def _short_history(self, query: Any) -> Any:
        if query["metric_key"] == list(self.metrics)[-1]:
            return 500, b'{"error_code": "INTERNAL_ERROR"}', {}
        return super()._short_history(query)

    _metrics_get_history = _short_history


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fetch takes long enough to store its first charts."""
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 0.0)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[door.WarmRun]:
    """What was stored, in order."""
    runs: list[door.WarmRun] = []
    put = door.put

    def remembered(run: door.WarmRun, announce: Callable[[], object]) -> bool:
        runs.append(run)
        return put(run, announce)

    monkeypatch.setattr(door, "put", remembered)
    return runs


def serve(monkeypatch: pytest.MonkeyPatch, server: type[FakeMlflow] = FakeMlflow) -> None:
    transport = server(golden_run.metrics(), golden_run.params())
    monkeypatch.setattr(pipeline, "fetcher", lambda *_: Fetcher(*_[:1], transport=transport))
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: transport)


def announce() -> None:
    assert inbox.record(message(run_id=RUN_ID))


def history() -> dict[str, Any]:
    body = door.get(EntryKey.history(RUN_ID, Resolution.OVERVIEW), Encoding.GZIP)
    assert body
    document: dict[str, Any] = json.loads(gzip.decompress(body.data))
    return document


def break_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warms the run until the server fails: only the first charts are there."""
    serve(monkeypatch, Breaking)
    announce()
    with pytest.raises(Postponed):
        warm(RUN_ID, SETTINGS, "w1")


def test_the_first_charts_are_stored_before_the_whole_run(
    stored: list[door.WarmRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch)
    announce()
    warm(RUN_ID, SETTINGS, "w1")
    first, whole = stored
    assert (first.pending_metrics, whole.pending_metrics) == (len(golden_run.metrics()) - stock.LEADING, 0)
    assert {"loss", "val_loss"} <= set(first.summaries) < set(whole.summaries)
    assert first.fetched_at == whole.fetched_at
    assert Run.objects.get().pending_metrics == 0
    assert "pending_metrics" not in history()
    # What comes of it is what a fetch without first charts gives.
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 1e9)
    Run.objects.all().delete()
    InboxEvent.objects.all().delete()
    announce()
    warm(RUN_ID, SETTINGS, "w1")
    assert stored[2].source == whole.source
    assert [entry.decode() | {"cached_at": ""} for entry in stored[2].entries.values()] == [
        entry.decode() | {"cached_at": ""} for entry in whole.entries.values()
    ]


def test_they_say_that_more_will_come_and_are_no_reason_for_insights(monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch)
    row, document = Run.objects.get(), history()
    left = len(golden_run.metrics()) - stock.LEADING
    assert row.is_warm
    assert (row.pending_metrics, document["pending_metrics"]) == (left, left)
    assert document["insights"] == []
    assert any(value is not None for value in document["loss"]["val"])
    assert not QuickTest.objects.filter(training_history_json__isnull=False).exists(), "that of a quick test is whole"


def test_a_second_attempt_brings_the_rest(stored: list[door.WarmRun], monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch)
    serve(monkeypatch)
    warm(RUN_ID, SETTINGS, "w1")
    assert [bool(run.pending_metrics) for run in stored] == [True, False], "the first charts once"
    assert Run.objects.get().pending_metrics == 0
    assert history()["insights"]


def test_first_charts_never_replace_a_whole_run(stored: list[door.WarmRun], monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch)
    announce()
    warm(RUN_ID, SETTINGS, "w1")
    inbox.reopen(RUN_ID)
    warm(RUN_ID, SETTINGS, "w1")
    assert [bool(run.pending_metrics) for run in stored] == [True, False, False]
    Run.objects.update(schema_version=SCHEMA_VERSION - 1)
    RunSource.objects.all().delete()
    rebuild_entries(RUN_ID, SETTINGS)
    assert [bool(run.pending_metrics) for run in stored] == [True, False, False, False]


def test_they_are_no_base_of_a_rebuild_unless_mlflow_has_lost_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch)
    assert pipeline.rebuild_from_source(RUN_ID, SETTINGS) is None
    assert pipeline.rebuild_from_source(RUN_ID, SETTINGS, in_part=True)
    assert history()["pending_metrics"] == Run.objects.get().pending_metrics > 0


def test_the_sweep_takes_a_run_with_only_first_charts_for_one_that_has_changed(
    stored: list[door.WarmRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch)
    announce()
    warm(RUN_ID, SETTINGS, "w1")
    first, whole = stored
    assert first.digest != whole.digest


def test_an_outage_of_the_store_between_the_two_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch)
    announce()
    put = door.put

    def fail(run: door.WarmRun, announce: Callable[[], object]) -> bool:
        if run.pending_metrics:
            raise TransientError("as the test wants it")
        return put(run, announce)

    monkeypatch.setattr(door, "put", fail)
    with pytest.raises(Postponed, match="as the test wants it"):
        warm(RUN_ID, SETTINGS, "w1")
    assert InboxEvent.objects.get().state == InboxEvent.State.PENDING


def test_first_charts_that_can_not_be_made_stop_no_run(
    stored: list[door.WarmRun], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serve(monkeypatch)
    announce()
    entries = RunDocuments.entries

    def fail(documents: RunDocuments) -> Any:
        if documents.run.pending:
            raise ValueError("a fault of ours")
        return entries(documents)

    monkeypatch.setattr(RunDocuments, "entries", fail)
    warm(RUN_ID, SETTINGS, "w1")
    assert [run.pending_metrics for run in stored] == [0]
    assert f"run {RUN_ID} has no first charts" in caplog.text
    assert "a fault of ours" in caplog.text
