from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
import requests
import urllib3

from contract.events import RunStatus
from tests.trainer.wire import Answer, Asked, Handler, Wire, error, script
from trainer.errors import TrackingError, TrackingNotReady, TrackingRefused, TrackingUnavailable
from trainer.retry import Retry
from trainer.tracking import Metric, TrackingClient, fit_key, number

START = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)
RUN = {"run": {"info": {"run_id": "r1"}}}


def client_and_wire(handler: Handler, attempts: int = 4) -> tuple[TrackingClient, Wire]:
    wire = Wire(handler)
    retry = Retry(attempts=attempts, sleep=lambda seconds: None)
    return TrackingClient("http://mlflow.test:5000", session=wire.session(), retry=retry), wire


def refused() -> requests.ConnectionError:
    """What requests raises when nothing listens."""
    pool = urllib3.HTTPConnectionPool("mlflow.test", 5000)
    cause = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("mlflow.test"), "refused")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/", cause))


def broken() -> requests.ConnectionError:
    """What requests raises when the connection ends before the answer."""
    return requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted."))


class TestWaiting:
    def wait(self, handler: Handler) -> tuple[list[float], Wire]:
        client, wire = client_and_wire(handler)
        now = [0.0]
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            now[0] += seconds

        self.slept = slept
        client.wait_until_ready(sleep=sleep, clock=lambda: now[0])
        return slept, wire

    def test_a_ready_server_is_asked_once_and_at_once(self) -> None:
        slept, wire = self.wait(lambda asked: Answer(200, "OK"))
        assert slept == []
        assert [(asked.method, asked.route) for asked in wire.asked] == [("GET", "/health")]

    def test_a_starting_server_is_waited_for(self) -> None:
        slept, _ = self.wait(script(refused(), Answer(503), broken(), Answer(200, "OK")))
        assert slept == [5, 10, 15]

    def test_the_wait_ends_after_120_seconds(self) -> None:
        with pytest.raises(TrackingNotReady, match=r"not ready within 120 s.*MLFLOW_TRACKING_URI"):
            self.wait(lambda asked: refused())
        assert self.slept[:5] == [5, 10, 15, 20, 20]
        assert sum(self.slept) == 120

    def test_a_plain_no_is_not_waited_for(self) -> None:
        with pytest.raises(TrackingRefused, match="403"):
            self.wait(lambda asked: Answer(403))


class TestExperiment:
    def test_it_is_found_by_a_get(self) -> None:
        client, wire = client_and_wire(script(Answer(200, {"experiment": {"experiment_id": "7"}})))
        assert client.experiment("two tower/ä") == "7"
        (asked,) = wire.asked
        assert (asked.method, asked.route) == ("GET", "experiments/get-by-name")
        assert asked.query == {"experiment_name": ["two tower/ä"]}

    def test_it_is_created_when_missing(self) -> None:
        client, wire = client_and_wire(
            script(error(404, "RESOURCE_DOES_NOT_EXIST"), Answer(200, {"experiment_id": "8"}))
        )
        assert client.experiment("new") == "8"
        assert wire.asked[1].body == {"name": "new"}

    def test_two_trainers_may_create_it_at_once(self) -> None:
        client, _ = client_and_wire(
            script(
                error(404, "RESOURCE_DOES_NOT_EXIST"),
                error(400, "RESOURCE_ALREADY_EXISTS"),
                Answer(200, {"experiment": {"experiment_id": "9"}}),
            )
        )
        assert client.experiment("new") == "9"

    def test_a_deleted_one_is_said_to_be(self) -> None:
        found = {"experiment": {"experiment_id": "7", "lifecycle_stage": "deleted"}}
        client, _ = client_and_wire(script(Answer(200, found)))
        with pytest.raises(TrackingError, match="deleted"):
            client.experiment("old")


class TestCreatingRuns:
    def test_the_run_has_a_name_a_start_and_tags(self) -> None:
        client, wire = client_and_wire(script(Answer(200, RUN)))
        assert client.create_run("7", "quick-test-3", START, {"quick_test_id": "3"}) == "r1"
        body = wire.asked[0].body
        assert body["run_name"] == "quick-test-3"
        assert body["start_time"] == 1767349800000
        assert {"key": "quick_test_id", "value": "3"} in body["tags"]

    @pytest.mark.parametrize("failure", [broken(), requests.ReadTimeout(), Answer(502)])
    def test_a_run_whose_answer_got_lost_is_found_and_not_made_again(self, failure: Answer | Exception) -> None:
        client, wire = client_and_wire(script(failure, Answer(200, {"runs": [RUN["run"]]})))
        assert client.create_run("7", "name", START) == "r1"
        assert wire.routes() == ["runs/create", "runs/search"]
        (creation,) = (tag["value"] for tag in wire.asked[0].body["tags"] if tag["key"] == "warmboard.creation")
        assert creation in wire.asked[1].body["filter"]

    def test_it_is_made_again_when_the_server_does_not_have_it(self) -> None:
        client, wire = client_and_wire(script(broken(), Answer(200, {}), Answer(200, RUN)))
        assert client.create_run("7", "name", START) == "r1"
        assert wire.routes() == ["runs/create", "runs/search", "runs/create"]
        assert wire.asked[0].body == wire.asked[2].body

    @pytest.mark.parametrize("failure", [refused(), requests.ConnectTimeout(), Answer(429)])
    def test_what_never_reached_the_server_is_simply_repeated(self, failure: Answer | Exception) -> None:
        client, wire = client_and_wire(script(failure, Answer(200, RUN)))
        assert client.create_run("7", "name", START) == "r1"
        assert wire.routes() == ["runs/create", "runs/create"]


class TestLogging:
    def test_one_epoch_is_one_call(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        client.log_batch("r1", [Metric(f"key_{index}", 0.5, 3, 1000) for index in range(134)])
        (asked,) = wire.asked
        assert asked.body["run_id"] == "r1"
        assert len(asked.body["metrics"]) == 134
        assert asked.body["metrics"][0] == {"key": "key_0", "value": 0.5, "timestamp": 1000, "step": 3}

    def test_the_limits_are_kept(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        metrics = [Metric(f"key_{index}", 1.0, 0, 0) for index in range(2345)]
        client.log_batch("r1", metrics, {f"param_{index}": "x" * 7000 for index in range(150)})
        assert [len(asked.body.get("metrics", [])) for asked in wire.asked] == [0, 0, 1000, 1000, 345]
        assert [len(asked.body.get("params", [])) for asked in wire.asked] == [100, 50, 0, 0, 0]
        assert {len(param["value"]) for param in wire.asked[0].body["params"]} == {6000}

    def test_non_finite_values_travel_as_words(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        values = [math.nan, math.inf, -math.inf, 1.5]
        client.log_batch("r1", [Metric("loss", value, step, 0) for step, value in enumerate(values)])
        assert [metric["value"] for metric in wire.asked[0].body["metrics"]] == ["NaN", "Infinity", "-Infinity", 1.5]
        assert b'"value": NaN' not in wire.asked[0].raw

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    def test_transient_statuses_are_tried_again(self, status: int) -> None:
        client, wire = client_and_wire(script(Answer(status), Answer(status), Answer()))
        client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 3

    @pytest.mark.parametrize("failure", [refused(), broken(), requests.ReadTimeout()])
    def test_broken_connections_are_tried_again_and_then_told(self, failure: Exception) -> None:
        client, wire = client_and_wire(lambda asked: failure, attempts=3)
        with pytest.raises(TrackingUnavailable):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 3

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409])
    def test_a_no_is_not_tried_again(self, status: int) -> None:
        client, wire = client_and_wire(lambda asked: error(status, "INVALID_PARAMETER_VALUE", "bad key"))
        with pytest.raises(TrackingRefused, match=rf"log-batch: HTTP {status} INVALID_PARAMETER_VALUE bad key"):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 1

    def test_ending_sets_status_and_time(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        client.end_run("r1", RunStatus.KILLED, START)
        assert wire.asked[0].body == {"run_id": "r1", "status": "KILLED", "end_time": 1767349800000}

    def test_no_token_is_sent_without_one(self) -> None:
        def handler(asked: Asked) -> Answer:
            assert "Authorization" not in asked.headers
            return Answer()

        client, _ = client_and_wire(handler)
        client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])


@pytest.mark.parametrize(
    ("key", "fit"),
    [
        ("loss", "loss"),
        ("a/b c.d-e", "a/b c.d-e"),
        ("precision@5", "precision_5"),
        ("größe", "größe"),
        ("/abs", "_abs"),
        ("a//b", "a__b"),
        ("..", "__"),
        ("", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_keys_are_made_to_fit(key: str, fit: str) -> None:
    assert fit_key(key) == fit


def test_numbers() -> None:
    assert [number(value) for value in (1, -0.5, math.nan, -math.inf)] == [1.0, -0.5, "NaN", "-Infinity"]


def test_delays_double_up_to_a_limit_with_jitter() -> None:
    retry = Retry(first_delay=1.0, longest_delay=5.0)
    for attempt, longest in enumerate([1, 2, 4, 5, 5]):
        delays = {retry.delay(attempt) for _ in range(50)}
        assert longest / 2 <= min(delays) < max(delays) <= longest
