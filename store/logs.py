"""Logging of the programs: lines of text, or JSON with the fields of Google Cloud Logging (LOG_FORMAT).

Every message, a library's too, has the fields that are known of its work: ``run_id``, ``event_id``, ``attempt``,
``trace`` and others. ``about`` gives them to a block, ``begin`` and ``note`` to a task of Celery's.
"""

from __future__ import annotations

import logging.config
import re
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
TRACE = "logging.googleapis.com/trace"
TRACEPARENT = re.compile("[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}(-.*)?", re.IGNORECASE)
"""W3C's header: version, trace, parent, flags."""
OF_ONE_MESSAGE = ["status_code", "run_id", "event_id"]
"""Fields that a message may have as its ``extra``."""
RUN_TASKS = ("warm_run", "rebuild_run")
"""Tasks whose first argument is a run."""
FIRST_ARGUMENT = re.compile(r"[\[(]'([^']+)'")
STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
Event = MutableMapping[str, Any]


def configure(level: str, form: str, project: str = "") -> None:
    """Configure the process's logging, in place of what was there. ``form``: ``text`` or ``json``. ``project`` is the
    Google Cloud project, whose traces messages link to.
    """
    logging.config.dictConfig(config(level, form, project))


def config(level: str, form: str, project: str = "") -> dict[str, Any]:
    """The same as a configuration for ``logging.config``."""
    formatter = {"format": TEXT} if form == "text" else {"()": "store.logs.json_formatter", "project": project}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"program": formatter},
        "handlers": {"program": {"class": "logging.StreamHandler", "formatter": "program"}},
        "root": {"handlers": ["program"], "level": level},
        "loggers": {
            "google.cloud.pubsub_v1": {"level": "WARNING"},
            # Of Celery's pool, which passes nothing on to the root: a child was killed.
            "multiprocessing": {"level": "WARNING", "handlers": ["program"], "propagate": False},
        },
    }


def json_formatter(project: str = "") -> logging.Formatter:
    """One JSON document a line: severity, time, message, logger, what is known of its context, and a stack trace."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.ExtraAdder(OF_ONE_MESSAGE)],
        processors=[
            _head,
            _celery,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _google(project),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


def about(**fields: object) -> AbstractContextManager[None]:
    """Give every message of this thread or task these fields, until the context ends."""
    return structlog.contextvars.bound_contextvars(**fields)


def begin(**fields: object) -> None:
    """Give every following message of this thread these fields, and no others: its next work begins."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**fields)


def note(**fields: object) -> None:
    """Add fields to those of ``begin``: more is known of the work."""
    structlog.contextvars.bind_contextvars(**fields)


def trace_in(traceparent: str) -> str:
    """The trace in W3C's header: 32 hexadecimal digits; empty if it is none."""
    found = TRACEPARENT.fullmatch(traceparent)
    return found[1].lower() if found else ""


def _head(_: Any, __: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    event["severity"], event["logger"] = record.levelname, record.name
    return STAMP(None, "", event)


def _celery(_: Any, __: str, event: Event) -> Event:
    """What a worker's main process says of a task: no context is known there."""
    told = getattr(event["_record"], "data", None)
    if isinstance(told, dict) and "id" in told:
        event.setdefault("task", told["id"])
        if told.get("name") in RUN_TASKS and (run := FIRST_ARGUMENT.match(str(told.get("args")))):
            event.setdefault("run_id", run[1])
    return event


def _google(project: str) -> Any:
    def rename(_: Any, __: str, event: Event) -> Event:
        event["message"] = event.pop("event")
        # Google's Error Reporting finds errors by it.
        if trace := event.pop("exception", None):
            event["stack_trace"] = trace
        if project and "trace" in event:
            event[TRACE] = f"projects/{project}/traces/{event.pop('trace')}"
        return event

    return rename
