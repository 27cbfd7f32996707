"""Claims are renewed by time, through errors of the database, until they are lost."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError

from tests.waiting import PATIENCE, wait
from workers.lease import LostClaimError, Renewal

SHORT, LONG = 0.02, 3600.0


class Claim:
    """A claim that holds, and counts how often it was renewed."""

    renewals = 0

    def renew(self) -> bool:
        self.renewals += 1
        return True


def test_it_is_renewed_while_the_block_runs_and_not_after() -> None:
    claim = Claim()
    with Renewal(claim.renew, SHORT) as renewal:
        wait(lambda: claim.renewals > 3, "renewals")
        renewal.check()
    wait(lambda: "lease" not in {thread.name for thread in threading.enumerate()}, "the thread to end")


def test_a_short_block_renews_nothing() -> None:
    claim = Claim()
    with Renewal(claim.renew, LONG):
        pass
    assert claim.renewals == 0


def test_a_database_that_is_down_is_asked_again() -> None:
    answers = iter([OperationalError("down"), OperationalError("still down"), True])
    renewed = threading.Event()

    def renew() -> bool:
        answer = next(answers, True)
        if isinstance(answer, OperationalError):
            raise answer
        renewed.set()
        return True

    with Renewal(renew, SHORT) as renewal:
        assert renewed.wait(PATIENCE)
        renewal.check()


def test_work_whose_claim_was_lost_is_told_once_it_asks() -> None:
    with Renewal(lambda: False, SHORT) as renewal, pytest.raises(LostClaimError, match="its claim was lost"):
        wait(lambda: renewal.check(), "the loss")
