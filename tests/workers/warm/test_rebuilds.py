"""Rebuilds of runs in an older schema: the newest first, a few at a time, one worker per run, and not for ever."""

from datetime import timedelta

import pytest
from django.utils import timezone

from store.models import Run
from tests.store.samples import NOON, announce
from warmboard.contract.entries import SCHEMA_VERSION
from workers import inbox
from workers.servers import gate
from workers.warm import rebuilds
from workers.warm.rebuilds import OUTSTANDING, QUEUED, Rebuild

pytestmark = pytest.mark.usefixtures("tables")
MOST = 3
SECOND = timedelta(seconds=1)


def outdated(run_id: str = "run1", minutes: int = 0) -> None:
    announce(run_id)
    announced_at = NOON + timedelta(minutes=minutes)
    Run.objects.filter(pk=run_id).update(schema_version=SCHEMA_VERSION - 1, announced_at=announced_at)


def due(after: timedelta = timedelta()) -> list[str]:
    return [run.run_id for run in rebuilds.due(timezone.now() + after, MOST)]


def claim(attempts: int) -> Rebuild | None:
    return rebuilds.claim("run1", attempts, MOST)


def test_only_runs_of_an_older_schema_are_queued() -> None:
    for run_id, version in (("never", None), ("now", SCHEMA_VERSION), ("newer", SCHEMA_VERSION + 1)):
        announce(run_id)
        Run.objects.filter(pk=run_id).update(schema_version=version)
    assert due() == []
    outdated()
    assert due() == ["run1"]
    assert due() == [], "queued already"


def test_the_newest_come_first_and_few_at_a_time() -> None:
    for number in range(OUTSTANDING + 5):
        outdated(f"run{number}", number)
    first = due()
    assert first == [f"run{number}" for number in reversed(range(5, OUTSTANDING + 5))]
    assert due() == []
    Run.objects.filter(pk__in=first[:3]).update(schema_version=SCHEMA_VERSION)
    assert due() == ["run4", "run3", "run2"]


def test_what_no_worker_took_is_queued_again_as_waiting() -> None:
    outdated()
    now = timezone.now()
    assert [run.waited for run in rebuilds.due(now, MOST)] == [False]
    assert [run.waited for run in rebuilds.due(now + QUEUED + SECOND, MOST)] == [True]


def test_only_one_claim_holds() -> None:
    outdated()
    assert due() == ["run1"]
    assert claim(0)
    assert not claim(0), "the task was delivered twice"
    assert due() == []
    assert due(inbox.lease() + SECOND) == ["run1"], "its worker was killed"
    Run.objects.update(schema_version=SCHEMA_VERSION)
    assert not claim(1), "it is done"


def test_a_claim_is_renewed_until_another_follows() -> None:
    outdated()
    first = claim(0)
    assert first
    Run.objects.update(rebuild_due_at=NOON)
    assert first.renew()
    assert due() == []
    assert claim(1)
    assert not first.renew()
    first.give_up("it was only slow")
    assert Run.objects.get().rebuild_reason == ""


def test_a_run_that_cannot_be_rebuilt_is_not_queued_for_ever() -> None:
    outdated()
    for attempts in range(MOST):
        assert due(attempts * timedelta(seconds=61)) == ["run1"]
        claimed = claim(attempts)
        assert claimed
        claimed.postpone("MLflow is down", 60)
        assert Run.objects.get().rebuild_reason == "MLflow is down"
        assert due() == [], "not before its time"
    assert due(timedelta(days=1)) == []
    assert (Run.objects.get().rebuild_reason, Run.objects.get().rebuild_due_at) == (rebuilds.NO_RESULT, None)


def test_runs_that_wait_for_a_server_leave_room_for_others() -> None:
    for number in range(OUTSTANDING):
        outdated(f"new{number}", number + 1)
    outdated("old")
    reason = gate.close("default", "connection refused")
    assert len(due()) == OUTSTANDING
    for number in range(OUTSTANDING):
        claimed = rebuilds.claim(f"new{number}", 0, MOST)
        assert claimed
        claimed.wait(reason, None)
    assert due() == ["old"], "it may have a source"
    gate.reopen("default")
    assert len(due(timedelta(minutes=2))) == OUTSTANDING - 1


def test_a_run_that_was_given_up_is_not_queued() -> None:
    outdated()
    claimed = claim(0)
    assert claimed
    claimed.give_up("its source is broken")
    assert due(timedelta(days=1)) == []
    run = Run.objects.get()
    assert (run.rebuild_reason, run.rebuild_due_at) == ("its source is broken", None)
