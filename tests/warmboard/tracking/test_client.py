from __future__ import annotations

import base64
import math
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import urllib3

from tests.certificates import Authority
from tests.waiting import PATIENCE
from tests.warmboard.wire import Answer, Asked, Handler, Wire, error, script
from tests.workers.fetch.small_server import serving
from warmboard.contract.events import RunStatus
from warmboard.contract.settings import SettingError
from warmboard.errors import (
    TrackingError,
    TrackingNotReadyError,
    TrackingRejectedError,
    TrackingUnavailableError,
    ValuesRejectedError,
)
from warmboard.settings import Settings
from warmboard.tracking import Metric, Retry, TrackingClient
from warmboard.tracking.values import fit_key, number, param

START = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)
RUN = {"run": {"info": {"run_id": "r1"}}}


def client_and_wire(handler: Handler, attempts: int = 4) -> tuple[TrackingClient, Wire]:
    wire = Wire(handler)
    retry = Retry(attempts=attempts, sleep=lambda seconds: None)
    return TrackingClient("http://mlflow.test:5000", session=wire.session(), retry=retry), wire


def refused() -> requests.ConnectionError:
    """Return the exception of requests if no server listens."""
    pool = urllib3.HTTPConnectionPool("mlflow.test", 5000)
    cause = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("mlflow.test"), "refused")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/", cause))


def broken() -> requests.ConnectionError:
    """Return the exception of requests if the connection ends before the answer."""
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
        with pytest.raises(TrackingNotReadyError, match=r"not ready within 120 s.*MLFLOW_TRACKING_URI"):
            self.wait(lambda asked: refused())
        assert self.slept[:5] == [5, 10, 15, 20, 20]
        assert sum(self.slept) == 120

    def test_a_rejection_is_not_waited_for(self) -> None:
        with pytest.raises(TrackingRejectedError, match="403"):
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

    def test_a_deleted_experiment_is_an_error(self) -> None:
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

    @pytest.mark.parametrize(
        "failure",
        [
            broken(),
            requests.ReadTimeout(),
            requests.exceptions.ChunkedEncodingError("cut"),
            requests.exceptions.ContentDecodingError("cut"),
            Answer(500),
            Answer(502),
            Answer(520, "<html>unknown error"),
            Answer(524),
            Answer(200, '{"run": {"info": {"run_id": "r'),
            Answer(200, ""),
            Answer(200, "<html>"),
            Answer(200, {"run": {}}),
            Answer(201, RUN),
        ],
    )
    def test_after_a_lost_answer_the_run_is_found_and_not_created_again(self, failure: Answer | Exception) -> None:
        client, wire = client_and_wire(script(failure, Answer(200, {"runs": [RUN["run"]]})))
        assert client.create_run("7", "name", START) == "r1"
        assert wire.routes() == ["runs/create", "runs/search"]
        (creation,) = (tag["value"] for tag in wire.asked[0].body["tags"] if tag["key"] == "warmboard.creation")
        assert creation in wire.asked[1].body["filter"]

    def test_the_run_is_created_again_if_the_server_does_not_have_it(self) -> None:
        client, wire = client_and_wire(script(broken(), Answer(200, {}), Answer(200, RUN)))
        assert client.create_run("7", "name", START) == "r1"
        assert wire.routes() == ["runs/create", "runs/search", "runs/create"]
        assert wire.asked[0].body == wire.asked[2].body

    @pytest.mark.parametrize("failure", [requests.ReadTimeout(), Answer(504)])
    def test_while_the_server_may_still_create_it_the_run_is_only_searched(self, failure: Answer | Exception) -> None:
        now, nothing = [0.0], Answer(200, {})
        wire = Wire(script(failure, nothing, nothing, nothing, Answer(200, RUN)))
        retry = Retry(attempts=1, sleep=lambda seconds: None, clock=lambda: now[0])
        client = TrackingClient("http://mlflow.test:5000", session=wire.session(), retry=retry)
        for moment in (0, 1, 59):
            now[0] = moment
            with pytest.raises(TrackingUnavailableError):
                client.create_run("7", "name", START, creation="c1")
        now[0] = 60
        assert client.create_run("7", "name", START, creation="c1") == "r1"
        assert wire.routes() == ["runs/create", "runs/search", "runs/search", "runs/search", "runs/create"]

    def test_later_calls_with_the_same_creation_search_first(self) -> None:
        client, wire = client_and_wire(script(broken(), Answer(200, {"runs": [RUN["run"]]})), attempts=1)
        with pytest.raises(TrackingUnavailableError):
            client.create_run("7", "name", START, creation="c1")
        assert client.create_run("7", "name", START, creation="c1") == "r1"
        assert wire.routes() == ["runs/create", "runs/search"]
        assert {"key": "warmboard.creation", "value": "c1"} in wire.asked[0].body["tags"]

    def test_another_creation_is_not_searched(self) -> None:
        client, wire = client_and_wire(script(broken(), Answer(200, RUN)), attempts=1)
        with pytest.raises(TrackingUnavailableError):
            client.create_run("7", "name", START, creation="c1")
        client.create_run("7", "name", START, creation="c2")
        assert wire.routes() == ["runs/create", "runs/create"]

    def test_a_deleted_run_is_found_too(self) -> None:
        client, wire = client_and_wire(script(Answer(200, {"runs": [RUN["run"]]}), Answer(200, {})))
        assert client.find_run("7", "c1") == "r1"
        assert client.find_run("7", "c1") is None
        assert wire.asked[0].body["run_view_type"] == "ALL"
        assert wire.asked[0].body["filter"] == "tags.`warmboard.creation` = 'c1'"

    def test_an_answer_without_a_run_is_not_mlflows(self) -> None:
        client, _ = client_and_wire(lambda asked: Answer(200, {"run": {}}))
        with pytest.raises(TrackingUnavailableError, match=r"run\.info\.run_id is missing"):
            client.create_run("7", "name", START)

    @pytest.mark.parametrize("failure", [refused(), requests.ConnectTimeout(), Answer(429)])
    def test_a_request_that_was_not_sent_is_retried(self, failure: Answer | Exception) -> None:
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
        assert [len(asked.body.get("metrics", [])) for asked in wire.asked] == [900, 950, 495]
        assert [len(asked.body.get("params", [])) for asked in wire.asked] == [100, 50, 0]
        assert {len(param["value"]) for param in wire.asked[0].body["params"]} == {6000}

    def test_parameters_and_the_first_epoch_are_one_call(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        client.log_batch("r1", [Metric("loss", 0.5, 0, 0)], {"epochs": 3})
        assert wire.routes() == ["runs/log-batch"]
        assert wire.asked[0].body.keys() == {"run_id", "metrics", "params"}

    def test_without_values_there_is_no_call(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        client.log_batch("r1")
        assert wire.asked == []

    @pytest.mark.parametrize(
        "answer",
        [error(400, "INVALID_PARAMETER_VALUE"), error(404, "RESOURCE_DOES_NOT_EXIST"), Answer(413)],
    )
    def test_mlflow_rejects_the_values(self, answer: Answer) -> None:
        client, _ = client_and_wire(lambda asked: answer)
        with pytest.raises(ValuesRejectedError):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(400, "<html>bad gateway configuration"),
            Answer(404, "<html>no such page"),
            error(400, "BAD_REQUEST", "(sqlalchemy.exc.TimeoutError) QueuePool limit of size 5 overflow 10 reached"),
            error(404, "ENDPOINT_NOT_FOUND"),
            Answer(302),
            error(401, "UNAUTHENTICATED"),
            error(403, "PERMISSION_DENIED"),
        ],
    )
    def test_a_proxy_rejects_nothing_for_good(self, answer: Answer) -> None:
        client, _ = client_and_wire(lambda asked: answer)
        with pytest.raises(TrackingRejectedError) as caught:
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert not isinstance(caught.value, ValuesRejectedError)

    @pytest.mark.parametrize("body", ["<html>Sign in", "[]"])
    def test_a_200_that_is_not_mlflows_is_an_error(self, body: str) -> None:
        client, _ = client_and_wire(lambda asked: Answer(200, body))
        with pytest.raises(TrackingRejectedError, match="MLFLOW_TRACKING_URI"):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])

    @pytest.mark.parametrize(
        ("header", "low", "high"),
        [("7", 7, 7), ("600", 60, 60), ("soon", 0, 0.5), ("-3", 0, 0.5), ("Fri, 31 Dec 2100 23:59:59 GMT", 60, 60)],
    )
    def test_the_server_may_ask_for_a_longer_pause(self, header: str, low: float, high: float) -> None:
        slept: list[float] = []
        wire = Wire(script(Answer(429, headers={"Retry-After": header}), Answer()))
        client = TrackingClient("http://mlflow.test", session=wire.session(), retry=Retry(sleep=slept.append))
        client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(slept) == 1
        assert low <= slept[0] <= high

    def test_non_finite_values_are_sent_as_words(self) -> None:
        client, wire = client_and_wire(lambda asked: Answer())
        values = [math.nan, math.inf, -math.inf, 1.5]
        client.log_batch("r1", [Metric("loss", value, step, 0) for step, value in enumerate(values)])
        assert [metric["value"] for metric in wire.asked[0].body["metrics"]] == ["NaN", "Infinity", "-Infinity", 1.5]
        assert b'"value": NaN' not in wire.asked[0].raw

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 505, 520, 524])
    def test_transient_statuses_are_retried(self, status: int) -> None:
        client, wire = client_and_wire(script(Answer(status), Answer(status), Answer()))
        client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 3

    @pytest.mark.parametrize(
        "failure",
        [
            refused(),
            broken(),
            requests.ReadTimeout(),
            requests.exceptions.ChunkedEncodingError("cut"),
            requests.exceptions.ContentDecodingError("cut"),
            Answer(200, ""),
            Answer(200, '{"a": '),
            Answer(200, '{"a":' * 100_000),
        ],
    )
    def test_broken_connections_are_retried_and_then_an_error(self, failure: Answer | Exception) -> None:
        client, wire = client_and_wire(lambda asked: failure, attempts=3)
        with pytest.raises(TrackingUnavailableError):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 3

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 501])
    def test_a_rejection_is_not_retried(self, status: int) -> None:
        client, wire = client_and_wire(lambda asked: error(status, "INVALID_PARAMETER_VALUE", "bad key"))
        with pytest.raises(TrackingRejectedError, match=rf"log-batch: HTTP {status} INVALID_PARAMETER_VALUE bad key"):
            client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        assert len(wire.asked) == 1

    @pytest.mark.parametrize(
        "message",
        [
            "(sqlite3.IntegrityError) UNIQUE constraint failed: metrics.key, metrics.timestamp, metrics.step",
            '(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "metric_pk"',
            "(pymysql.err.IntegrityError) (1062, \"Duplicate entry 'nan-1-0' for key 'metrics.PRIMARY'\")",
        ],
    )
    def test_a_duplicate_nan_of_mlflow_2_does_not_affect_others(self, message: str) -> None:
        stored: list[object] = []
        there = {("a", 0)}

        def mlflow_2(asked: Asked) -> Answer:
            keys = {(metric["key"], metric["step"]) for metric in asked.body.get("metrics", [])}
            if keys & there:
                return error(400, "BAD_REQUEST", message)
            stored.extend(asked.body.get("params", []))
            stored.extend(sorted(keys))
            return Answer()

        client, _ = client_and_wire(mlflow_2)
        metrics = [Metric("a", math.nan, 0, 1), Metric("a", math.nan, 1, 2), Metric("loss", 0.5, 0, 1)]
        client.log_batch("r1", metrics, {"p": "v"})
        assert stored == [{"key": "p", "value": "v"}, ("loss", 0), ("a", 1)]

    def test_a_finite_value_is_never_assumed_to_be_a_duplicate(self) -> None:
        failed = error(400, "BAD_REQUEST", "(sqlite3.IntegrityError) UNIQUE constraint failed: metrics.key")
        client, wire = client_and_wire(lambda asked: failed)
        with pytest.raises(TrackingRejectedError):
            client.log_batch("r1", [Metric("loss", 0.5, 0, 0)])
        with pytest.raises(TrackingRejectedError):
            client.log_batch("r1", [Metric("loss", 0.5, 0, 0), Metric("nan", math.nan, 0, 0)])
        assert len(wire.asked) == 3

    def test_another_database_error_is_not_a_duplicate(self) -> None:
        failed = error(400, "BAD_REQUEST", "(sqlite3.IntegrityError) UNIQUE constraint failed: latest_metrics.key")
        client, _ = client_and_wire(lambda asked: failed)
        with pytest.raises(TrackingRejectedError):
            client.log_batch("r1", [Metric("nan", math.nan, 0, 0)])

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


class TestTheEndsTimeout:
    def test_a_request_that_hangs_is_not_waited_for(self) -> None:
        released = threading.Event()

        def hang(asked: Asked) -> Answer:
            released.wait(60)
            return Answer()

        client, _ = client_and_wire(hang)
        with pytest.raises(TrackingUnavailableError, match="did not accept the run's end within"):
            client.end_run("r1", RunStatus.KILLED, START, within=0.05)
        assert not released.is_set()
        released.set()

    def test_retries_end_with_the_timeout(self) -> None:
        now = [0.0]
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            now[0] += seconds

        wire = Wire(lambda asked: Answer(503))
        retry = Retry(attempts=100, first_delay=1.0, sleep=sleep, clock=lambda: now[0])
        client = TrackingClient("http://mlflow.test", session=wire.session(), retry=retry)
        with pytest.raises(TrackingUnavailableError, match="503"):
            client.end_run("r1", RunStatus.KILLED, START, within=5)
        assert 1 < len(wire.asked) < 10
        assert sum(slept) < 5
        answer_within = [answer for _, answer in wire.timeouts]
        assert answer_within[0] == 5
        assert answer_within == sorted(answer_within, reverse=True)
        assert answer_within[-1] == max(0.1, 5 - sum(slept))

    def test_a_rejection_is_raised(self) -> None:
        client, _ = client_and_wire(lambda asked: error(404, "RESOURCE_DOES_NOT_EXIST"))
        with pytest.raises(TrackingRejectedError):
            client.end_run("r1", RunStatus.KILLED, START, within=5)

    def test_in_time(self) -> None:
        client, wire = client_and_wire(script(Answer(503), Answer()))
        client.end_run("r1", RunStatus.KILLED, START, within=5)
        assert [asked.body["status"] for asked in wire.asked] == ["KILLED", "KILLED"]


TOKEN = {"MLFLOW_TRACKING_TOKEN": "t"}


class TestCredentials:
    def header(self, uri: str, **environ: str) -> str | None:
        wire = Wire(lambda asked: Answer())
        settings = Settings.read({"MLFLOW_TRACKING_URI": uri, **environ})
        client = TrackingClient.of(settings, session=wire.session())
        assert "secret" not in client.uri
        client.log_batch("r1", [Metric("loss", 1.0, 0, 0)])
        return wire.asked[0].headers.get("Authorization")

    def test_user_and_password_come_first(self) -> None:
        header = self.header(
            "https://x:secret@mlflow.test",
            **{"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "pässword", **TOKEN},
        )
        assert header == "Basic " + base64.b64encode("ann:pässword".encode()).decode()

    def test_then_a_token(self) -> None:
        assert self.header("https://x:secret@mlflow.test", **TOKEN) == "Bearer t"

    def test_then_what_the_address_holds(self) -> None:
        header = self.header("https://ann%40x:secret%2F1@mlflow.test")
        assert header == "Basic " + base64.b64encode(b"ann@x:secret/1").decode()
        assert self.header("https://secret%3Atoken@mlflow.test") == "Bearer secret:token"

    def test_then_none(self) -> None:
        assert self.header("http://mlflow.test") is None

    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
            ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"),
        ],
    )
    def test_an_incomplete_pair_is_an_error_that_names_the_missing_one(self, given: str, missing: str) -> None:
        with pytest.raises(SettingError, match=f"{missing} is not set"):
            self.header("https://mlflow.test", **{given: "x"})


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
        (".", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_keys_are_fitted(key: str, fit: str) -> None:
    assert fit_key(key) == fit


def test_parameters_are_text_that_databases_accept() -> None:
    assert [param(value) for value in (3, [1, 2], "a\0b\ud800")] == ["3", "[1, 2]", "a_b_"]
    assert len(param("x" * 7000)) == 6000


def test_numbers() -> None:
    assert [number(value) for value in (1, -0.5, math.nan, -math.inf)] == [1.0, -0.5, "NaN", "-Infinity"]


def test_delays_double_up_to_a_limit_with_jitter() -> None:
    retry = Retry(first_delay=1.0, longest_delay=5.0)
    for attempt, longest in enumerate([1, 2, 4, 5, 5]):
        delays = {retry.delay(attempt) for _ in range(50)}
        assert longest / 2 <= min(delays) < max(delays) <= longest


def test_delays_stay_finite_after_days_without_a_server() -> None:
    assert Retry(longest_delay=15.0).delay(100_000) <= 15


def test_a_server_may_want_a_certificate_of_its_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    context = authority.server_for_its_clients("127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    with serving(lambda *_: (200, b"OK", {}), context) as server:
        given = {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_TRACKING_TOKEN": "a.b"}
        own = {"MLFLOW_TRACKING_CLIENT_CERT_PATH": str(authority.issue("trainer"))}
        TrackingClient.of(Settings.read(given | own)).wait_until_ready(PATIENCE)
        with pytest.raises(TrackingNotReadyError):
            TrackingClient.of(Settings.read(given)).wait_until_ready(0)
