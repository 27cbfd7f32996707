"""The Celery application and its tasks: ``celery -A workers.app worker``."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, worker_ready
from django.utils import timezone

from workers.check import touch
from workers.settings import settings, setup_django

setup_django()

from workers import inbox  # noqa: E402  the tables are ready only now
from workers.warm import Postponed, warm  # noqa: E402

log = logging.getLogger(__name__)
SWEEP_SECONDS = 10
TASK_SECONDS = 540

app = Celery("warmboard", broker=settings().redis_url)
app.conf.update(
    # A task is taken off the queue when it is done, not when it is begun; the inbox makes repeating it harmless.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_time_limit=TASK_SECONDS,
    # Longer than any task may take: a task that outlives it would be handed out twice.
    broker_transport_options={"visibility_timeout": TASK_SECONDS + 60, "global_keyprefix": "warmboard:celery:"},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    # What Flower shows.
    worker_send_task_events=True,
    task_send_sent_event=True,
    beat_schedule={
        # A sweep that waited for longer than its interval has been overtaken by the next one.
        "sweep": {"task": "sweep", "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS}}
    },
)


@app.task(bind=True, name="warm_run", max_retries=None)
def warm_run(self: Any, run_id: str) -> str:
    """Warms one run. Only its ID travels through the broker."""
    try:
        outcome = warm(run_id, settings(), self.request.hostname)
    except Postponed as error:
        raise self.retry(exc=error, countdown=error.seconds) from error
    log.info("run %s %s", run_id, outcome)
    return outcome


@app.task(name="sweep")
def sweep() -> int:
    """Hands out runs whose events were never finished: the queue was lost, or the worker was killed."""
    runs = inbox.due(timezone.now())
    for run_id in runs:
        log.warning("run %s has an unfinished event that nobody works at, handing it out again", run_id)
        dispatch(run_id)
    return len(runs)


def dispatch(run_id: str) -> None:
    """Queues ``warm_run``. Raises kombu's OperationalError when Redis is away; the sweep makes up for it."""
    warm_run.apply_async([run_id], retry=False)


@after_task_publish.connect(sender="sweep")
def _beat_works(**_: Any) -> None:
    # Beat alone sends it.
    touch(settings().beat_heartbeat)


@worker_ready.connect
def _take_up_unfinished(sender: Any, **_: Any) -> None:
    # Celery gives a killed worker's tasks back only after the visibility timeout: too long for a viewer who waits.
    inbox.release(sender.hostname)
    for run_id in inbox.pending():
        dispatch(run_id)
