"""The difference between this machine's clock and that of a server."""

from __future__ import annotations

from workers.doctor.finding import Finding, Findings, failure, warning

TOLERATED, WRONG = 5.0, 60.0
"""Seconds. Leases and the order of fetches hold for less than the first; beyond the second, times of runs are wrong."""
FIX = "Set both clocks by NTP (`timedatectl set-ntp true`, or the platform's time service)."


def difference(subject: str, theirs: float, before: float, after: float, resolution: float = 0) -> Findings:
    """A finding if the clocks differ; none if they don't.

    ``theirs`` was read between ``before`` and ``after`` of our clock, in seconds since 1970, and is cut to a multiple
    of ``resolution``.
    """
    ahead = max(theirs - after, 0) or min(theirs + resolution - before, 0)
    if abs(ahead) > TOLERATED:
        yield _finding(subject, ahead)


def _finding(subject: str, ahead: float) -> Finding:
    text = f"its clock is {_in_words(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    return (failure if abs(ahead) > WRONG else warning)(subject, text, FIX)


def _in_words(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if round(seconds / size, 1) >= 1:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
