"""Fetched is what MLflow has: runs with every oddity, written by MLflow's client to real servers, and fetched from ours
by the bulk route, from a stock MLflow 3.17.2 on the same database, from MLflow 2.9.2, and from FastTrackML; and from
the databases of two of them, without a request for a run that is there.
"""

from __future__ import annotations

import base64
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tests.mlflow_server import servers
from tests.waiting import PATIENCE
from tests.workers.fetch.small_server import Answer, Answering, serving
from workers.errors import PermanentError, TransientError
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.fetched import FetchedRun
from workers.history.points import Points

pytestmark = pytest.mark.integration

NAN, INFINITY, LARGEST = math.nan, math.inf, 1.7976931348623157e308
LONG, PAGE = 5_000, 2_000
"""Steps of one metric, and the page size in these tests."""
ODD: dict[str, list[tuple[int, float, int]]] = {
    "loss": [(step, 1 / (step + 1), 1_000 + step) for step in range(50)],
    "not finite": [(0, NAN, 1), (1, INFINITY, 2), (2, -INFINITY, 3), (3, LARGEST, 4), (4, 1e308, 5), (5, 5e-324, 6)],
    "repeated": [(1, 0.7, 20), (1, 0.5, 40), (1, 0.6, 30), (2, NAN, 50), (2, 1.0, 50), (3, -1.0, 60), (3, NAN, 60)],
    "without/steps": [(0, value / 3, 100 + value) for value in range(20)],
    "negative.steps": [(-5, 1.0, 1), (-(2**40), 2.0, 2), (2**40, 3.0, 3)],
    "unsorted - with gaps": [(9, 0.9, 1), (2, 0.2, 2), (7, 0.7, 2**45), (0, 0.0, 4)],
    "système.été/損失": [(0, -0.0, 1), (1, 0.1 + 0.2, 2)],
    "one": [(7, 7.0, 7)],
}


@dataclass(frozen=True)
class Server:
    """A server to fetch from. ``client`` writes to its database, and reads what is there."""

    address: str
    database: str
    client: MlflowClient
    bulk: bool = False
    by_database: bool = False

    def fetcher(self) -> Fetcher:
        return Fetcher(TrackingServer("default", self.address, database=self.database if self.by_database else None))

    def run(self, experiment: str = "Default", **options: Any) -> str:
        experiment_id = self.client.get_experiment_by_name(experiment).experiment_id
        run_id: str = self.client.create_run(experiment_id, **options).info.run_id
        return run_id

    def log(self, run_id: str, **metrics: list[tuple[int, float, int]]) -> None:
        points = [Metric(key, value, time, step) for key, found in metrics.items() for step, value, time in found]
        self.client.log_batch(run_id, metrics=points)

    def log_many(self, run_id: str, key: str, points: list[tuple[int, float, int]]) -> None:
        """More points of one metric than one request takes: each request of 1,000."""
        for begin in range(0, len(points), 1_000):
            self.log(run_id, **{key: points[begin : begin + 1_000]})


@pytest.fixture(scope="module")
def ours(our_mlflow: servers.Server) -> Server:
    return Server(our_mlflow.address, our_mlflow.uri, our_mlflow.client, bulk=True)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, ours: Server) -> Iterator[Server]:
    """A stock server on our server's database; two processes and no uvloop, so that kept connections wait."""
    command = ["mlflow", "server", f"--backend-store-uri={ours.database}", "--static-prefix=/tracking"]
    command += ["--workers=2", "--uvicorn-opts=--loop asyncio"]
    with servers.started(tmp_path_factory.mktemp("mlflow-stock"), ours.database, command) as server:
        yield Server(f"{server.address}/tracking", ours.database, ours.client)


@pytest.fixture(scope="module")
def old(old_mlflow: servers.Server) -> Server:
    """MLflow 2.9.2."""
    return Server(old_mlflow.address, old_mlflow.uri, old_mlflow.client)


@pytest.fixture(scope="module")
def other(fasttrackml: servers.Server) -> Server:
    """FastTrackML, which has tables of its own."""
    return Server(fasttrackml.address, fasttrackml.uri, fasttrackml.client)


@pytest.fixture(scope="module")
def database(ours: Server) -> Server:
    """The database of our server, which is asked nothing."""
    return replace(ours, by_database=True)


@pytest.fixture(scope="module")
def old_database(old: Server) -> Server:
    """That of MLflow 2.9.2."""
    return replace(old, by_database=True)


@pytest.fixture(params=["ours", "stock", "old", "other", "database", "old_database"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def odd_runs() -> dict[str, str]:
    """Database → a run with every oddity."""
    return {}


@pytest.fixture
def odd_run(server: Server, odd_runs: dict[str, str]) -> str:
    if server.database not in odd_runs:
        run_id = odd_runs[server.database] = server.run(run_name="odd „run“", start_time=1_760_000_000_123)
        server.log(run_id, **ODD)
        server.client.log_batch(run_id, params=[Param("optimizer", "adagrad"), Param("a b/c", "ü" * 400)])
        server.client.log_batch(run_id, tags=[RunTag("note", "zwei\nZeilen")])
        server.log_many(run_id, "long", [(step, math.sin(step), 5_000 + step) for step in range(LONG)])
        server.client.set_terminated(run_id, "FAILED", end_time=1_760_000_009_000)
    return odd_runs[server.database]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client reads whole histories in any case."""
    monkeypatch.setattr("workers.fetch.stock.SHORT", PAGE)
    monkeypatch.setattr("workers.fetch.stock.PAGE_SIZE", PAGE)


def assert_is_what_mlflow_has(run: FetchedRun, client: MlflowClient) -> None:
    found = client.get_run(run.run_id)
    assert run.points.keys() == found.data.metrics.keys()
    assert (run.params, run.tags) == (found.data.params, found.data.tags)
    assert (run.name, run.status) == (found.info.run_name, found.info.status)
    for key, points in run.points.items():
        assert_points(points, client.get_metric_history(run.run_id, key))
        assert points.last() == pytest.approx(_latest(client, run.run_id, key), nan_ok=True, rel=0)


def assert_points(points: Points, history: list[Metric]) -> None:
    """Every point once, by step, time and value, where MLflow counts NaN as 0."""
    ordered = sorted(history, key=lambda point: (point.step, point.timestamp, _rank(point.value)))
    assert points.steps.tolist() == [point.step for point in ordered]
    assert points.timestamps.tolist() == [point.timestamp for point in ordered]
    assert np.array_equal(points.values, [_infinite(point.value) for point in ordered], equal_nan=True)


def _latest(client: MlflowClient, run_id: str, key: str) -> tuple[int, int, float]:
    """The point that MLflow gives as the latest; its REST API has no other order than (step, time, value)."""
    latest = max(
        client.get_metric_history(run_id, key), key=lambda point: (point.step, point.timestamp, _rank(point.value))
    )
    return latest.step, latest.timestamp, _infinite(latest.value)


def _rank(value: float) -> tuple[float, bool]:
    return (0.0 if math.isnan(value) else value, math.isnan(value))


def _infinite(value: float) -> float:
    return math.copysign(INFINITY, value) if abs(value) == LARGEST else value


def test_every_oddity(server: Server, odd_run: str) -> None:
    run = server.fetcher().fetch(odd_run)
    assert run.curves.keys() == {*ODD, "long"}
    assert len(run.curves["long"].steps) == LONG
    assert len(run.curves["repeated"].replaced or ()) == 4
    assert (run.experiment_name, run.start_time and run.start_time.timestamp()) == ("Default", 1_760_000_000.123)
    assert_is_what_mlflow_has(run, server.client)


def test_an_empty_run_and_one_that_grows_bit_by_bit(server: Server) -> None:
    run_id, fetcher = server.run(), server.fetcher()
    run = fetcher.fetch(run_id)
    assert run.curves == {}
    for begin in (0, 20, 40):
        steps = range(begin, begin + 20)
        server.log(run_id, loss=[(step, step / 3, step + 1) for step in steps], lr=[(begin, 0.1, begin + 1)])
        server.log(run_id, nan=[(begin, NAN, 1)], **{f"new at {begin}": [(0, 1.0, begin + 1)]})
        run = fetcher.fetch(run_id, kept=run)
        assert_is_what_mlflow_has(run, server.client)
    # Restarted from step 50.
    server.log(run_id, loss=[(step, -1.0, 1_000 + step) for step in range(50, 70)])
    run = fetcher.fetch(run_id, kept=run)
    assert run.points["loss"].repeat
    server.client.set_terminated(run_id)
    run = fetcher.fetch(run_id, kept=run)
    assert run.status == "FINISHED"
    assert_is_what_mlflow_has(run, server.client)


def test_a_run_that_changes_while_it_is_read(server: Server) -> None:
    run, run_id = None, server.run()

    def write() -> None:
        for begin in range(0, 2_000, 100):
            points = [(step, float(step), step + 1) for step in range(begin, begin + 100)]
            server.log(run_id, one=points, another=points)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            run = server.fetcher().fetch(run_id, kept=run)
            for curve in run.curves.values():
                assert np.array_equal(curve.values, curve.steps)
                assert set(np.diff(curve.steps)) <= {1}
        writing.result()
    assert_is_what_mlflow_has(server.fetcher().fetch(run_id, kept=run), server.client)


def test_runs_that_are_not_there(server: Server) -> None:
    with pytest.raises(PermanentError, match=r"not found|unable to find"):
        server.fetcher().fetch("f" * 32)
    run_id = server.run()
    server.log(run_id, loss=[(0, 1.0, 1)])
    server.client.delete_run(run_id)
    with pytest.raises(PermanentError, match=f"run {run_id} is deleted in MLflow"):
        server.fetcher().fetch(run_id)


def test_the_runs_of_an_experiment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.fetch.stock.RUNS_PAGE_SIZE", 2)
    name = f"of {server.address}, {server.by_database}"
    server.client.create_experiment(name)
    run_ids = [server.run(name, start_time=time) for time in range(1, 6)]
    server.client.delete_run(run_ids.pop(2))
    assert list(server.fetcher().search_runs(name)) == run_ids
    with pytest.raises(PermanentError, match="no experiment 'never created'"):
        list(server.fetcher().search_runs("never created"))


def test_a_run_that_is_there_needs_no_request(database: Server, old_database: Server) -> None:
    for each in (database, old_database):
        run_id = each.run()
        each.log(run_id, loss=[(0, 1.0, 1)])
        nowhere = replace(each, address="http://127.0.0.1:9")
        run = nowhere.fetcher().fetch(run_id)
        assert_is_what_mlflow_has(run, each.client)
        each.log(run_id, loss=[(1, 2.0, 2)])
        assert_is_what_mlflow_has(nowhere.fetcher().fetch(run_id, kept=run), each.client)
        with pytest.raises(TransientError, match="does not answer"):
            nowhere.fetcher().fetch("f" * 32)


def demanding(authorization: str, upstream: str) -> Answering:
    """A reverse proxy that asks for credentials and serves the server under a path of its own."""

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        if headers.get("Authorization") != authorization:
            return 401, b"Who are you?", {"WWW-Authenticate": "Basic"}
        assert path.startswith("/proxied/")
        kept = {name: headers[name] for name in ("Accept-Encoding", "Content-Type") if headers.get(name)}
        request = urllib.request.Request(upstream + path.removeprefix("/proxied"), body or None, kept)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as found:
                sent = {name: value for name, value in found.headers.items() if name.startswith("Content-") and value}
                sent.pop("Content-Length", None)
                return found.status, found.read(), sent
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {}

    return answer


@pytest.mark.parametrize(
    ("credentials", "authorization"),
    [("ada:p%40ss", "Basic " + base64.b64encode(b"ada:p@ss").decode()), ("a.b-c", "Bearer a.b-c")],
    ids=["basic", "bearer"],
)
def test_behind_a_proxy_that_wants_credentials(
    server: Server, odd_run: str, credentials: str, authorization: str
) -> None:
    with serving(demanding(authorization, server.address)) as proxy:
        host = proxy.address.removeprefix("http://")
        fetched = Fetcher(TrackingServer.at("default", f"http://{credentials}@{host}/proxied")).fetch(odd_run)
        assert_is_what_mlflow_has(fetched, server.client)
        # The kind of the server, and the whole run.
        assert (len(proxy.authorizations) == 2) == server.bulk
        with pytest.raises(PermanentError, match=r"401 .*MLFLOW_TRACKING_USERNAME"):
            Fetcher(TrackingServer.at("default", f"http://eve:guess@{host}/proxied")).fetch(odd_run)
