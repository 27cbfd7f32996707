"""The bulk route on real servers: it returns what MLflow's own client reads, key by key."""

from __future__ import annotations

import gzip
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
import zstandard
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)

from tests.mlflow_server.servers import BULK, LARGEST, Answer, Server, insert
from tests.waiting import PATIENCE
from workers.history.linked import datasets_of, models_of
from workers.history.ndjson import read_lines

pytestmark = pytest.mark.integration
NAN, INFINITY = math.nan, math.inf
UNPACK: dict[str | None, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "gzip": gzip.decompress,
    None: bytes,
}
ODD = {
    "plain": [(step, 1000 + step, 1 / (step + 1)) for step in range(5)],
    "same axis": [(step, 1000 + step, -float(step)) for step in range(5)],
    "not finite": [(0, 1, NAN), (1, 2, INFINITY), (2, 3, -INFINITY), (3, 4, 0.5), (4, 5, LARGEST)],
    "repeated": [(1, 20, 0.5), (1, 10, 0.25), (1, 20, 0.75), (0, 30, 2.0), (1, 20, NAN)],
    "negative/steps": [(3, 1, 3.0), (-2, 2, -2.0), (0, 3, 0.0), (-(2**40), 4, 1e-300)],
    "one": [(7, 7, 7.0)],
    "no step": [(0, 100 + time, float(time)) for time in range(3)],
    "Käufer/recall at 5.x-y_z: 名": [(0, 1, 0.1), (1, 2, 0.30000000000000004)],
    "Loss": [(0, 1, 1.0)],
    "loss": [(0, 1, 2.0), (1, 2, 5e-324)],
}


def new_run(server: Server, **options: Any) -> str:
    run_id: str = server.client.create_run("0", **options).info.run_id
    return run_id


@pytest.fixture(scope="module")
def odd_runs() -> dict[str, str]:
    """Server → a run with every oddity, logged by MLflow's client."""
    return {}


@pytest.fixture
def odd(server: Server, odd_runs: dict[str, str]) -> str:
    if server.address not in odd_runs:
        run_id = new_run(server, run_name="odd", start_time=5)
        metrics = [Metric(key, value, at, step) for key, points in ODD.items() for step, at, value in points]
        params = [Param("optimizer", "adagrad"), Param("Größe", "1")]
        server.client.log_batch(run_id, metrics, params, [RunTag("note", "„ja“\n")])
        odd_runs[server.address] = run_id
    return odd_runs[server.address]


def by_mlflow(server: Server, run_id: str, key: str) -> list[tuple[int, int, float]]:
    """Points sorted by step, timestamp, value; NaN last. The numbers that encode infinity become infinity."""
    found = server.client.get_metric_history(run_id, key)
    stands_for = {LARGEST: INFINITY, -LARGEST: -INFINITY}
    points = [(point.step, point.timestamp, stands_for.get(point.value, point.value)) for point in found]
    return sorted(points, key=lambda point: (point[:2], math.isnan(point[2]), point[2]))


def test_every_oddity_is_as_mlflows_own_client_reads_it(server: Server, odd: str) -> None:
    answer = server.read(odd)

    assert answer.curves.keys() == ODD.keys()
    for key in ODD:
        # NaN equals nothing, not even itself; its text does.
        assert list(map(repr, answer.points(key))) == list(map(repr, by_mlflow(server, odd, key)))
    assert [value for *_, value in answer.points("not finite")][1:] == [INFINITY, -INFINITY, 0.5, INFINITY]
    assert answer.axes < len(ODD)


def test_the_head_is_the_run_as_mlflow_has_it(server: Server, odd: str) -> None:
    head = server.read(odd).head
    run = server.client.get_run(odd)

    assert head["version"] == 1
    assert head["run"] == {
        "run_id": odd,
        "run_name": "odd",
        "experiment_id": "0",
        "experiment_name": "Default",
        "status": "RUNNING",
        "start_time": 5,
        "end_time": None,
        "lifecycle_stage": "active",
        "user_id": run.info.user_id,
        "artifact_uri": run.info.artifact_uri,
    }
    assert head["params"] == run.data.params
    assert head["tags"] == run.data.tags
    assert head["latest"]["plain"] == [4, 1004, 0.2]
    assert head["latest"]["not finite"] == [4, 5, "Infinity"]
    assert {key: float(value) for key, (*_, value) in head["latest"].items() if key != "not finite"} == pytest.approx(
        {key: value for key, value in run.data.metrics.items() if key != "not finite"}, nan_ok=True
    )


def test_data_sets_and_models_are_what_mlflows_own_routes_give(server: Server) -> None:
    client, run_id = server.client, new_run(server)
    forest, boosted = (client.create_logged_model("0", name, source_run_id=run_id).model_id for name in ("f", "b"))
    used = client.create_logged_model("0", "earlier").model_id
    training = DatasetInput(Dataset("purchases", "a1", "gs", "s" * 3_000, "{}", "{}"), [
        InputTag("other", "x"), InputTag("mlflow.data.context", "training"),
    ])  # fmt: skip
    client.log_inputs(
        run_id, [training, DatasetInput(Dataset("buyers", "b2", "local", "{}"))], [LoggedModelInput(used)]
    )
    client.log_outputs(run_id, [LoggedModelOutput(forest, 3)])
    for at, (model, data, value) in enumerate(
        [(forest, "purchases", 0.5), (forest, "buyers", 0.25), (forest, "purchases", 0.75), (boosted, None, 1.0)]
    ):
        digest = data and data[0]
        client.log_metric(
            run_id, "accuracy", value, 1_000 + at, 0, dataset_name=data, dataset_digest=digest, model_id=model
        )
    head = server.read(run_id).head

    def own(method: str, path: str, **options: Any) -> dict[str, Any]:
        response = server.session.request(
            method, f"{server.address}/api/2.0/mlflow/{path}", timeout=PATIENCE, **options
        )
        found: dict[str, Any] = response.json()
        return found

    run = own("GET", "runs/get", params={"run_id": run_id})["run"]
    asked = {"experiment_ids": ["0"], "filter": f"source_run_id = '{run_id}'"}
    assert "outputs" in own("GET", "runs/get", params={"run_id": new_run(server)})["run"], "how MLflow 3 is told"
    assert head["datasets"] == datasets_of(run)
    assert [each["context"] for each in head["datasets"]] == ["", "training"]
    by_id = {
        each["model_id"]: each for each in models_of(run, own("POST", "logged-models/search", json=asked)["models"])
    }
    assert {each["model_id"]: each for each in head["models"]} == by_id
    assert (by_id[used]["role"], by_id[forest]["step"]) == ("input", 3)
    assert [(each["dataset"], each["value"]) for each in by_id[forest]["metrics"]] == [
        ("buyers", 0.25), ("purchases", 0.75),
    ]  # fmt: skip


def test_some_metrics_and_from_a_step_on(server: Server, odd: str) -> None:
    chosen = server.read(odd, prefix=["Käufer/", "lo"], from_step=1)
    everything = server.read(odd, prefix="")

    assert {key: chosen.points(key) for key in chosen.curves} == {
        "Käufer/recall at 5.x-y_z: 名": [(1, 2, 0.30000000000000004)],
        "loss": [(1, 2, 5e-324)],
    }
    assert chosen.head["latest"].keys() == everything.curves.keys() == ODD.keys()
    assert server.read(odd, from_step=-3).points("negative/steps")[0] == (-2, 2, -2.0)
    assert server.read(odd, from_step=9).curves == server.read(odd, prefix="no_such%").curves == {}


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("gzip, zstd", "zstd"), ("gzip", "gzip"), ("identity, zstd;q=0", None)]
)
def test_it_is_compressed_as_the_client_asks(server: Server, odd: str, accepted: str, encoding: str | None) -> None:
    response = server.history(odd, headers={"Accept-Encoding": accepted}, stream=True)
    body = response.raw.read(decode_content=False)

    assert response.headers.get("Content-Encoding") == encoding
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert "Accept-Encoding" in response.headers["Vary"]
    assert Answer.of(UNPACK[encoding](body)).curves.keys() == ODD.keys()


def test_an_empty_run_has_a_head_and_an_end(server: Server) -> None:
    run_id = new_run(server)
    server.client.set_terminated(run_id, "FAILED", end_time=77)
    answer = server.read(run_id)

    assert (answer.head["run"]["status"], answer.head["run"]["end_time"]) == ("FAILED", 77)
    assert answer.head["latest"] == answer.curves == {}


def test_a_deleted_run_is_gone_until_it_is_restored(server: Server) -> None:
    run_id = new_run(server)
    server.client.delete_run(run_id)
    gone = server.history(run_id)
    server.client.restore_run(run_id)

    assert gone.status_code == 404
    assert gone.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "deleted" in gone.json()["message"]
    assert server.history(run_id).status_code == 200


def test_what_cannot_be_answered_is_an_error_of_mlflows_own_shape(server: Server, odd: str) -> None:
    unknown = server.history("0" * 32)
    stock = server.get("/api/2.0/mlflow/runs/get", params={"run_id": "0" * 32})

    assert (unknown.status_code, unknown.json()) == (stock.status_code, stock.json())
    for wrong in ("x", "", "1.5", "1_0", "9223372036854775808"):
        answer = server.history(odd, params={"from_step": wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert repr(wrong) in answer.json()["message"]


def test_the_version_tells_that_the_route_is_there(server: Server) -> None:
    assert server.get(f"{BULK}/version").json() == {"history": 1, "mlflow": "3.17.2"}


def test_a_metric_of_100_001_points_comes_in_several_lines(server: Server) -> None:
    run_id = new_run(server)
    values = np.random.default_rng(7).normal(size=100_001)
    insert(server.uri, run_id, (("long", step, 10 * step, value) for step, value in enumerate(values.tolist())))
    answer = server.read(run_id)
    steps, timestamps, found = answer.curves["long"]

    assert (answer.lines, answer.axes) == (4, 2)
    assert np.array_equal(steps, np.arange(100_001))
    assert np.array_equal(timestamps, 10 * steps)
    assert np.array_equal(found, values)


def test_10_000_metrics(server: Server) -> None:
    run_id = new_run(server)
    insert(server.uri, run_id, ((f"m/{key}", step, step, key + step / 2) for step in range(2) for key in range(10_000)))
    answer = server.read(run_id)

    assert (len(answer.curves), answer.axes, len(answer.head["latest"])) == (10_000, 1, 10_000)
    assert answer.points("m/9999") == [(0, 0, 9999.0), (1, 1, 9999.5)]


def test_a_run_that_is_being_written_is_complete_up_to_some_batch(server: Server) -> None:
    run_id = new_run(server)
    keys = [f"k{number}" for number in range(50)]
    stop = threading.Event()

    def write() -> None:
        for step in range(10_000):
            if stop.is_set():
                return
            server.client.log_batch(run_id, [Metric(key, step, step, step) for key in keys])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            time.sleep(0.05)
            for reading in (read_lines(server.read_once(run_id).splitlines()), server.by_database(run_id)):
                lengths = {len(points) for points in reading.run.points.values()}
                latest = set(reading.latest.values())
                # No metric is a step ahead of another, and the latest points are not ahead of the history.
                assert len(lengths) == len(latest) <= 1
                assert [step for step, *_ in latest] == [length - 1 for length in lengths]
    finally:
        stop.set()
        writer.join()


def test_a_client_that_disconnects_leaves_nothing_behind(server: Server) -> None:
    run_id = new_run(server)
    insert(server.uri, run_id, ((f"k{key}", step, step, step / 7) for key in range(40) for step in range(1000)))
    for _ in range(16):  # more than the server's pool of database connections
        server.history(run_id, stream=True).close()
    server.session.head(f"{server.address}{BULK}/runs/{run_id}/history", timeout=PATIENCE)

    assert len(server.read(run_id).curves) == 40


class TestUnderGunicornAndAPrefix:
    def test_the_route_is_under_the_prefix(self, prefixed: Server, on_postgres: Server) -> None:
        run_id = new_run(on_postgres)
        insert(on_postgres.uri, run_id, (("loss", step, step, step / 3) for step in range(30_000)))
        path = f"{BULK}/runs/{run_id}/history"

        assert prefixed.get(f"{BULK}/version").status_code == 404
        assert prefixed.get(f"/tracking{BULK}/version").json()["history"] == 1
        assert prefixed.get("/tracking" + path).content == on_postgres.get(path).content
        assert prefixed.session.head(f"{prefixed.address}/tracking{path}", timeout=PATIENCE).content == b""

    def test_a_client_that_disconnects_leaves_nothing_behind(self, prefixed: Server, on_postgres: Server) -> None:
        run_id = new_run(on_postgres)
        insert(
            on_postgres.uri, run_id, ((f"k{key}", step, step, step / 7) for key in range(40) for step in range(1000))
        )
        for _ in range(16):
            prefixed.get(f"/tracking{BULK}/runs/{run_id}/history", stream=True).close()

        assert Answer.of(prefixed.get(f"/tracking{BULK}/runs/{run_id}/history").content).curves.keys()


@pytest.mark.parametrize("path", [f"{BULK}/version", f"{BULK}/runs/{'0' * 32}/history"])
@pytest.mark.parametrize("fixture", ["on_sqlite", "prefixed"])
def test_a_foreign_host_is_refused_as_on_stock_routes(request: pytest.FixtureRequest, fixture: str, path: str) -> None:
    server: Server = request.getfixturevalue(fixture)
    prefix = "/tracking" if fixture == "prefixed" else ""

    def answer(path: str) -> requests.Response:
        return server.get(prefix + path, headers={"Host": "evil.example"})

    stock = answer("/api/2.0/mlflow/experiments/get?experiment_id=0")
    assert stock.status_code == 403
    assert (answer(path).status_code, answer(path).text) == (stock.status_code, stock.text)
