"""Log messages as JSON: Google's fields, and what is known of the context."""

from __future__ import annotations

import json
import logging
from typing import Any

import billiard.util
import pytest

from store import logs


@pytest.fixture(autouse=True)
def no_work_before() -> None:
    """Tests of the same process may have left theirs."""
    logs.begin()


def written(caught: BaseException | None = None, project: str = "", **extra: Any) -> dict[str, Any]:
    """What is written of a library's message, which knows nothing of structlog."""
    info = (type(caught), caught, caught.__traceback__) if caught else None
    record = logging.LogRecord("celery.app", logging.ERROR, "f.py", 1, "run %s is é", ("a1",), info)
    vars(record).update(extra)
    line = logs.json_formatter(project).format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_message_has_the_fields_of_google() -> None:
    found = written(status_code=500, request=object())
    assert found.pop("time").endswith("Z")
    assert found == {"severity": "ERROR", "logger": "celery.app", "message": "run a1 is é", "status_code": 500}


def test_a_message_has_what_is_known_around_it() -> None:
    logs.begin(task="t1")
    with logs.about(run_id="a1", attempt=2), logs.about(event_id="e1"):
        found = written()
    assert (found["task"], found["run_id"], found["attempt"], found["event_id"]) == ("t1", "a1", 2, "e1")
    assert "run_id" not in written()
    logs.note(run_id="a2")
    assert (written()["task"], written()["run_id"]) == ("t1", "a2")
    logs.begin()
    assert not {"task", "run_id"} & written().keys()
    assert written(run_id="a3")["run_id"] == "a3"


def test_what_a_workers_main_process_says_of_a_task_names_its_run() -> None:
    found = written(data={"id": "t1", "name": "warm_run", "args": "['a1', ()]", "kwargs": "{}"})
    assert (found["task"], found["run_id"]) == ("t1", "a1")
    assert "run_id" not in written(data={"id": "t1", "name": "expire", "args": "('x',)"})
    assert "task" not in written(data="of another library")


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{'AB' * 16}-b7ad6b7169203331-01", "ab" * 16),
        (f"cc-{'ab' * 16}-b7ad6b7169203331-01-of-later", "ab" * 16),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"00-{'ab' * 16}", ""),
        ("00-<script>", ""),
        ("", ""),
    ],
)
def test_a_trace_is_read_or_left_out(header: str, trace: str) -> None:
    assert logs.trace_in(header) == trace


def test_a_trace_is_linked_where_the_project_is_known() -> None:
    with logs.about(trace="ab" * 16):
        assert written()["trace"] == "ab" * 16
        assert written(project="p")[logs.TRACE] == f"projects/p/traces/{'ab' * 16}"


def test_an_error_has_its_stack() -> None:
    assert "ValueError: broken" in written(ValueError("broken"))["stack_trace"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_whole_process_is_configured(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # To configure is to close all handlers, and that of absl, which other tests import, closes pytest's own file.
    monkeypatch.setattr(logging, "_handlerList", [])
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("INFO", form)
        logging.getLogger("kombu").info("hello")
        logging.getLogger("kombu").debug("not this")
        line = capsys.readouterr().err
        billiard.util.get_logger().error("a child was killed")
        pool = capsys.readouterr().err
    finally:
        root.handlers[:], root.level = before, level
        logging.getLogger("multiprocessing").handlers.clear()
    assert " ERROR multiprocessing a " in pool if form == "text" else json.loads(pool)["severity"] == "ERROR"
    assert line.endswith(" INFO kombu hello\n") if form == "text" else json.loads(line)["message"] == "hello"
