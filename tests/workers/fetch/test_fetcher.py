"""Fetch from a fake server, stock or with the bulk route: order, repeats, pages, NaN and ±∞, transient errors."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import urllib3

from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points
from workers.errors import NotMlflowError, PermanentError, TransientError
from workers.fetch import stock
from workers.fetch.fetcher import ASK_AGAIN_SECONDS, Fetcher, TrackingServer
from workers.history.fetched import FetchedRun
from workers.history.points import MLFLOW_INFINITY

FAR = TrackingServer("default", "http://mlflow.test/prefix")
WAYS = pytest.mark.parametrize("bulk", [False, True], ids=["stock", "bulk"])


def fetcher(wire: urllib3.PoolManager, server: TrackingServer = FAR, **options: Any) -> Fetcher:
    return Fetcher(server, concurrency=4, transport=wire, **options)


def fetch(wire: urllib3.PoolManager, run_id: str = RUN_ID) -> FetchedRun:
    return fetcher(wire).fetch(run_id)


@WAYS
def test_points_are_sorted_by_step_and_the_latest_timestamp_wins(bulk: bool) -> None:
    points: Points = [(2, 0.2, 30), (0, 0.9, 10), (1, 0.5, 40), (1, 0.7, 20), (-3, 1.5, 5)]
    curve = fetch(FakeMlflow({"loss": points}, bulk=bulk)).curves["loss"]
    assert curve.steps.tolist() == [-3, 0, 1, 2]
    assert curve.values.tolist() == [1.5, 0.9, 0.5, 0.2]
    assert curve.timestamps.tolist() == [5, 10, 40, 30]
    assert curve.replaced is not None
    assert curve.replaced.values.tolist() == [0.7]


@WAYS
def test_of_equal_steps_and_timestamps_the_max_value_is_last_and_nan_counts_as_zero(bulk: bool) -> None:
    ties: dict[str, Points] = {"above": [(0, "NaN", 1), (0, 2.0, 1)], "below": [(0, -2.0, 1), (0, "NaN", 1)]}
    points = fetch(FakeMlflow(ties, bulk=bulk)).points
    assert points["above"].last() == (0, 1, 2.0)
    assert math.isnan(points["below"].last()[2])


@WAYS
def test_nan_and_infinity_are_restored(bulk: bool) -> None:
    largest = float(MLFLOW_INFINITY)
    points: Points = [(0, "NaN", 1), (1, largest, 2), (2, -largest, 3), (3, "Infinity", 4), (4, 1e308, 5)]
    values = fetch(FakeMlflow({"m": points}, bulk=bulk)).curves["m"].values.tolist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf, 1e308]


@WAYS
def test_odd_keys_are_kept(bulk: bool) -> None:
    keys = ["a/b c", "système.été", "x&y=z", "../..", "損失"]
    assert list(fetch(FakeMlflow({key: [(0, 1.0, 1)] for key in keys}, bulk=bulk)).curves) == keys


@WAYS
def test_a_run_without_metrics_is_fetched(bulk: bool) -> None:
    run = fetch(FakeMlflow({}, {"epochs": "5"}, bulk=bulk))
    assert run.curves == {}
    assert (run.params, run.tags) == ({"epochs": "5"}, {"mlflow.user": "ada"})
    assert (run.experiment_name, run.name, run.status) == ("two-tower", "quick-test-7", "FINISHED")


@WAYS
def test_alive_is_called_for_each_of_ten_thousand_metrics(bulk: bool) -> None:
    calls: list[None] = []
    wire = FakeMlflow({f"m{number}": [(0, 1.0, 1)] for number in range(10_000)}, bulk=bulk)
    assert len(fetcher(wire).fetch(RUN_ID, alive=lambda: calls.append(None)).curves) == 10_000
    assert len(calls) >= 10_000


def test_a_short_metric_is_one_request_and_a_long_one_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "SHORT", 5)
    long, short = [(step, step / 10, step) for step in range(10)], [(step, 1.0, step) for step in range(4)]
    # Only at step 2, but with more points than the short route returns.
    dense = [(step // 4, float(step), step) for step in range(12)]
    wire = FakeMlflow({"long": long, "short": short, "dense": dense}, page_size=3)
    curves = fetch(wire).curves
    assert [len(curves[key].steps) for key in ("long", "short", "dense")] == [10, 4, 3]
    assert curves["dense"].values.tolist() == [3.0, 7.0, 11.0]
    assert [query["metric_key"] for query in wire.asked("/get-history")].count("long") == 4
    assert "short" not in [query["metric_key"] for query in wire.asked("/get-history")]


def test_a_missing_short_route_is_tried_once_per_thread() -> None:
    wire = FakeMlflow({f"m{number}": [(0, number, 1)] for number in range(50)}, short_history=False)
    assert len(fetch(wire).curves) == 50
    assert len(wire.asked("/get-history-bulk")) <= 4
    assert len(wire.asked("/get-history")) == 50


@pytest.mark.parametrize("pages", [True, False], ids=["3.17", "2.9"])
def test_a_million_points_of_one_metric(pages: bool) -> None:
    count = 1_000_000
    points = [(step, "NaN" if step == 7 else step / 3, step) for step in range(count)]
    curve = fetch(FakeMlflow({"m": points}, pages=pages, page_size=25_000)).curves["m"]
    assert np.array_equal(curve.steps, np.arange(count))
    assert np.array_equal(np.delete(curve.values, 7), np.delete(np.arange(count) / 3, 7))
    assert math.isnan(curve.values[7])


@pytest.mark.parametrize("status", [302, 408, 429, 500, 503])
def test_a_busy_or_broken_server_is_transient(status: int) -> None:
    with pytest.raises(TransientError, match=f"answered {status} to runs/get"):
        fetch(FakeMlflow({}, failures=[status]))


@pytest.mark.parametrize("status", [400, 403])
def test_a_client_error_is_permanent_and_says_why(status: int) -> None:
    with pytest.raises(PermanentError, match=f"answered {status} to runs/get: as the test wants it"):
        fetch(FakeMlflow({}, failures=[status]))


@WAYS
def test_an_unknown_or_deleted_run_is_permanent(bulk: bool) -> None:
    with pytest.raises(PermanentError, match="not found"):
        fetch(FakeMlflow({}, bulk=bulk), run_id="f" * 32)
    with pytest.raises(PermanentError, match="is deleted in MLflow"):
        fetch(FakeMlflow({}, lifecycle_stage="deleted", bulk=bulk))


@WAYS
@pytest.mark.parametrize("time", [1_767_349_700_000_000, 10**30, -(10**17), 0, None])
def test_a_missing_time_or_one_beyond_the_calendar_is_none(bulk: bool, time: int | None) -> None:
    wire = FakeMlflow({}, bulk=bulk)
    wire.start_time = time
    assert fetch(wire).start_time is None


def test_a_server_that_is_down_is_transient_and_no_error_shows_credentials() -> None:
    class Down(urllib3.PoolManager):
        def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
            raise urllib3.exceptions.ProtocolError("connection refused")

    server = TrackingServer.at("default", "http://ada:s3cret@mlflow.test")
    with pytest.raises(TransientError, match=r"http://mlflow\.test does not answer: connection refused") as caught:
        fetcher(Down(), server).fetch(RUN_ID)
    assert "s3cret" not in str(caught.value) + repr(server)


@pytest.mark.parametrize("cut_at", [0, 10, 700, -2], ids=str)
@pytest.mark.parametrize("encoding", ["identity", "zstd"])
def test_a_response_that_is_cut_off_is_transient(cut_at: int, encoding: str) -> None:
    wire = FakeMlflow({"loss": [(step, step / 7, step) for step in range(100)]}, bulk=True)
    wire.cut_at = cut_at
    server = FAR if encoding == "zstd" else TrackingServer("near", "http://127.0.0.1")
    with pytest.raises(TransientError, match="is incomplete"):
        fetcher(wire, server).fetch(RUN_ID)


def test_compression_is_requested_except_on_the_same_machine() -> None:
    far, near = (FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=True) for _ in range(2))
    assert fetch(far).curves.keys() == {"loss"}
    assert fetcher(near, TrackingServer("near", "http://127.0.0.1:5000")).fetch(RUN_ID).curves.keys() == {"loss"}
    assert {headers["Accept-Encoding"] for headers in far.headers_seen} == {"zstd, gzip;q=0.5"}
    assert {headers["Accept-Encoding"] for headers in near.headers_seen} == {"identity"}


class Proxy(FakeMlflow):
    """A proxy that supports only gzip."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> urllib3.HTTPResponse:  # type: ignore[override]
        return super().urlopen(method, url, **{**kw, "headers": {**kw["headers"], "Accept-Encoding": "gzip"}})


def test_a_gzip_response_is_read() -> None:
    assert fetch(Proxy({"loss": [(0, 1.0, 1)]}, bulk=True)).curves["loss"].values.tolist() == [1.0]


def test_the_version_is_requested_once() -> None:
    for bulk, calls in ((True, 1), (False, 2 + 1)):
        wire = FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=bulk)
        reader = fetcher(wire)
        reader.fetch(RUN_ID)
        reader.fetch(RUN_ID)
        assert len(wire.asked("/warmboard/version")) == 1
        assert len(wire.requests) == 1 + 2 * calls


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_server_that_refuses_the_version_is_stock(status: int) -> None:
    wire = FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=True)
    wire.version_failures = [status]
    assert fetch(wire).curves.keys() == {"loss"}
    assert wire.asked("/runs/get")


def test_wrong_credentials_are_permanent_and_the_error_names_the_settings() -> None:
    wire = FakeMlflow({})
    wire.version_failures = [401]
    with pytest.raises(PermanentError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        fetch(wire)


def test_a_busy_server_is_transient_and_not_taken_for_stock() -> None:
    wire = FakeMlflow({}, bulk=True)
    wire.version_failures = [503]
    with pytest.raises(TransientError, match="answered 503"):
        fetch(wire)


def test_a_server_may_be_rolled_back_and_upgraded_again() -> None:
    now = [0.0]
    wire = FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=True)
    reader = fetcher(wire, clock=lambda: now[0])
    reader.fetch(RUN_ID)
    wire.bulk = False
    assert reader.fetch(RUN_ID).curves.keys() == {"loss"}
    wire.bulk = True
    reader.fetch(RUN_ID)
    assert len(wire.asked("/history")) == 2
    now[0] = ASK_AGAIN_SECONDS
    reader.fetch(RUN_ID)
    assert len(wire.asked("/history")) == 3


def test_a_failure_cancels_the_remaining_requests() -> None:
    wire = FakeMlflow({f"m{number}": [(0, 1.0, 1)] for number in range(1_000)})
    reader = fetcher(wire)
    reader.fetch(RUN_ID)
    asked = len(wire.requests)

    class Broken(FakeMlflow):
        def _short_history(self, query: Any) -> Any:
            # The latency of a network: all of them would take seconds.
            time.sleep(0.02)
            return 503, b"", {}

    broken = Broken(wire.metrics)
    with pytest.raises(TransientError):
        fetch(broken)
    assert len(broken.requests) < asked / 2


def test_an_experiments_runs_are_found_page_by_page() -> None:
    wire = FakeMlflow({})
    assert list(fetcher(wire).search_runs("two-tower")) == ["0" * 32, "1" * 32, "2" * 32]
    assert len(wire.asked("/runs/search")) == 2
    with pytest.raises(PermanentError, match="no experiment 'nope'"):
        list(fetcher(wire).search_runs("nope"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_a_proxys_answer_is_transient(body: bytes) -> None:
    class Page(FakeMlflow):
        def _answer(self, *_: Any) -> tuple[int, bytes, dict[str, str]]:
            return 200, body, {}

    with pytest.raises(NotMlflowError, match="is it an MLflow server"):
        fetch(Page({}))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_an_invalid_short_history_falls_back_to_get_history(body: bytes) -> None:
    class Page(FakeMlflow):
        def _short_history(self, query: Any) -> tuple[int, bytes, dict[str, str]]:
            return 200, body, {}

    assert fetch(Page({"loss": [(0, 1.0, 1)]})).curves["loss"].values.tolist() == [1.0]
