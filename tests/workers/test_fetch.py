"""Fetch against a faked wire: order, repeats, pages, what is not finite, and which errors may pass."""

import math

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.workers.fake_mlflow import RUN_ID, FakeMlflow
from workers.errors import PermanentError, TransientError
from workers.fetch import MLFLOW_INFINITY, Fetcher


def fetch(server: HTTPAdapter, run_id: str = RUN_ID):  # type: ignore[no-untyped-def]
    return Fetcher("http://mlflow.test/prefix", concurrency=4, transport=server).fetch(run_id)


def test_points_come_sorted_by_step_and_the_last_by_timestamp_wins() -> None:
    run = fetch(FakeMlflow({"loss": [(2, 0.2, 30), (0, 0.9, 10), (1, 0.5, 40), (1, 0.7, 20), (-3, 1.5, 5)]}))
    assert run.curves["loss"].steps.tolist() == [-3, 0, 1, 2]
    assert run.curves["loss"].values.tolist() == [1.5, 0.9, 0.5, 0.2]


def test_every_page_is_read() -> None:
    server = FakeMlflow({"loss": [(step, step / 10, step) for step in range(10)]}, page_size=3)
    assert fetch(server).curves["loss"].steps.tolist() == list(range(10))
    assert server.requests.count("/prefix/api/2.0/mlflow/metrics/get-history") == 4


def test_values_that_are_not_finite_come_as_what_they_were() -> None:
    largest = float(MLFLOW_INFINITY)
    run = fetch(
        FakeMlflow({"m": [(0, "NaN", 1), (1, largest, 2), (2, -largest, 3), (3, "Infinity", 4), (4, 1e308, 5)]})
    )
    values = run.curves["m"].values.tolist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf, 1e308]


def test_odd_keys_travel_as_they_are() -> None:
    keys = ["a/b c", "système.été", "x&y=z"]
    assert set(fetch(FakeMlflow({key: [(0, 1.0, 1)] for key in keys})).curves) == set(keys)


def test_a_run_without_metrics_is_a_run() -> None:
    run = fetch(FakeMlflow({}, {"epochs": "5"}))
    assert run.curves == {}
    assert run.params == {"epochs": "5"}
    assert (run.experiment_name, run.name, run.status) == ("two-tower", "quick-test-7", "FINISHED")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_broken_server_is_transient(status: int) -> None:
    with pytest.raises(TransientError, match=f"answered {status} to runs/get"):
        fetch(FakeMlflow({}, failures=[status]))


@pytest.mark.parametrize("status", [400, 401, 403, 302])
def test_a_refusal_is_permanent_and_says_why(status: int) -> None:
    with pytest.raises(PermanentError, match=f"answered {status} to runs/get: as the test wants it"):
        fetch(FakeMlflow({}, failures=[status]))


def test_an_unknown_or_deleted_run_is_permanent() -> None:
    with pytest.raises(PermanentError, match="Run not found"):
        fetch(FakeMlflow({}), run_id="f" * 32)
    with pytest.raises(PermanentError, match="is deleted"):
        fetch(FakeMlflow({}, lifecycle_stage="deleted"))


def test_a_time_beyond_the_calendar_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeMlflow({})
    run = server._runs_get({})
    run["run"]["info"]["start_time"] = 1_767_349_700_000_000
    monkeypatch.setattr(server, "_runs_get", lambda query: run)
    assert fetch(server).start_time is None


def test_a_server_that_is_away_is_transient() -> None:
    class Away(HTTPAdapter):
        def send(self, *_: object, **__: object) -> requests.Response:
            raise requests.ConnectionError("connection refused")

    with pytest.raises(TransientError, match="does not answer: connection refused"):
        fetch(Away())
    with pytest.raises(TransientError) as caught:
        Fetcher("http://ada:s3cret@mlflow.test", transport=Away()).fetch(RUN_ID)
    assert "s3cret" not in str(caught.value)
