"""What Celery's processes do for their health: a worker's heartbeat, the ports of health and metrics, and what `doctor`
asks a worker.

Celery imports this module in workers and in beat.
"""

from __future__ import annotations

import platform
from typing import Any

import celery
from celery.signals import beat_init, celeryd_init, heartbeat_sent, worker_init, worker_ready

from warmboard.contract.entries import SCHEMA_VERSION
from workers.health import metrics
from workers.health.server import serve_health
from workers.heartbeat import touch
from workers.settings import settings

VERSIONS = "warmboard_versions"
"""The name of the remote control command that a worker answers with its versions."""


def versions() -> dict[str, Any]:
    """The versions of this program that must fit those of others."""
    return {"schema": SCHEMA_VERSION, "celery": celery.__version__, "python": platform.python_version()}


@heartbeat_sent.connect
def _touch_heartbeat(**_: Any) -> None:
    # The event loop of a worker's main process sends it every 2 s, and only while it is connected to take tasks.
    touch(settings().worker_heartbeat)


@celeryd_init.connect
def _answer_versions(**_: Any) -> None:
    # Imported here: beat doesn't need it.
    from celery.worker.control import inspect_command

    @inspect_command(name=VERSIONS)
    def answer(state: Any) -> dict[str, Any]:
        return versions()


@worker_init.connect
def _count_before_forking(**_: Any) -> None:
    metrics.share(settings(), metrics.place)


# When it is ready, since its first processes have been forked by then, without these threads.
@worker_ready.connect
def _serve_worker(**_: Any) -> None:
    metrics.serve(settings())
    serve_health("worker")


@beat_init.connect
def _serve_beat(**_: Any) -> None:
    metrics.share(settings())
    metrics.serve(settings(), with_database=True)
    serve_health("beat")
