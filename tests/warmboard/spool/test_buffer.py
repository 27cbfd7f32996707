from __future__ import annotations

import json
import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.waiting import PATIENCE
from tests.warmboard.spool.test_spool import a_run
from tests.warmboard.wire import Answer, Asked, Wire, error
from warmboard.errors import TrackingRejectedError, TrackingUnavailableError, ValuesRejectedError
from warmboard.spool import Buffer, Spool
from warmboard.spool import buffer as buffer_module
from warmboard.tracking import Batch, Retry, TrackingClient

QUICK = Retry(first_delay=0.001, longest_delay=0.005)


class Server:
    """Accepts batches, or fails on demand."""

    def __init__(self) -> None:
        self.failing: Callable[[Batch], Exception | None] | Exception | None = None
        self.batches: list[Batch] = []
        self.attempts = 0

    def __call__(self, batch: Batch) -> None:
        self.attempts += 1
        failure = self.failing(batch) if callable(self.failing) else self.failing
        if failure:
            raise failure
        self.batches.append(batch)

    @property
    def points(self) -> list[tuple[str, int, float]]:
        return [(metric.key, metric.step, metric.value) for batch in self.batches for metric in batch.metrics]

    @property
    def params(self) -> dict[str, object]:
        return {key: value for batch in self.batches for key, value in batch.params.items()}


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool.create(tmp_path / "spool", a_run())
    yield made
    made.close(delivered=False)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def buffer(spool: Spool, server: Server) -> Iterator[Buffer]:
    made = Buffer(spool, server, retry=QUICK)
    yield made
    made.close(0)


def values(count: int = 127) -> dict[str, float]:
    return {f"key_{index}": index / 7 for index in range(count)}


class TestSending:
    def test_one_call_an_epoch_in_order(self, buffer: Buffer, server: Server) -> None:
        for epoch in range(3):
            buffer.log_metrics(values(), step=epoch)
            until(lambda: buffer.sent == (epoch + 1) * 127)  # noqa: B023 - called at once
        buffer.close(PATIENCE)
        assert [{metric.step for metric in batch.metrics} for batch in server.batches] == [{0}, {1}, {2}]
        assert server.points[:127] == [(key, 0, value) for key, value in values().items()]
        assert (buffer.sent, buffer.waiting, buffer.rejected, buffer.lost) == (3 * 127, 0, 0, 0)

    def test_parameters_are_sent_with_the_first_epoch(self, buffer: Buffer, server: Server) -> None:
        server.failing = TrackingUnavailableError("away")
        buffer.log_params({"epochs": 3, "edges": [1, 2]})
        buffer.log_metrics({"loss": 1.0}, step=0)
        server.failing = None
        buffer.close(PATIENCE)
        (batch,) = server.batches
        assert batch.params == {"epochs": "3", "edges": "[1, 2]"}
        assert len(batch.metrics) == 1

    def test_timestamps_are_those_of_logging(self, buffer: Buffer, server: Server) -> None:
        server.failing = TrackingUnavailableError("away")
        before = time.time_ns() // 1_000_000
        buffer.log_metrics({"loss": 1.0}, step=0)
        after = time.time_ns() // 1_000_000
        until(lambda: server.attempts > 3)
        time.sleep(0.01)
        server.failing = None
        buffer.close(PATIENCE)
        assert before <= server.batches[0].metrics[0].timestamp <= after

    def test_a_backlog_is_sent_in_few_calls(self, buffer: Buffer, server: Server) -> None:
        server.failing = TrackingUnavailableError("away")
        for epoch in range(20):
            buffer.log_metrics(values(), step=epoch)
        until(lambda: server.attempts > 3)
        server.failing = None
        until(lambda: buffer.waiting == 0)
        assert [len(batch) for batch in server.batches] == [889, 889, 762]
        assert [step for _, step, _ in server.points] == sorted(step for _, step, _ in server.points)
        assert buffer.sent == 20 * 127

    def test_on_sent_gets_every_accepted_batch(
        self, spool: Spool, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[Batch] = []

        def tell(batch: Batch) -> None:
            told.append(batch)
            raise ZeroDivisionError

        buffer = Buffer(spool, server, on_sent=tell, retry=QUICK)
        for epoch in range(2):
            buffer.log_metrics({"loss": 1.0}, step=epoch)
            until(lambda: buffer.sent == epoch + 1)  # noqa: B023 - called at once
        buffer.close(PATIENCE)
        assert told == server.batches
        assert "ZeroDivisionError" in caplog.text


class TestTheTrainingThread:
    def test_it_does_not_wait_for_disk_or_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spool = Spool.create(tmp_path, a_run())
        released = threading.Event()
        write = os.pwrite

        def hang(*arguments: Any) -> int:
            released.wait(PATIENCE)
            return write(*arguments)

        monkeypatch.setattr(os, "pwrite", hang)
        server = Server()
        buffer = Buffer(spool, server, retry=QUICK)
        for epoch in range(100):
            buffer.log_metrics({"loss": 1.0}, step=epoch)
            buffer.log_params({f"p{epoch}": epoch})
        assert (buffer.waiting, released.is_set()) == (200, False)
        released.set()
        buffer.close(PATIENCE)
        assert buffer.sent == 200

    def test_memory_is_bounded_when_the_disk_hangs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(buffer_module, "MEMORY_VALUES", 50)
        spool = Spool.create(tmp_path, a_run())
        released, hanging = threading.Event(), threading.Event()
        write = os.pwrite

        def hang(*arguments: Any) -> int:
            hanging.set()
            released.wait(PATIENCE)
            return write(*arguments)

        monkeypatch.setattr(os, "pwrite", hang)
        server = Server()
        buffer = Buffer(spool, server, retry=QUICK)
        buffer.log_metrics({"loss": 0.0}, step=0)
        assert hanging.wait(PATIENCE)
        for epoch in range(1, 201):
            buffer.log_metrics({"loss": 1.0}, step=epoch)
        # Values that are being written count in memory and in the spool.
        assert (buffer.waiting, buffer.lost) == (51, 151)
        assert caplog.text.count("LOST") == 1
        released.set()
        buffer.close(PATIENCE)
        assert [step for _, step, _ in server.points] == [0, *range(152, 201)]

    def test_a_disk_that_hangs_does_not_delay_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        spool = Spool.create(tmp_path, a_run())
        released = threading.Event()
        monkeypatch.setattr(os, "pwrite", lambda *arguments: released.wait(PATIENCE) and 1)
        buffer = Buffer(spool, Server(), retry=QUICK)
        buffer.log_metrics({"a": 1.0, "b": 1.0}, step=0)
        buffer.close(0.05)
        assert (buffer.lost, released.is_set()) == (2, False)
        assert "disk of SPOOL_DIR hangs" in caplog.text
        released.set()

    def test_a_signal_during_close_does_not_end_a_later_wait(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked, released = threading.Event(), threading.Event()

        def slow(batch: Batch) -> None:
            asked.set()
            released.wait(PATIENCE)

        def interrupt(number: int, frame: object) -> None:
            raise SystemExit(143)

        buffer = Buffer(spool, slow, retry=QUICK)
        buffer.log_metrics({"loss": 1.0}, step=0)
        assert asked.wait(PATIENCE)
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGUSR1]).start()
            with pytest.raises(SystemExit):
                buffer.close(PATIENCE)
        finally:
            signal.signal(signal.SIGUSR1, before)
        threading.Timer(0.2, released.set).start()
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.waiting) == (1, 0)

    def test_a_signal_during_logging_leaves_the_right_count(
        self, spool: Spool, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Interrupted(queue.SimpleQueue[Any]):
            """A queue that gets a signal right after the call."""

            def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
                super().put(item, block, timeout)
                if item is not None and item.step == 0:
                    raise SystemExit(143)

        monkeypatch.setattr(queue, "SimpleQueue", Interrupted)
        buffer = Buffer(spool, server, retry=QUICK)
        with pytest.raises(SystemExit):
            buffer.log_metrics({"loss": 1.0}, step=0)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.waiting, buffer.lost) == (1, 0, 0)

    @pytest.mark.parametrize(
        "number",
        [1, np.float32(0.5), np.array(0.5), np.int64(3), np.bool_(True), tf.constant(0.5), tf.Variable(0.5),
         keras.Variable(0.5), keras.ops.ones(())],
        ids=lambda number: type(number).__name__,
    )  # fmt: skip
    def test_everything_that_is_a_number_is_logged(self, number: Any, buffer: Buffer, server: Server) -> None:
        buffer.log_metrics({"loss": number}, step=np.int64(0))  # type: ignore[arg-type]
        buffer.close(PATIENCE)
        assert server.points == [("loss", 0, float(number))]

    def test_later_changes_are_not_seen(self, buffer: Buffer, server: Server) -> None:
        value, logged = np.array(1.0), {"loss": 1.0}
        variable = tf.Variable(1.0)
        logged |= {"array": value, "variable": variable}  # type: ignore[dict-item]
        buffer.log_metrics(logged, step=0)
        value += 1
        variable.assign_add(1.0)
        logged["loss"] = 2.0
        logged["new"] = 3.0
        edges = [1]
        params = {"edges": edges}
        buffer.log_params(params)
        edges.append(2)
        params["edges"] = [3]
        buffer.close(PATIENCE)
        assert server.points == [("loss", 0, 1.0), ("array", 0, 1.0), ("variable", 0, 1.0)]
        assert server.params == {"edges": "[1]"}

    def test_values_that_are_not_numbers_are_left_out_with_one_warning(
        self, buffer: Buffer, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Unprintable:
            def __str__(self) -> str:
                raise ZeroDivisionError

        odd = {"text": "0.5", "none": None, "vector": np.ones(3), "complex": 1j, "huge": 10**400, "bytes": b"1"}
        for epoch in range(2):
            buffer.log_metrics({"loss": 1.0, **odd}, step=epoch)  # type: ignore[dict-item]
        buffer.log_params({"good": 1, "bad": Unprintable()})
        buffer.log_metrics([1.0], step=2)  # type: ignore[arg-type]
        buffer.log_metrics({"loss": 1.0}, step="three")  # type: ignore[arg-type]
        buffer.log_metrics({"loss": 1.0}, step=2**63)
        buffer.log_metrics({3: 1.0}, step=4)  # type: ignore[dict-item]
        buffer.close(PATIENCE)
        assert server.points == [("loss", 0, 1.0), ("loss", 1, 1.0), ("3", 4, 1.0)]
        assert server.params == {"good": "1"}
        assert caplog.text.count("bytes, complex, huge, none, text, vector") == 1
        assert "bad" in caplog.text
        assert "step 'three'" in caplog.text

    def test_non_finite_values_are_written_as_words(self, buffer: Buffer, spool: Spool, server: Server) -> None:
        server.failing = TrackingUnavailableError("away")
        buffer.log_metrics({"a": math.nan, "b": -math.inf}, step=0)
        until(lambda: server.attempts)
        assert '{"a":"NaN","b":"-Infinity"}' in spool.path.read_text()

    def test_with_a_working_disk_no_burst_of_values_is_lost(
        self, buffer: Buffer, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(buffer_module, "MEMORY_VALUES", 1000)
        buffer.log_metrics({f"key_{index}": 1.0 for index in range(3000)}, step=0)
        for step in range(200):
            buffer.log_metrics(values(), step)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.waiting, buffer.lost) == (3000 + 200 * 127, 0, 0)

    def test_values_of_a_forked_process_are_reported_as_lost(
        self, buffer: Buffer, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        child = os.fork()
        if not child:
            try:
                buffer.log_metrics({"loss": 1.0}, step=0)
                os._exit(int("forked process and are LOST" not in caplog.text or buffer.waiting > 0))
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        buffer.log_metrics({"loss": 2.0}, step=1)
        buffer.close(PATIENCE)
        assert server.points == [("loss", 1, 2.0)]

    def test_values_after_the_end_are_reported_as_lost(
        self, buffer: Buffer, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        buffer.close(PATIENCE)
        buffer.log_metrics({"loss": 1.0}, step=0)
        assert (buffer.waiting, buffer.lost, server.batches) == (0, 1, [])
        assert "after the run's end" in caplog.text


class TestAServerThatIsDown:
    @pytest.mark.parametrize(
        ("failure", "said"),
        [
            (TrackingUnavailableError("down"), "MLflow is down"),
            (TrackingRejectedError("sign in first", status=401), "MLflow rejects requests"),
            (TrackingRejectedError("no such page", status=404), "MLflow rejects requests"),
            (ZeroDivisionError("unforeseen"), "Values can't be sent"),
        ],
        ids=["down", "401", "404", "unforeseen"],
    )
    def test_values_are_kept_with_one_log_message(
        self, failure: Exception, said: str, buffer: Buffer, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        server.failing = failure
        buffer.log_metrics({"loss": 1.0}, step=0)
        buffer.log_metrics({"loss": 0.5}, step=1)
        until(lambda: server.attempts > 5)
        assert (buffer.sent, buffer.waiting) == (0, 2)
        server.failing = None
        until(lambda: buffer.waiting == 0)
        assert [step for _, step, _ in server.points] == [0, 1]
        assert (buffer.sent, buffer.rejected, buffer.lost) == (2, 0, 0)
        assert caplog.text.count(said) == 1
        until(lambda: "is up again" in caplog.text)

    def test_unsent_values_stay_on_disk(self, buffer: Buffer, spool: Spool, server: Server) -> None:
        server.failing = TrackingUnavailableError("away")
        buffer.log_metrics({"a": 1.0, "b": 2.0}, step=0)
        buffer.close(0.05)
        assert (buffer.sent, buffer.waiting, buffer.lost) == (0, 2, 0)
        spool.close(delivered=True)
        again = Spool.open(spool.path)
        batch = again.next()
        assert batch
        assert [(metric.key, metric.value) for metric in batch.metrics] == [("a", 1.0), ("b", 2.0)]

    def test_at_the_end_values_are_retried_at_once(self, spool: Spool, server: Server) -> None:
        server.failing = TrackingUnavailableError("away", retry_after=10_000)
        buffer = Buffer(spool, server, retry=Retry(first_delay=10_000, longest_delay=10_000, longest_asked=10_000))
        buffer.log_metrics({"loss": 1.0}, step=0)
        until(lambda: server.attempts == 1)
        server.failing = None
        buffer.close(PATIENCE)
        assert buffer.sent == 1

    def test_a_request_that_hangs_does_not_delay_the_end(self, spool: Spool) -> None:
        released, asked = threading.Event(), threading.Event()

        def hang(batch: Batch) -> None:
            asked.set()
            released.wait(PATIENCE)

        told: list[Batch] = []
        buffer = Buffer(spool, hang, on_sent=told.append)
        buffer.log_metrics({"loss": 1.0}, step=0)
        assert asked.wait(PATIENCE)
        buffer.close(0.05)
        spool.close(delivered=True)
        assert (buffer.waiting, released.is_set()) == (1, False)
        released.set()
        assert buffer._sender_over.wait(PATIENCE)
        assert told == []
        assert Spool.open(spool.path).waiting == 1

    def test_without_a_disk_values_are_still_sent(self, tmp_path: Path, server: Server) -> None:
        (tmp_path / "file").write_text("in the way")
        spool = Spool.create(tmp_path / "file/spool", a_run())
        buffer = Buffer(spool, server, retry=QUICK)
        server.failing = TrackingUnavailableError("away")
        for epoch in range(3):
            buffer.log_metrics({"loss": 1.0}, step=epoch)
        until(lambda: server.attempts > 3)
        server.failing = None
        until(lambda: buffer.waiting == 0)
        assert [step for _, step, _ in server.points] == [0, 1, 2]
        server.failing = TrackingUnavailableError("away")
        buffer.log_metrics({"loss": 1.0}, step=3)
        buffer.close(0.05)
        assert (buffer.sent, buffer.waiting, buffer.lost) == (3, 0, 1)


def bad(*keys: str, status: int = 400) -> Callable[[Batch], Exception | None]:
    def judge(batch: Batch) -> Exception | None:
        found = {metric.key for metric in batch.metrics} | set(batch.params)
        return ValuesRejectedError("not this one", status=status, code="X") if found & set(keys) or not keys else None

    return judge


class TestRejections:
    def rejected(self, spool: Spool) -> list[str]:
        lines = spool.path.with_name(f"{spool.run.creation}.refused.ndjson").read_text().splitlines()
        documents = [json.loads(line) for line in lines]
        assert {document["reason"] for document in documents} == {"not this one"}
        return [document.get("key") or document["param"] for document in documents]

    def test_one_bad_value_does_not_affect_others(self, buffer: Buffer, spool: Spool, server: Server) -> None:
        server.failing = bad("key_70", "learning_rate")
        buffer.log_params({"epochs": 1, "learning_rate": 2, "l2": 3})
        buffer.log_metrics(values(), step=0)
        buffer.log_metrics({"loss": 1.0}, step=1)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected, buffer.waiting) == (129, 2, 0)
        assert self.rejected(spool) == ["learning_rate", "key_70"]
        assert [key for key, _, _ in server.points] == [*(key for key in values() if key != "key_70"), "loss"]
        assert server.attempts < 40

    def test_every_second_value_may_be_bad(
        self, buffer: Buffer, spool: Spool, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        keys = list(values())
        server.failing = bad(*keys[::2])
        buffer.log_metrics(values(), step=0)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected) == (63, 64)
        assert self.rejected(spool) == keys[::2]
        assert server.attempts < 2 * 127
        assert caplog.text.count("MLflow rejected 64 values for good") == 1

    def test_a_value_rejected_alone_does_not_affect_later_ones(self, buffer: Buffer, server: Server) -> None:
        server.failing = bad("rate")
        buffer.log_params({"rate": 2})
        until(lambda: buffer.rejected == 1)
        server.failing = TrackingUnavailableError("away")
        buffer.log_params({"rate": 3})
        buffer.log_metrics(values(), step=1)
        server.failing = bad("rate")
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected, buffer.waiting) == (127, 2, 0)

    def test_a_batch_that_is_too_large_is_sent_in_parts(self, buffer: Buffer, server: Server) -> None:
        def judge(batch: Batch) -> Exception | None:
            return ValuesRejectedError("too large", status=413) if len(batch) > 10 else None

        server.failing = judge
        for step in range(3):
            buffer.log_metrics(values(), step)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected, buffer.waiting) == (3 * 127, 0, 0)

    def test_if_nothing_is_accepted_halving_ends(self, buffer: Buffer, server: Server) -> None:
        server.failing = bad()
        buffer.log_metrics(values(), step=0)
        until(lambda: buffer.rejected == 127)
        attempts = server.attempts
        buffer.log_metrics(values(), step=1)
        until(lambda: buffer.rejected == 254)
        assert server.attempts == attempts + 1
        server.failing = None
        buffer.log_metrics(values(2), step=2)
        until(lambda: buffer.sent == 2)
        server.failing = bad("key_1")
        buffer.log_metrics(values(2), step=3)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected) == (3, 255)

    def test_a_deleted_run_is_rejected_in_one_call(self, buffer: Buffer, server: Server) -> None:
        server.failing = bad(status=404)
        buffer.log_metrics(values(), step=0)
        buffer.close(PATIENCE)
        assert (buffer.rejected, server.attempts) == (127, 1)

    def test_an_outage_during_halving_leaves_no_duplicates(self, buffer: Buffer, spool: Spool, server: Server) -> None:
        judge = bad("key_0")

        def away_at_times(batch: Batch) -> Exception | None:
            return TrackingUnavailableError("away") if 5 < server.attempts < 9 else judge(batch)

        server.failing = away_at_times
        buffer.log_metrics(values(), step=0)
        buffer.close(PATIENCE)
        assert (buffer.sent, buffer.rejected) == (126, 1)
        assert self.rejected(spool) == ["key_0"]


def test_with_the_client_and_the_wire(spool: Spool) -> None:
    """With a proxy's errors, a lost answer and a rejected parameter, the values arrive completely and in order."""
    taken: list[Any] = []
    script = [Answer(502), Answer(200, "<html>Sign in"), error(401, "UNAUTHENTICATED")]

    def answer(asked: Asked) -> Answer:
        if script:
            return script.pop(0)
        if any(param["key"] == "optimizer" for param in asked.body.get("params", [])):
            return error(400, "INVALID_PARAMETER_VALUE", "changing param values is not allowed")
        taken.append(asked.body)
        return Answer()

    wire = Wire(answer)
    client = TrackingClient("http://mlflow.test", session=wire.session(), retry=Retry(attempts=2, sleep=lambda _: None))
    buffer = Buffer(spool, lambda batch: client.log_batch("r1", batch.metrics, batch.params), retry=QUICK)
    buffer.log_params({"optimizer": "sgd", "epochs": 2})
    buffer.log_metrics({"loss": math.nan}, step=0)
    buffer.close(PATIENCE)
    assert [(body.get("params"), body.get("metrics", [{}])[0].get("value")) for body in taken] == [
        ([{"key": "epochs", "value": "2"}], None),
        (None, "NaN"),
    ]
    assert (buffer.sent, buffer.rejected, buffer.waiting) == (2, 1, 0)
    assert datetime.fromtimestamp(taken[1]["metrics"][0]["timestamp"] / 1000, UTC).year >= 2026
