"""Logging of the programs: lines of text, or JSON with the fields of Google Cloud Logging (LOG_FORMAT).

Every message, a library's too, has the fields of ``about`` around it: ``run``, ``event_id``, ``attempt``, ``trace``.
"""

from __future__ import annotations

import logging.config
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
TRACE = "logging.googleapis.com/trace"
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
        "loggers": {"google.cloud.pubsub_v1": {"level": "WARNING"}},
    }


def json_formatter(project: str = "") -> logging.Formatter:
    """One JSON document a line: severity, time, message, logger, what is known of its context, and a stack trace."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars, structlog.stdlib.ExtraAdder(["status_code"])],
        processors=[
            _head,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _google(project),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


def about(**fields: object) -> AbstractContextManager[None]:
    """Give every message of this thread or task these fields, until the context ends."""
    return structlog.contextvars.bound_contextvars(**fields)


def _head(_: Any, __: str, event: Event) -> Event:
    record: logging.LogRecord = event["_record"]
    event["severity"], event["logger"] = record.levelname, record.name
    return STAMP(None, "", event)


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
