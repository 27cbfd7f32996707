"""The first charts come first where every metric costs a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points
from warmboard.contract.catalogue import bin_key
from warmboard.contract.entries import HistogramType, Tower
from workers.fetch import stock
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.fetched import FetchedRun

SERVER = TrackingServer("default", "http://mlflow.test")
CURVE: Points = [(0, 1.0, 10), (1, 0.5, 20)]
LEADING = ["loss", "val_loss", "regularization_loss", "val_acc1", "lr"]
METRICS: Mapping[str, Points] = dict.fromkeys([*(f"odd{n}" for n in range(40)), *LEADING, "system/cpu"], CURVE)


@pytest.fixture(params=[0.0, 1e9], ids=["slow", "quick"])
def slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether all others will take longer than it is worth to wait."""
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", request.param)
    return bool(request.param == 0.0)


def fetch(wire: FakeMlflow, kept: FetchedRun | None = None) -> tuple[FetchedRun, list[FetchedRun]]:
    first: list[FetchedRun] = []
    fetcher = Fetcher(SERVER, concurrency=1, transport=wire)
    return fetcher.fetch(RUN_ID, kept, first_charts=first.append), first


def test_the_losses_and_scores_of_a_slow_run_come_before_the_rest(slow: bool) -> None:
    run, first = fetch(FakeMlflow(METRICS))
    assert set(run.points) == set(METRICS)
    assert run.pending == 0
    if not slow:
        assert first == []
        return
    assert [(set(one.points), one.pending) for one in first] == [(set(LEADING), len(METRICS) - len(LEADING))]
    assert (first[0].params, first[0].tags, first[0].status) == (run.params, run.tags, run.status)


def test_they_are_requested_first_whatever_their_place(slow: bool) -> None:
    wire = FakeMlflow(METRICS)
    fetch(wire)
    asked = [query["metric_key"] for query in wire.asked("get-history-bulk")]
    assert set(asked[: len(LEADING)]) == set(LEADING)
    assert sorted(asked) == sorted(METRICS), "each once"


@pytest.mark.parametrize("named", [["loss", "val_loss"], [f"loss/{n}" for n in range(90)], ["odd"], []], ids=len)
def test_a_run_of_few_metrics_or_of_one_kind_comes_whole(named: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 0.0)
    run, first = fetch(FakeMlflow(dict.fromkeys(named, CURVE)))
    assert set(run.points) == set(named)
    assert [len(one.points) for one in first] == [stock.LEADING] * (len(named) > stock.LEADING)


def test_bins_of_histograms_are_no_first_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 0.0)
    bins = [bin_key(type_, tower, number) for type_ in HistogramType for tower in Tower for number in range(25)]
    _, first = fetch(FakeMlflow(dict.fromkeys([*bins, "loss"], CURVE)))
    assert [list(one.points) for one in first] == [["loss"]]
    assert first[0].pending == len(bins)


def test_a_run_in_progress_that_was_fetched_before_is_only_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 0.0)
    kept, _ = fetch(FakeMlflow(METRICS, status="RUNNING"))
    longer = {key: [*CURVE, (2, 0.25, 30)] for key in METRICS}
    run, first = fetch(FakeMlflow(longer, status="RUNNING"), kept)
    assert first == []
    assert {len(points) for points in run.points.values()} == {3}


def test_what_can_not_be_stored_ends_the_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "FIRST_CHARTS_SECONDS", 0.0)

    def refuse(run: FetchedRun) -> None:
        raise ConnectionError("the store is down")

    wire = FakeMlflow(METRICS)
    with pytest.raises(ConnectionError, match="the store is down"):
        Fetcher(SERVER, concurrency=1, transport=wire).fetch(RUN_ID, first_charts=refuse)
