"""How long tests wait for programs, servers and pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 180.0
"""Seconds. A wait ends as soon as its condition holds, so a long limit costs nothing; on a machine whose cores are busy
with something else, a short one fails a test that is right.
"""
PATIENCE_MS = 1000 * PATIENCE
"""The same for Playwright."""


def wait(
    reached: Callable[[], Any],
    what: str,
    last: Callable[[], Any] = lambda: "",
    *,
    every: float = 0.05,
    seconds: float = PATIENCE,
) -> Any:
    """Return the first true value of ``reached``, which is called every ``every`` seconds.

    Fails the test after ``seconds``; the message names ``what``, and what ``last`` returns.
    """
    begin = time.monotonic()
    while not (found := reached()):
        assert time.monotonic() - begin < seconds, f"waited {seconds:.0f} s in vain for {what}; last seen: {last()}"
        time.sleep(every)
    return found
