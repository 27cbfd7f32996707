"""MLflow has what was logged, odd values included, with real servers of MLflow 3.17.2 and 2.9.2."""

from __future__ import annotations

import math
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.mlflow_server.servers import Server
from tests.waiting import PATIENCE
from tests.warmboard.servers import FakePubsub, settings
from tests.workers.fetch.small_server import Answer, serving
from warmboard import TrackedRun, TrackingClient, announce_run, start_run
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.tracking import Metric, Retry
from warmboard.tracking.values import fit_key

pytestmark = pytest.mark.integration

LARGEST = sys.float_info.max
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
# Logged → read back.
VALUES: dict[str, tuple[float, float]] = {
    "nan": (math.nan, math.nan),
    "infinite": (math.inf, LARGEST),
    "minus infinite": (-math.inf, -LARGEST),
    "largest": (LARGEST, LARGEST),
    "least": (5e-324, 5e-324),
    # SQLite drops the sign of zero.
    "minus zero": (-0.0, 0.0),
    "a third": (1 / 3, 1 / 3),
    "numpy": (cast(float, np.float32(0.1)), float(np.float32(0.1))),
    "whole": (2**60, float(2**60)),
}
ODD_KEYS = [
    *("loss", "a b", "a/b", "système.été/損失", "a:b", "a@b", "a%20b", "a\tb", "😀", "e\u0301", "\u200b", "a\0b"),
    *("", " ", ".", "..", "...", "..a", "/a", "a/", "a//b", "a/./b", "a/../b", "./a", "-", "a\n", "\ud800", "/" * 300),
    *("k" * 250, "k" * 251, "é" * 300, "k" * 249 + "/b"),
]


@pytest.fixture(scope="module")
def server(both_servers: Server) -> Server:
    return both_servers


@pytest.fixture
def client(server: Server) -> TrackingClient:
    return TrackingClient(server.address)


@pytest.fixture
def run_id(client: TrackingClient) -> str:
    return client.create_run(client.experiment("client"), "run", NOW)


class Cut:
    """A proxy that loses answers: MLflow processes a request, and the client gets no answer."""

    def __init__(self, upstream: str) -> None:
        self.lose: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.address = ""
        self._upstream = upstream
        self._lock = threading.Lock()

    def __call__(self, path: str, headers: object, body: bytes) -> Answer:
        # Only POST requests have a body here.
        given = {"Content-Type": "application/json"}
        answer = requests.request(
            "POST" if body else "GET", self._upstream + path, data=body, headers=given, timeout=PATIENCE
        )
        route = path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        with self._lock:
            self.asked[route] += 1
            lost = self.lose.get(route, 0) > 0
            self.lose[route] = self.lose.get(route, 0) - 1
        if lost:
            raise ConnectionAbortedError(f"the answer of {route} is lost")
        return answer.status_code, answer.content, {"Content-Type": answer.headers.get("Content-Type", "")}


@contextmanager
def cutting(server: Server) -> Iterator[Cut]:
    cut = Cut(server.address)
    with serving(cut) as proxy:
        cut.address = proxy.address
        yield cut


def quick() -> Retry:
    return Retry(first_delay=0.01, longest_delay=0.02)


def points(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, key))


def same(one: float, other: float) -> bool:
    return math.isnan(one) if math.isnan(other) else (one, math.copysign(1, one)) == (other, math.copysign(1, other))


class TestTheClient:
    def test_every_value(self, server: Server, client: TrackingClient, run_id: str) -> None:
        client.log_batch(run_id, [Metric(key, float(logged), 3, 1_000) for key, (logged, _) in VALUES.items()])

        for key, (_, expected) in VALUES.items():
            [(step, value)] = points(server.client, run_id, key)
            assert step == 3
            assert same(value, expected), key

    @pytest.mark.parametrize("step", [0, -1, -(2**63), 2**63 - 1])
    def test_every_step(self, step: int, server: Server, client: TrackingClient, run_id: str) -> None:
        client.log_batch(run_id, [Metric("a", 1.0, step, 1_000), Metric("b", 2.0, step, 1_000)])

        assert points(server.client, run_id, "a") == [(step, 1.0)]
        assert points(server.client, run_id, "b") == [(step, 2.0)]

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key)[:40])
    def test_every_key(self, key: str, server: Server, client: TrackingClient, run_id: str) -> None:
        client.log_batch(run_id, [Metric(key, 1.0, 0, 1_000), Metric("good", 2.0, 0, 1_000)], {key: "x", "good": "y"})

        data = server.client.get_run(run_id).data
        assert data.metrics == {fit_key(key): 1.0, "good": 2.0}
        assert data.params == {fit_key(key): "x", "good": "y"}

    def test_long_and_odd_parameters(self, server: Server, client: TrackingClient, run_id: str) -> None:
        given = {
            "fits": "x" * 6000, "long": "y" * 6001, "wide": "𝄞" * 7000, "empty": "", "lines": "a\nb\t",
            "quotes": "'\"\\", "none": None, "number": 0.1, "list": [1, 2], "nul": "a\0b", "half": "a\ud800b",
            "last": "z",
        }  # fmt: skip
        client.log_batch(run_id, [], given)

        assert server.client.get_run(run_id).data.params == {
            "fits": "x" * 6000, "long": "y" * 6000, "wide": "𝄞" * 6000, "empty": "", "lines": "a\nb\t",
            "quotes": "'\"\\", "none": "None", "number": "0.1", "list": "[1, 2]",
            "nul": "a_b", "half": "a_b", "last": "z",
        }  # fmt: skip

    def test_more_values_than_fit_into_a_batch(self, server: Server, client: TrackingClient, run_id: str) -> None:
        metrics = [Metric(f"m{number}", float(number), 0, 1_000) for number in range(1500)]
        client.log_batch(run_id, metrics, {f"p{number}": number for number in range(150)})

        data = server.client.get_run(run_id).data
        assert data.metrics == {metric.key: metric.value for metric in metrics}
        assert data.params == {f"p{number}": str(number) for number in range(150)}

    def test_a_repeated_batch_changes_nothing(self, server: Server, client: TrackingClient, run_id: str) -> None:
        metrics = [Metric("a", 1.0, 0, 1_000), Metric("b", math.inf, 0, 1_000), Metric("a", 2.0, 1, 1_001)]
        for _ in range(3):
            client.log_batch(run_id, metrics, {"p": "v"})

        assert points(server.client, run_id, "a") == [(0, 1.0), (1, 2.0)]
        assert points(server.client, run_id, "b") == [(0, LARGEST)]

    @pytest.mark.parametrize("status", [RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED])
    def test_the_end(self, status: RunStatus, server: Server, client: TrackingClient, run_id: str) -> None:
        client.end_run(run_id, status, NOW)

        info = server.client.get_run(run_id).info
        assert (info.status, info.end_time, info.start_time) == (status.value, 1767323045678, 1767323045678)

    def test_concurrent_trainings_create_one_experiment(self, server: Server) -> None:
        name = f"race {uuid.uuid4()}"
        ready = threading.Barrier(8)

        def create(_: int) -> str:
            ready.wait()
            return TrackingClient(server.address).experiment(name)

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(create, range(8)))

        assert found == {server.client.get_experiment_by_name(name).experiment_id}

    def test_an_odd_experiment_is_found_again(self, server: Server, client: TrackingClient) -> None:
        name = f"été/{uuid.uuid4()} & 'more' %41"

        assert client.experiment(name) == client.experiment(name)
        assert server.client.get_experiment(client.experiment(name)).name == name

    def test_a_lost_answer_to_the_creation_makes_no_second_run(self, server: Server) -> None:
        with cutting(server) as cut:
            client = TrackingClient(cut.address, retry=quick())
            experiment_id = client.experiment(f"lost {uuid.uuid4()}")
            cut.lose = {"runs/create": 1, "runs/search": 1}
            run_id = client.create_run(experiment_id, "once", NOW, {"quick_test_id": "7"})

        [run] = server.client.search_runs([experiment_id])
        assert run.info.run_id == run_id
        assert (run.info.run_name, run.info.start_time) == ("once", 1767323045678)
        assert run.data.tags["quick_test_id"] == "7"
        assert cut.asked["runs/create"] == 1

    def test_a_lost_answer_to_an_experiments_creation(self, server: Server) -> None:
        name = f"lost {uuid.uuid4()}"
        with cutting(server) as cut:
            cut.lose = {"experiments/create": 1}
            found = TrackingClient(cut.address, retry=quick()).experiment(name)

        assert found == server.client.get_experiment_by_name(name).experiment_id

    def test_a_run_is_found_by_its_creation_even_when_deleted(self, server: Server, client: TrackingClient) -> None:
        experiment_id, creation = client.experiment("found"), uuid.uuid4().hex
        assert client.find_run(experiment_id, creation) is None
        run_id = client.create_run(experiment_id, "run", NOW, creation=creation)

        assert client.find_run(experiment_id, creation) == run_id
        server.client.delete_run(run_id)
        assert client.find_run(experiment_id, creation) == run_id


def test_a_run_of_mlflows_own_client_is_announced_as_mlflow_describes_it(
    server: Server, pubsub: FakePubsub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"plain {uuid.uuid4()}"
    run_id = server.client.create_run(server.client.create_experiment(name), tags={"quick_test_id": "9"}).info.run_id
    there = settings(str(tmp_path), pubsub.address, server.address)

    assert not announce_run(run_id, settings=there)
    assert "is RUNNING in MLflow" in caplog.text
    assert not announce_run("0" * 32, settings=there)
    assert f"has no run {'0' * 32}" in caplog.text
    server.client.set_terminated(run_id, "FAILED")
    assert announce_run(run_id, settings=there)

    [message] = pubsub.messages
    event = RunEvent.decode(message.data, message.attributes)
    assert (event.type, event.run_id, event.status) == (EventType.COMPLETED, run_id, RunStatus.FAILED)
    assert (event.experiment_name, event.quick_test_id) == (name, 9)
    assert event.id == f"{run_id}.completed.{server.client.get_run(run_id).info.end_time}"


@pytest.fixture
def experiment() -> str:
    return f"tracked {uuid.uuid4()}"


def begin(address: str, experiment: str, pubsub: FakePubsub, folder: Path) -> TrackedRun:
    given = settings(str(folder / "output"), pubsub.address, address, MLFLOW_READY_SECONDS="20")
    return start_run(
        quick_test_id=7,
        experiment=experiment,
        tags={"note": "zwei\nZeilen"},
        settings=given,
        client=TrackingClient.of(given, retry=quick()),
    )


def only_run(server: Server, experiment: str) -> Run:
    [run] = server.client.search_runs([server.client.get_experiment_by_name(experiment).experiment_id])
    return run


def left_over(folder: Path) -> list[str]:
    return [path.name for path in (folder / "output" / "spool").glob("*")]


class TestATrackedRun:
    def test_with_every_oddity(self, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path) -> None:
        with begin(server.address, experiment, pubsub, tmp_path) as run:
            run.log_params({"long": "x" * 7000, "a@b": 1, "nul": "a\0b"})
            for epoch in range(3):
                run.log_metrics({key: value for key, (value, _) in VALUES.items()}, step=epoch)
            run.log_metrics(dict.fromkeys(ODD_KEYS, 1.0), step=2)
            run.log_metrics({f"m{number}": number for number in range(1500)}, step=2)

        found = only_run(server, experiment)
        assert (found.info.run_id, found.info.status, found.info.run_name) == (run.run_id, "FINISHED", "quick-test-7")
        assert (run.sent, run.waiting, run.rejected, run.lost) == (3 + 3 * len(VALUES) + len(ODD_KEYS) + 1500, 0, 0, 0)
        assert found.data.params == {"long": "x" * 6000, "a_b": "1", "nul": "a_b"}
        assert found.data.tags["note"] == "zwei\nZeilen"
        assert found.data.metrics.keys() == {
            *VALUES,
            *map(fit_key, ODD_KEYS),
            *(f"m{number}" for number in range(1500)),
        }
        for key, (_, expected) in VALUES.items():
            history = points(server.client, run.run_id, key)
            assert [step for step, _ in history] == [0, 1, 2]
            assert all(same(value, expected) for _, value in history), key
        event = RunEvent.decode(pubsub.messages[-1].data, pubsub.messages[-1].attributes)
        assert (event.type, event.run_id, event.epochs) == (EventType.COMPLETED, run.run_id, 3)
        assert left_over(tmp_path) == []

    def test_a_rejected_value_does_not_affect_others(
        self, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path
    ) -> None:
        with begin(server.address, experiment, pubsub, tmp_path) as run:
            run.log_params({"rate": 1, "other": "a"})
            _until_sent(run, 2)
            run.log_params({"rate": 2, "more": "b"})
            run.log_metrics({"loss": 0.5}, step=0)

        found = only_run(server, experiment)
        assert found.data.params == {"rate": "1", "other": "a", "more": "b"}
        assert found.data.metrics == {"loss": 0.5}
        assert (run.sent, run.waiting, run.rejected, run.lost) == (4, 0, 1, 0)
        [kept] = (tmp_path / "output" / "spool").glob("*.refused.ndjson")
        assert "Changing param values is not allowed" in kept.read_text()
        assert found.info.status == "FINISHED"

    def test_parameters_whose_fitted_names_are_equal_do_not_affect_others(
        self, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path
    ) -> None:
        with begin(server.address, experiment, pubsub, tmp_path) as run:
            run.log_params({"a@": "first", "a%": "second", "more": "b"})
            run.log_metrics({"loss": 0.5}, step=0)

        found = only_run(server, experiment)
        assert found.data.params == {"a_": "first", "more": "b"}
        assert found.data.metrics == {"loss": 0.5}
        assert (run.waiting, run.lost) == (0, 0)

    def test_answers_that_are_lost_change_nothing(
        self, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path
    ) -> None:
        """MLflow 2.9.2 rejects a NaN that it already has."""
        with cutting(server) as cut:
            cut.lose = {"experiments/create": 1, "runs/create": 1, "runs/log-batch": 1, "runs/update": 1}
            with begin(cut.address, experiment, pubsub, tmp_path) as run:
                run.log_params({"rate": 1})
                run.log_metrics({"nan": math.nan, "loss": 0.5}, step=0)
                run.log_metrics({"nan": math.nan, "loss": 0.25}, step=1)

        found = only_run(server, experiment)
        assert (found.info.run_id, found.info.status) == (run.run_id, "FINISHED")
        assert found.data.params == {"rate": "1"}
        assert points(server.client, run.run_id, "loss") == [(0, 0.5), (1, 0.25)]
        history = server.client.get_metric_history(run.run_id, "nan")
        assert [point.step for point in history] == [0, 1]
        assert (run.waiting, run.rejected, run.lost) == (0, 0, 0)
        assert left_over(tmp_path) == []

    def test_a_deleted_run_ends_with_few_calls(
        self, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path
    ) -> None:
        with cutting(server) as cut, begin(cut.address, experiment, pubsub, tmp_path) as run:
            run.log_metrics({"loss": 0.5}, step=0)
            _until_sent(run, 1)
            server.client.delete_run(run.run_id)
            for epoch in range(1, 4):
                run.log_metrics({f"m{number}": 1.0 for number in range(300)}, step=epoch)

        assert (run.sent, run.waiting, run.rejected, run.lost) == (1, 0, 900, 0)
        assert cut.asked["runs/log-batch"] < 100
        assert server.client.get_run(run.run_id).data.metrics == {"loss": 0.5}

    @pytest.mark.parametrize(
        ("error", "status"),
        [(ValueError("no luck"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")],
    )
    def test_its_end(
        self, error: BaseException, status: str, server: Server, experiment: str, pubsub: FakePubsub, tmp_path: Path
    ) -> None:
        def train() -> None:
            with begin(server.address, experiment, pubsub, tmp_path) as run:
                run.log_metrics({"loss": 0.5}, step=0)
                raise error

        with pytest.raises(type(error)):
            train()

        found = only_run(server, experiment)
        assert (found.info.status, found.data.metrics) == (status, {"loss": 0.5})
        assert found.info.end_time >= found.info.start_time


def _until_sent(run: TrackedRun, values: int) -> None:
    """Wait until MLflow has them."""
    pause = threading.Event()
    for _ in range(3000):
        if run.sent >= values:
            return
        pause.wait(0.01)
    raise AssertionError(f"{run.sent} of {values} values were sent")
