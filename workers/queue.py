"""The queue: the Celery application, which queues tasks by name (``celery -A workers.queue worker``).

A program that queues tasks imports only this module. `workers.tasks`, which runs them, imports all of warming.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging
from kombu.exceptions import OperationalError
from redis import RedisError

from store import logs
from store.connection import tls_options
from store.hot import hot
from workers.settings import settings, setup_django

setup_django()

TASK_SECONDS = settings().fetch_limits.seconds + 240
"""The time limit of a task: after the fetch it samples and stores."""
BROKER_SECONDS = 3
LIVE_SECONDS = 1.0
"""How long a started or progressed event waits for others, in seconds: a burst causes one fetch."""
SOON, LATER = 0, 9
"""Priorities: a LATER task starts only when no SOON task is queued."""
KEY_PREFIX = "warmboard:celery:"
PRIORITY_MARK = "\x06\x16"
"""Between the name of a queue and a priority above 0 in kombu's keys: its default."""
PAGE = 1_000
"""Queued tasks that are read at a time."""

app = Celery(
    "warmboard",
    broker=settings().redis_url,
    include=["workers.tasks", "workers.sweep", "workers.processes", "workers.health.signals"],
)
app.conf.update(
    # A task leaves the queue when it ends, not when it starts; the inbox makes repeating it harmless.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_time_limit=TASK_SECONDS,
    # Memory that a large run has used is given back with the process.
    worker_max_memory_per_child=settings().worker_max_megabytes * 1024,
    # Longer than the time limit of a task: a task that outlives it is delivered twice.
    broker_transport_options={
        "visibility_timeout": TASK_SECONDS + 60,
        "global_keyprefix": KEY_PREFIX,
        "sep": PRIORITY_MARK,
    },
    broker_connection_retry_on_startup=True,
    # Without these options kombu takes any certificate of a rediss:// address.
    broker_use_ssl=tls_options(settings().redis_url),
    task_ignore_result=True,
    # Events for Flower.
    worker_send_task_events=True,
    task_send_sent_event=True,
    # By the clock, at night: an interval would start again whenever beat loses its schedule file.
    beat_schedule={
        "expire": {"task": "expire", "schedule": crontab(hour=3, minute=30), "options": {"priority": LATER}}
    },
)


@setup_logging.connect
def _log_as_configured(**_: object) -> None:
    """Celery's own processes: a receiver keeps Celery from setting up its logging."""
    logs.configure(settings().log_level, settings().log_format, settings().project)


@dataclass(frozen=True)
class Turn:
    """One batch of a replay request.

    ``claim`` is valid until the sweep makes another one. ``after`` is the last run of the batch before, ``queued`` the
    number of runs so far.
    """

    request: int
    claim: int
    after: str = ""
    queued: int = 0


def dispatch(run_id: str, countdown: float = 0, priority: int = SOON) -> None:
    """Queue ``warm_run``, to start after ``countdown`` seconds.

    Raises kombu's OperationalError if Redis is down; the sweep then queues it later.
    """
    app.send_task("warm_run", [run_id], retry=False, countdown=countdown, priority=priority)


def dispatch_later(run_id: str) -> None:
    """Queue ``warm_run`` behind all other tasks. Raises kombu's OperationalError if Redis is down."""
    dispatch(run_id, priority=LATER)


def dispatch_rebuild(run_id: str, attempts: int, priority: int) -> None:
    """Queue ``rebuild_run``. Raises kombu's OperationalError if Redis is down."""
    app.send_task("rebuild_run", [run_id, attempts], retry=False, priority=priority)


def dispatch_turn(turn: Turn, priority: int = SOON) -> None:
    """Queue one batch of a replay request. Raises kombu's OperationalError if Redis is down."""
    app.send_task("replay_runs", list(astuple(turn)), retry=False, priority=priority)


def waiting(priority: int) -> set[str]:
    """The IDs of the runs whose ``warm_run`` is queued with this priority and not taken by a worker yet.

    Raises kombu's OperationalError if Redis is down.
    """
    return {arguments[0] for task, arguments in _queued(priority) if task == "warm_run"}


def _queued(priority: int) -> Iterator[tuple[str, list[str]]]:
    """The name and the arguments of each queued task, the newest first. One command per PAGE tasks."""
    key = KEY_PREFIX + app.conf.task_default_queue + (f"{PRIORITY_MARK}{priority}" if priority else "")
    begin = 0
    # Workers take from the other end, and what is added moves the rest on: none is left out.
    while page := _page(key, begin):
        for message in map(json.loads, page):
            yield message["headers"]["task"], json.loads(base64.b64decode(message["body"]))[0]
        begin += PAGE


def _page(key: str, begin: int) -> list[bytes]:
    with _answering():
        found: list[bytes] = hot().client.lrange(key, begin, begin + PAGE - 1)
    return found


def ping() -> None:
    """Raise kombu's OperationalError if Redis is down."""
    with _answering():
        hot().client.ping()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise OperationalError(f"Redis is down: {error}") from error


def give_up_on_slow_broker() -> None:
    """Set a short broker timeout, for programs that queue tasks and run none.

    Workers must not call it: they wait for tasks on the same connections.
    """
    app.conf.broker_transport_options |= {
        "socket_timeout": BROKER_SECONDS,
        "socket_connect_timeout": BROKER_SECONDS,
        # Otherwise kombu waits and tries once more: 8 seconds.
        "max_retries": 0,
    }
