"""What every line of the log about work on an event says of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError

from store import logs
from tests.waiting import wait
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.test_inbox import message
from workers import inbox, subscriber
from workers.fetch.fetcher import Fetcher
from workers.lease import Renewal
from workers.subscriber import Outage
from workers.tasks import warm_run
from workers.warm import pipeline

pytestmark = pytest.mark.usefixtures("tables", "queue", "configure")
log = logging.getLogger("a.library")
TRACE = "ab" * 16
EVENT = message(run_id=RUN_ID).attributes["ce-id"]


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """All lines that are logged as JSON, of every library."""
    found: list[dict[str, Any]] = []
    formatter = logs.json_formatter()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(formatter.format(record)))

    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield found
    root.removeHandler(handler)
    root.setLevel(level)
    logs.begin()


def traced(**change: Any) -> inbox.Message:
    """The golden event of a run, published as part of a trace."""
    found = message(run_id=RUN_ID, **change)
    header = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    return replace(found, attributes={**found.attributes, "ce-subject": RUN_ID, **header})


def test_of_a_task(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    transport = FakeMlflow(golden_run.metrics(), failures=[503])
    monkeypatch.setattr(pipeline, "fetcher", lambda server, _: Fetcher(server, transport=transport))
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: transport)
    answer = FakeMlflow._answer

    def noted(*request: Any) -> Any:
        # In the threads of the fetch, and in the one that asks whether the server is down: that is about no run.
        log.info("asked")
        return answer(*request)

    monkeypatch.setattr(FakeMlflow, "_answer", noted)
    inbox.record(traced())
    lines.clear()
    warm_run.apply(args=[RUN_ID], throw=False)
    about = [line for line in lines if line["message"] != "asked" or "event_id" in line]
    assert {"a.library", "celery.app.trace", "workers.tasks"} <= {line["logger"] for line in about}
    for line in about:
        assert (line["run_id"], line["event_id"], line["trace"], bool(line["task"])) == (RUN_ID, EVENT, TRACE, True)
    # Once more after the first attempt failed, which Celery does at once here.
    assert {line["attempt"] for line in about} == {1, 2}
    lines.clear()
    log.info("the next task")
    assert "event_id" not in lines[0]


def test_of_the_thread_that_renews_a_claim(lines: list[dict[str, Any]]) -> None:
    def renew() -> bool:
        log.info("renewed")
        return True

    with logs.about(run_id="r"), Renewal(renew, 0.04):
        wait(lambda: lines, "the claim to be renewed")
    assert lines[0]["run_id"] == "r"


def test_of_a_message(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def received(found: inbox.Message) -> Any:
        ways = {"ack": lambda: None, "nack": lambda: None}
        return SimpleNamespace(**vars(found) | {"publish_time": found.published_at, **ways})

    outage = Outage()
    subscriber._receive_unless_down(received(traced()), outage)
    subscriber._receive_unless_down(received(traced()), outage)
    with monkeypatch.context() as broken:
        broken.setattr(inbox, "record", _raise(ValueError("odd")))
        subscriber._receive_unless_down(received(traced()), outage)
        broken.setattr(inbox, "record", _raise(DatabaseError("gone")))
        subscriber._receive_unless_down(received(traced()), outage)
        assert not outage.over()
    assert outage.over()
    texts = ["for run", "already", "not recorded", "not written", "is down"]
    assert [text for line, text in zip(lines, texts, strict=True) if text in line["message"]] == texts
    for line in lines:
        assert (line["run_id"], line["event_id"], line["message_id"], line["trace"]) == (RUN_ID, EVENT, "1", TRACE)


def _raise(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail
