"""A run's end keeps its timeout even if a part hangs, fails or is interrupted; then signal handlers are restored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from warmboard.bounded import Bounded
from warmboard.run.ending import HURRIED, Ending, Limits
from warmboard.run.signals import Termination

LONG = Limits(flush=60, spool=60, end=60, info=60, unsent=60, event=60)
SHORT = Limits(flush=0.1, spool=0.1, end=0.1, info=0.1, unsent=0.1, event=0.1)


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """An event that a part waits for, so that it hangs."""
    released = threading.Event()
    yield released
    released.set()


@pytest.fixture
def termination() -> Iterator[Termination]:
    listening = Termination()
    listening.listen()
    yield listening
    listening.deferred = None
    listening.settle()


def test_a_part_gives_its_result(termination: Termination) -> None:
    assert Ending(LONG, SHORT, termination).part("info", lambda seconds: f"within {seconds}") == "within 60"


def test_a_part_that_hangs_is_left_behind(
    termination: Termination, hang: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    ending = Ending(SHORT, SHORT, termination)
    assert ending.part("end", lambda seconds: hang.wait()) is None
    assert "end took more than 0.1 s" in caplog.text
    assert ending.part("info", lambda seconds: "next") == "next"


def test_a_part_that_fails_is_logged_and_the_next_is_done(
    termination: Termination, caplog: pytest.LogCaptureFixture
) -> None:
    ending = Ending(LONG, SHORT, termination)
    assert ending.part("end", lambda seconds: 1 / 0) is None
    assert "ZeroDivisionError" in caplog.text
    assert ending.part("info", lambda seconds: "next") == "next"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_shortens_the_remaining_timeouts(
    termination: Termination, hang: threading.Event, number: signal.Signals
) -> None:
    termination.defer()
    ending = Ending(LONG, SHORT, termination)
    calls: list[float] = []

    def flush(seconds: float) -> bool:
        calls.append(seconds)
        return hang.wait(seconds)

    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
    ending.part("flush", flush, again=True)
    assert calls == [60, 0.1]
    assert ending.limits == SHORT
    with pytest.raises(SystemExit if number is signal.SIGTERM else KeyboardInterrupt):
        termination.settle()


def test_a_signal_just_before_a_part_shortens_its_timeout(termination: Termination, hang: threading.Event) -> None:
    termination.defer()
    signal.raise_signal(signal.SIGTERM)
    calls: list[float] = []
    ending = Ending(LONG, SHORT, termination)

    def flush(seconds: float) -> bool:
        calls.append(seconds)
        return hang.wait(seconds)

    for _ in range(2):
        ending.part("flush", flush)
    assert calls == [0.1, 0.1]


def test_the_hurried_limits_fit_into_a_clouds_grace_period() -> None:
    assert sum(vars(HURRIED).values()) <= 10


def test_the_innermost_gets_the_signal_and_the_others_still_listen() -> None:
    outer, inner = Termination(), Termination()
    told: list[str] = []
    outer.before, inner.before = (lambda: told.append("outer")), (lambda: told.append("inner"))
    outer.listen()
    inner.listen()
    for expected in (["inner"], ["inner", "outer"]):
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGTERM)
        assert told == expected
        (inner if len(expected) == 1 else outer).settle()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_settled_in_any_order_sigterm_has_its_default_action_again() -> None:
    first, second = Termination(), Termination()
    first.listen()
    second.listen()
    first.defer()
    first.settle()
    second.settle()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_exception_of_bounded_work_is_raised_by_result() -> None:
    work = Bounded(lambda: 1 / 0, "fails")
    assert work.wait(5)
    with pytest.raises(ZeroDivisionError):
        work.result()
