"""How long to wait before the next attempt: the one back-off of the workers."""

from __future__ import annotations

import random


def backoff(attempts: int, first: float = 1.0, longest: float = 300.0) -> float:
    """Seconds to wait after ``attempts`` attempts that failed (1 or more).

    Exponential, from ``first`` to at most ``longest``, with full jitter on the upper half: what failed together is not
    tried again together.
    """
    # Beyond 2**64 every ceiling is `longest`, and a float would overflow.
    ceiling: float = min(longest, first * 2 ** min(attempts - 1, 64))
    return ceiling * random.uniform(0.5, 1)
