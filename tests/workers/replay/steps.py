"""What happens around a replay, in a process and a database of its own: ``python -m tests.workers.replay.steps``."""

from __future__ import annotations

import sys
from collections.abc import Collection

from workers.settings import setup_django

setup_django()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from store.models import InboxEvent, Run  # noqa: E402
from tests.store.samples import NOON  # noqa: E402
from tests.workers.conftest import queued  # noqa: E402
from tests.workers.test_inbox import message  # noqa: E402
from workers import inbox  # noqa: E402
from workers.replay import batches  # noqa: E402
from workers.sweep import sweep  # noqa: E402
from workers.tasks import replay_runs  # noqa: E402

BATCH = 2
RUNS = ["run0", "run1", "run2", "run3", "run4"]


def prepare() -> None:
    """A database with five runs, all fetched at noon."""
    call_command("migrate", verbosity=0)
    for run_id in RUNS:
        inbox.record(message(event_id=run_id, run_id=run_id, quick_test_id=None))
        inbox.finish(inbox.claim(run_id, "w0"))
    Run.objects.update(fetched_at=NOON)


def work(fails: Collection[str] = ()) -> None:
    """Do all tasks that are queued now, as a worker does; runs in ``fails`` fail."""
    for name, arguments in queued():
        if name == "replay_runs":
            replay_runs.apply(arguments).get()
        else:
            warm(str(arguments[0]), fails)


def warm(run_id: str, fails: Collection[str] = ()) -> None:
    """What a warming leaves in the tables, without MLflow."""
    if not (events := inbox.claim(run_id, "w1")):
        return
    if run_id in fails:
        inbox.give_up(events, "still no such run")
        return
    Run.objects.filter(pk=run_id).update(fetched_at=timezone.now())
    inbox.finish(events)


def sweep_up() -> None:
    """Sweep once a request without a worker is due, and do all tasks until none is left; print the fetched runs."""
    InboxEvent.objects.filter(state__in=inbox.UNFINISHED).update(due_at=NOON)
    sweep()
    while InboxEvent.objects.filter(state__in=inbox.UNFINISHED).exists():
        work()
    print(*Run.objects.filter(fetched_at__gt=NOON).order_by("pk").values_list("pk", flat=True))


if __name__ == "__main__":
    batches.BATCH = BATCH
    {"prepare": prepare, "work": work, "sweep_up": sweep_up}[sys.argv[1]]()
