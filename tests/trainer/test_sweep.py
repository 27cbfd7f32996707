"""Sweeps: the plan, and the results if some runs fail. MLflow is a fake HTTP server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.warmboard.servers import FakePubsub
from trainer import program, sweep
from trainer.__main__ import main
from trainer.options import OptionError


def plan(*words: str) -> sweep.Plan:
    return sweep.plan(vars(sweep.parser().parse_args(words)))


class TestPlanning:
    def test_a_grid(self) -> None:
        planned = plan("--vary", "learning_rate=0.001,0.003", "--vary", "optimizer=adam,adagrad", "--epochs=3")
        assert planned.combinations == [
            {"learning_rate": 0.001, "optimizer": "adam"},
            {"learning_rate": 0.001, "optimizer": "adagrad"},
            {"learning_rate": 0.003, "optimizer": "adam"},
            {"learning_rate": 0.003, "optimizer": "adagrad"},
        ]
        third = planned.run_options(2)
        assert (third.learning_rate, third.optimizer, third.epochs) == (0.003, "adam", 3)
        assert third.run_name == f"quick-test-{planned.sweep_id}-3 learning_rate=0.003, optimizer=adam"
        assert third.quick_test_id is None

    def test_layers_and_names_with_dashes(self) -> None:
        planned = plan("--vary", "query-layers=none,64,64-32")
        assert [each["query_layers"] for each in planned.combinations] == [(), (64,), (64, 32)]
        assert str(planned.run_options(2).run_name).endswith("-3 query_layers=64-32")

    def test_quick_test_ids_count_up(self) -> None:
        planned = plan("--vary", "seed=1,2,3", "--quick-test-id=20", "--run-name=mine")
        assert [planned.run_options(position).quick_test_id for position in range(3)] == [20, 21, 22]
        assert planned.run_options(1).run_name == "mine-21 seed=2"

    def test_trials_are_drawn_by_the_seed(self) -> None:
        words = ["--vary", "learning_rate=1,2,3,4", "--vary", "embedding_dim=1,2,3,4", "--trials=5"]
        drawn = plan(*words).combinations
        assert len({tuple(each.items()) for each in drawn}) == 5
        assert drawn == plan(*words).combinations
        assert drawn != plan(*words, "--seed=2").combinations
        assert len(plan(*words[:-1], "--trials=99").combinations) == 16

    def test_trials_can_be_drawn_from_a_huge_grid(self) -> None:
        vary = {f"option_{index}": list(range(1000)) for index in range(4)}
        assert len(sweep.combinations(vary, 3, seed=1)) == 3

    def test_the_command_line_overrides_the_files_table(self, tmp_path: Path) -> None:
        path = tmp_path / "run.toml"
        path.write_text("epochs = 2\n[sweep]\ntrials = 3\nl2 = [0.1, 0.2]\nseed = [1, 2]\n")
        planned = plan("--config", str(path), "--vary", "seed=5")
        assert planned.combinations == [{"l2": 0.1, "seed": 5}, {"l2": 0.2, "seed": 5}]
        assert planned.options.epochs == 2
        assert len(plan("--config", str(path)).combinations) == 3
        assert len(plan("--config", str(path), "--trials=1").combinations) == 1

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ([], "nothing to vary"),
            (["--vary", "learning_rate"], "'learning_rate' is not NAME=VALUE,VALUE"),
            (["--vary", "learning_rate="], "'learning_rate=' is not NAME=VALUE,VALUE"),
            (["--vary", "learning_rates=1"], "unknown key learning_rates; did you mean learning_rate"),
            (["--vary", "min_buyers=1,2"], "min_buyers can't be varied"),
            (["--vary", "quick_test_id=1"], "quick_test_id can't be varied"),
            (["--vary", "epochs=1,0"], "epochs: '0' is not a whole number"),
            (["--vary", "seed=1", "--trials=0"], "trials: 0 is not a whole number from 1"),
            (["--vary", "epochs=1,9", "--warmup-epochs=2", "--quick-test-id=1"], "warmup_epochs is 2, but there are 1"),
            (["--vary", "seed=1,2", "--quick-test-id=2147483647"], "quick_test_id: '2147483648' is not"),
        ],
    )
    def test_an_invalid_plan_is_an_error_before_any_training(self, words: list[str], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            plan(*words)

    def test_wrong_usage_ends_with_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["sweep", "--vary", "epoch=1"])
        assert "did you mean epochs?" in capsys.readouterr().err


class Mlflow(ThreadingHTTPServer):
    """Accepts every run but those whose name contains ``rejected``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.rejected = ""
        self.created: list[dict[str, Any]] = []
        self.params: dict[str, dict[str, str]] = {}

    def answer(self, route: str, body: Any) -> tuple[int, Any]:
        if route == "experiments/get-by-name":
            return 200, {"experiment": {"experiment_id": "7"}}
        if route == "runs/create":
            self.created.append(body)
            if self.rejected and self.rejected in body["run_name"]:
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "not this one"}
            return 200, {"run": {"info": {"run_id": f"r{len(self.created)}"}}}
        if route == "runs/log-batch":
            for param in body.get("params", ()):
                self.params.setdefault(body["run_id"], {})[param["key"]] = param["value"]
        return 200, {}


class _Answers(BaseHTTPRequestHandler):
    server: Mlflow
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null"))

    def _answer(self, body: Any) -> None:
        route = self.path.split("?")[0].removeprefix("/api/2.0/mlflow/")
        status, document = self.server.answer(route, body)
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def mlflow() -> Iterator[Mlflow]:
    server = Mlflow()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def words(mlflow: Mlflow, pubsub: FakePubsub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a sweep over a small file, against the fake servers."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mlflow.server_port}")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
    monkeypatch.setenv("OUTPUT_URI", str(tmp_path / "output"))
    monkeypatch.setenv("SPOOL_DIR", str(tmp_path / "spool"))
    rows = "".join(f"b{row * 7 % 13},p{row % 40},{1_700_000_000 + row}\n" for row in range(600))
    (tmp_path / "purchases.csv").write_text("buyer_id,product_id,timestamp\n" + rows)
    return [
        "sweep", "--data", str(tmp_path / "purchases.csv"), "--min-buyers=1", "--epochs=1", "--batch-size=64",
        "--embedding-dim=4", "--json", str(tmp_path / "sweep.json"),
    ]  # fmt: skip


def test_every_run_is_tracked_and_compared(
    words: list[str], mlflow: Mlflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vary = ["--vary", "learning_rate=0.3,0.001", "--vary", "query_layers=8-4", "--quick-test-id=5"]
    assert main([*words, *vary]) == 0
    report = json.loads((tmp_path / "sweep.json").read_text())
    said = capsys.readouterr().err
    for number, created in enumerate(mlflow.created):
        tags = {tag["key"]: tag["value"] for tag in created["tags"]}
        assert (tags["warmboard.sweep"], tags["quick_test_id"]) == (report["sweep"], str(5 + number))
    names = [created["run_name"] for created in mlflow.created]
    assert names == [f"quick-test-{n} learning_rate={rate}, query_layers=8-4" for n, rate in ((5, 0.3), (6, 0.001))]
    params = [(mlflow.params[f"r{n}"]["learning_rate"], mlflow.params[f"r{n}"]["query_layers"]) for n in (1, 2)]
    assert params == [("0.3", "8-4"), ("0.001", "8-4")]

    recalls = [run["test"]["test_recall_at_100"] for run in report["runs"]]
    assert recalls == sorted(recalls, reverse=True)
    by_id = {run["run_id"]: run for run in report["runs"]}
    assert by_id.keys() == {"r1", "r2"}
    assert by_id["r2"]["values"] == {"learning_rate": 0.001, "query_layers": [8, 4]}
    for run in report["runs"]:
        assert run["error"] is None
        assert Path(run["model_uri"].removeprefix("file://")).is_file()
    table = said[said.rindex("recall_at_100") :].splitlines()
    assert table[0].split() == ["recall_at_100", "recall_at_10", "loss", "learning_rate", "query_layers", "run"]
    assert [line.split()[-1] for line in table[1:3]] == [run["run_id"] for run in report["runs"]]
    assert report["interrupted"] is False
    assert table[3] == f"sweep {report['sweep']}: 2 of 2 runs, 0 failed"
    assert said.count("13 buyers, 40 products") == 1, "data are loaded once"

    # A run of a sweep has the result that it has alone.
    assert main([*words[1:], "--learning-rate=0.001", "--query-layers=8,4", "--no-save"]) == 0
    alone = json.loads((tmp_path / "sweep.json").read_text())
    assert alone["test"] == by_id["r2"]["test"]


def test_a_run_that_fails_is_reported_and_the_others_are_trained(
    words: list[str], mlflow: Mlflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.rejected = "seed=2"
    assert main([*words, "--vary", "seed=2,3", "--no-save"]) == 1
    report = json.loads((tmp_path / "sweep.json").read_text())
    trained, failed = report["runs"]
    assert (trained["values"], trained["error"]) == ({"seed": 3}, None)
    assert failed["values"] == {"seed": 2}
    assert "not this one" in failed["error"]
    said = capsys.readouterr().err
    assert "2 of 2 runs, 1 failed" in said
    assert "FAILED" in said
    assert trained["model_uri"] is None


@pytest.mark.parametrize(("run_id", "seconds"), [("", 0), ("r1", 120)])
def test_after_a_run_without_mlflow_the_next_one_does_not_wait(run_id: str, seconds: int) -> None:
    planned = plan("--vary", "seed=2,3")
    run: Any = SimpleNamespace(run_id=run_id)
    outcome: Any = None
    result = sweep.Result({"seed": 2}, "name", program.Trained(run, outcome, {}, None), None)
    assert sweep.after(planned, result).settings.mlflow_ready_seconds == seconds


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_sweep_reports_it(
    stop: BaseException, words: list[str], mlflow: Mlflow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stopped(*_: Any) -> None:
        raise stop

    monkeypatch.setattr(program, "train_once", stopped)
    planned = plan(*words[1:], "--vary", "seed=2,3")
    with pytest.raises(type(stop)):
        sweep.run(planned)
    report = json.loads((tmp_path / "sweep.json").read_text())
    assert (report["interrupted"], report["runs"]) == (True, [])
    assert "0 of 2 runs, 0 failed; INTERRUPTED" in capsys.readouterr().err
