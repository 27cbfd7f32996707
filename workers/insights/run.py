"""What the rules look at: a run's curves, and what several rules derive from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from warmboard.contract.catalogue import is_histogram
from workers.history.fetched import Curve
from workers.history.roles import (
    Pair,
    is_gradient_norm,
    is_plain_loss,
    judge_of,
    pairs_of,
    training_loss_of,
)
from workers.insights.trend import Timing, Trend, finite

FEWEST_TREND = 10
"""Two windows: fewer points have no trend that could be told from noise."""
FAR = 10
"""Steps that lie so far apart are no epochs; nor is there one validation in so many epochs."""


@dataclass(frozen=True)
class Run:
    """What the rules look at: a run's curves, sorted by key, none of them empty."""

    curves: dict[str, Curve]
    _finite: dict[str, Curve] = field(default_factory=dict)

    def finite(self, key: str) -> Curve:
        """The points of a curve that are finite; maybe none."""
        if key not in self._finite:
            self._finite[key] = finite(self.curves[key])
        return self._finite[key]

    @cached_property
    def metrics(self) -> dict[str, Curve]:
        """All curves but the parts of histograms."""
        return {key: curve for key, curve in self.curves.items() if not is_histogram(key)}

    @cached_property
    def gradient_norms(self) -> list[str]:
        return list(filter(is_gradient_norm, self.metrics))

    @cached_property
    def pairs(self) -> list[Pair]:
        return pairs_of(self.metrics)

    @cached_property
    def judged_by(self) -> str | None:
        return judge_of(self.metrics, self.pairs)

    @cached_property
    def trained_by(self) -> str | None:
        """The training loss; what the run is judged by where it logs none."""
        return training_loss_of(self.metrics, self.pairs) or self.judged_by

    @cached_property
    def timed_by(self) -> str | None:
        """The metric whose steps are the run's."""
        # MLflow's system metrics have a clock of their own.
        keys = [key for key in self.metrics if not key.startswith("system/")]
        return self.trained_by or max(keys, key=lambda key: len(self.curves[key].steps), default=None)

    @cached_property
    def timing(self) -> Timing | None:
        return Timing.of(self.curves[self.timed_by]) if self.timed_by else None

    @cached_property
    def unit(self) -> str:
        """What the run's steps are called: epochs, unless they lie far apart or validation is far rarer."""
        if self.timed_by is None:
            return "epoch"
        steps = self.curves[self.timed_by].steps
        rarest = min((len(self.curves[pair.validation].steps) for pair in self.pairs), default=len(steps))
        apart = len(steps) > 1 and int(steps[-1] - steps[0]) >= FAR * (len(steps) - 1)
        return "step" if apart or len(steps) >= FAR * rarest else "epoch"

    @cached_property
    def trends(self) -> dict[str, Trend]:
        """By key: training loss and validation loss, where they are long enough to have a trend."""
        paired = {key for pair in self.pairs for key in (pair.training, pair.validation)}
        keys = [key for key in (self.trained_by, self.judged_by) if key and (key in paired or is_plain_loss(key))]
        curves = {key: self.finite(key) for key in keys}
        return {
            key: Trend.of(curve.steps, curve.values)
            for key, curve in curves.items()
            if len(curve.steps) >= FEWEST_TREND
        }
