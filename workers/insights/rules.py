"""Insights: plain statements about a run, found in its curves once, while it is warmed. Pure; no input or output.

Each rule is a small function; docs/reference/insights.md describes them. Rules prefer a missed problem to a false
alarm: levels are medians, a change must exceed the curve's own noise, and short runs are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

import numpy as np

from warmboard.contract.entries import Insight
from workers.history.drawing import Curve
from workers.history.unit import Unit
from workers.insights.gradients import dead_tower, exploding_gradients, non_finite, vanishing_gradients
from workers.insights.losses import best_epoch, diverging_loss, no_improvement, overfitting, plateau
from workers.insights.run import Run
from workers.insights.timing import clock, slow_epochs, slowing_down, throughput
from workers.insights.words import gravity

MOST_INSIGHTS = 20
"""Max number of statements about a run."""
MOST_PER_RULE = 5
"""Max number of statements of one rule, so that a run with many metrics still shows the others."""


def insights(curves: Mapping[str, Curve], unit: Unit) -> list[Insight]:
    """Find the statements about a run, by severity, then by first epoch; at most MOST_INSIGHTS.

    ``curves`` maps each metric's key to its curve. The result does not depend on their order.
    """
    run = Run(
        {key: curves[key] for key in sorted(curves) if len(curves[key].steps) and not curves[key].is_counted}, unit
    )
    # Differences of values near the largest float64 are infinite. No rule makes a statement then.
    with np.errstate(all="ignore"):
        found = [sorted(rule(run), key=gravity)[:MOST_PER_RULE] for rule in RULES.values()]
    # The first statement of every rule comes before the second of any.
    by_rank = [insight for rank in zip_longest(*found) for insight in rank if insight]
    return sorted(by_rank[:MOST_INSIGHTS], key=gravity)


RULES: dict[str, Callable[[Run], Iterable[Insight]]] = {
    "non-finite": non_finite,
    "exploding-gradients": exploding_gradients,
    "vanishing-gradients": vanishing_gradients,
    "dead-tower": dead_tower,
    "diverging-loss": diverging_loss,
    "no-improvement": no_improvement,
    "overfitting": overfitting,
    "slowing-down": slowing_down,
    "plateau": plateau,
    "best-epoch": best_epoch,
    "clock": clock,
    "slow-epochs": slow_epochs,
    "throughput": throughput,
}
"""Statements of the same severity and epoch come in this order."""
