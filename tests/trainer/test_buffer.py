from __future__ import annotations

import threading
import time

import pytest

from trainer.buffer import Batch, Buffer
from trainer.errors import TrackingRefused, TrackingUnavailable
from trainer.retry import Retry

QUICK = Retry(first_delay=0.001, longest_delay=0.005)


class Server:
    """Takes batches, unless it is told to fail."""

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self.batches: list[Batch] = []
        self.attempts = 0
        self.tried = threading.Event()

    def __call__(self, batch: Batch) -> None:
        self.attempts += 1
        self.tried.set()
        if self.failing:
            raise self.failing
        self.batches.append(batch)


def test_one_batch_an_epoch_in_order() -> None:
    server = Server()
    buffer = Buffer(server, QUICK)
    buffer.log_params({"epochs": 3})
    for epoch in range(3):
        buffer.log_metrics({"loss": 1.0 / (epoch + 1), "val_loss": 2.0}, step=epoch)
    buffer.close(within=5)
    assert [len(batch) for batch in server.batches] == [1, 2, 2, 2]
    assert server.batches[0].params == {"epochs": 3}
    assert [batch.metrics[0].step for batch in server.batches[1:]] == [0, 1, 2]
    assert (buffer.sent, buffer.lost) == (7, 0)


def test_logging_does_not_wait_for_the_server() -> None:
    released = threading.Event()

    def slow(batch: Batch) -> None:
        released.wait(5)

    buffer = Buffer(slow, QUICK)
    started = time.monotonic()
    for epoch in range(100):
        buffer.log_metrics({"loss": 1.0}, step=epoch)
    assert time.monotonic() - started < 1
    released.set()
    buffer.close(within=5)
    assert buffer.sent == 100


def test_an_absent_server_costs_nothing_once_it_is_back() -> None:
    server = Server()
    server.failing = TrackingUnavailable("away")
    buffer = Buffer(server, QUICK)
    buffer.log_metrics({"loss": 1.0}, step=0)
    buffer.log_metrics({"loss": 0.5}, step=1)
    while server.attempts < 3:
        time.sleep(0.001)
    server.failing = None
    buffer.close(within=5)
    assert [batch.metrics[0].step for batch in server.batches] == [0, 1]
    assert (buffer.sent, buffer.lost) == (2, 0)


def test_what_is_refused_is_counted_and_said_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.failing = TrackingRefused("bad key", status=400)
    buffer = Buffer(server, QUICK)
    buffer.log_metrics({"a": 1.0, "b": 2.0}, step=0)
    assert server.tried.wait(5)
    server.failing = None
    buffer.log_metrics({"a": 1.0}, step=1)
    buffer.close(within=5)
    assert (buffer.sent, buffer.lost) == (1, 2)
    assert "refused 2 values" in caplog.text


def test_a_server_that_stays_away_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.failing = TrackingUnavailable("away")
    buffer = Buffer(server, QUICK)
    buffer.log_metrics({"a": 1.0, "b": 2.0}, step=0)
    started = time.monotonic()
    buffer.close(within=0.2)
    assert time.monotonic() - started < 2
    assert (buffer.sent, buffer.lost) == (0, 2)
    assert "2 values could not be sent" in caplog.text


def test_an_unforeseen_error_does_not_end_the_thread() -> None:
    server = Server()
    server.failing = ZeroDivisionError()
    buffer = Buffer(server, QUICK)
    buffer.log_metrics({"a": 1.0}, step=0)
    assert server.tried.wait(5)
    server.failing = None
    buffer.log_metrics({"a": 1.0}, step=1)
    buffer.close(within=5)
    assert (buffer.sent, buffer.lost) == (1, 1)
