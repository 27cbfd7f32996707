"""A run's facts in words, as lists and pages show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from store.models import Run
from warmboard.contract.events import RunStatus

QUIET = timedelta(minutes=10)
"""How long a run in progress may log nothing before pages say so."""
LONGEST_AGO = timedelta(days=3652)
"""No run is older than ten years: such a time is of a wrong clock, or in another unit."""
NO_VALUE = "\N{EN DASH}"
STATUS_WORDS = {
    "FINISHED": "finished",
    "RUNNING": "running",
    "FAILED": "failed",
    "KILLED": "killed",
    "SCHEDULED": "scheduled",
}
STATE_WORDS = {
    "warm": "warm",
    "pending": "waiting",
    "warming": "warming",
    "failed": "not warmed",
    "rebuilding": "rebuilding",
    "expired": "expired",
    "unknown": "not warm",
}


def ago(moment: datetime, now: datetime) -> str:
    """The time since then in one unit, ``3 min ago``; of a client whose clock was wrong the year, ``in 1970``."""
    passed = max(now - moment, timedelta())
    if passed > LONGEST_AGO:
        return f"in {moment.astimezone(UTC).year}"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    for seconds, unit in units:
        if passed.total_seconds() >= seconds:
            return f"{int(passed.total_seconds() // seconds)} {unit} ago"
    return "just now"


def quiet_since(run: Run, now: datetime) -> datetime | None:
    """The time of the newest value, if the run is marked RUNNING but logs nothing any more."""
    newest = run.newest_at if run.status == RunStatus.RUNNING else None
    return newest if newest and newest < now - QUIET else None


def number(value: float | None) -> str:
    """The value with four significant digits."""
    return NO_VALUE if value is None else f"{value:#.4g}".rstrip(".")
