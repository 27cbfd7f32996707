"""Insights: plain statements about a run, found in its curves once while it is warmed. Pure; no input or output.

One small function a rule; docs/reference/insights.md says what each means. Every rule prefers silence to a false alarm:
levels are medians, a change must stand out of the curve's own noise, and short runs are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, zip_longest
from typing import Literal

import numpy as np

from warmboard.contract.catalogue import is_histogram
from warmboard.contract.entries import Insight
from workers.history.fetched import Curve, Indices, Values
from workers.history.roles import (
    LABELS,
    Pair,
    is_gradient_norm,
    is_plain_loss,
    is_vital,
    judge_of,
    pairs_of,
    towers_of,
    training_loss_of,
)
from workers.insights.trend import WINDOW, Timing, Trend, at_steps_of, begin_of_tail, finite

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

MOST_INSIGHTS = 20
"""A page shows so many at most; the gravest and earliest come first."""
MOST_PER_RULE = 5
"""However many metrics a run has."""
MOST_NAMES = 3

FEWEST_TREND = 10
"""Two windows: fewer points have no trend that could be told from noise."""
FAR = 10
"""Steps that lie so far apart are no epochs; nor is there one validation in so many epochs."""
FEWEST_BEST = 3
"""Of one or two epochs everybody sees which is better."""

OVERFITTING_NOISE = 5.0
"""The difference of two medians of five has a standard error of 0.8 of the noise; the least of many is lower still."""
OVERFITTING_OF_BEST, OVERFITTING_OF_FALL = 0.02, 0.2
"""A rise worth a word: 2 % of the best value, or a fifth of what had been won until then, whichever is less."""
SUSTAINED = 0.7
"""So much of what follows the best epoch must lie above it."""
TRAINING_OF_LEVEL, TRAINING_OF_FALL = 0.01, 0.05
"""Training still falls: by 1 % of its level, or a twentieth of its whole fall, whichever is less."""

PLATEAU_IMPROVEMENT = 0.01
"""On a plateau less than 1 % of the whole fall is still to come."""
PLATEAU_TAIL = 0.25
"""Every curve that converges flattens; it is worth a word where a quarter of the run was flat."""
UNIMPROVED_NOISE, UNIMPROVED = 2.0, 0.001
"""By chance alone the least of many noisy levels lies about so far below the first; 0.1 % where there is no noise."""
UNIMPROVED_THIRDS = 0.5
"""And the last third of the run is no lower than the first, by more than half the noise."""
FEWEST_UNIMPROVED = 20
"""A slow beginning is no verdict."""
DIVERGED_NOISE, DIVERGED_OF_FALL, DIVERGED_OF_LEAST = 5.0, 0.5, 0.1
"""A loss that has given back half of what it had won, and a tenth of its value, is no fluctuation."""

EXPLODED = 100.0
"""Norms of healthy runs vary by tens."""
EXPLODED_FLOOR = 0.01
"""A usual norm counts as at least this, so that a norm below 1 is never an explosion, however tiny it was."""
EXPLODED_STAYS = 10.0
"""Ten times the usual from then on, by the median, is no single bad batch."""
FEWEST_BEFORE = 5
"""After so many epochs it is known what is usual."""
FEWEST_AFTER = 3
"""A leap at the very end may yet come back."""
VANISHED, VANISHED_OF_START = 1e-7, 1e-6
"""A step along such a gradient is below the resolution of float32 weights around 1; or, whatever the scale of the loss,
it is a millionth of the first ones."""
FEWEST_VANISHED = 5

STILL = 1e-6
"""A few units in the last place of a float32: weights that are trained move more."""
MOVING = 1e-4
"""What counts as moving: a hundred times as much, lest two towers on either side of one threshold differ."""
FEWEST_STILL = 6

FEWEST_COMPARED = 10
SLOW = 8.0
"""Evaluation and checkpoints make an epoch a few times as long."""
SLOW_LEAST = 10_000.0
"""Milliseconds lost; nobody minds less."""
SLOW_SHARE = 0.05
"""More slow epochs than that are a pattern of the training, not an accident."""
SLOWING = 2.0
SLOWING_LEAST = 1000.0
"""Milliseconds an epoch."""


def insights(curves: Mapping[str, Curve]) -> list[Insight]:
    """Statements about a run, by severity, then by the first epoch that they speak of; at most 20.

    ``curves`` are keyed by the metric, each with its own steps. The answer follows from them alone, in whatever order.
    """
    run = Run({key: curves[key] for key in sorted(curves) if len(curves[key].steps)})
    # Of values near the largest float64 differences are infinite, and then no rule says anything.
    with np.errstate(all="ignore"):
        found = [sorted(rule(run), key=_gravity)[:MOST_PER_RULE] for rule in RULES.values()]
    # The first statement of every rule goes before the second of any.
    by_rank = [insight for rank in zip_longest(*found) for insight in rank if insight]
    return sorted(by_rank[:MOST_INSIGHTS], key=_gravity)


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

    @cached_property
    def overfitting(self) -> dict[str, Insight]:
        """By the validation metric: each pair that turns."""
        return {pair.validation: found for pair in self.pairs if (found := _turn(self, pair))}


def non_finite(run: Run) -> Iterator[Insight]:
    """NaN and infinities, from their onset: metrics where it is the same epoch share a statement."""
    groups: dict[tuple[bool, int], dict[str, Indices]] = defaultdict(dict)
    for key in chain(run.metrics, filter(is_histogram, run.curves)):
        curve = run.curves[key]
        places = np.flatnonzero(~np.isfinite(curve.values))
        if len(places):
            groups[len(curve.steps) > 1, int(curve.steps[places[0]])][key] = places
    for (followed, step), places_of in sorted(groups.items(), key=lambda item: item[0][1]):
        yield _not_finite(run, step, places_of, followed)


def exploding_gradients(run: Run) -> Iterator[Insight]:
    """Gradient norms a hundred times as large as usual."""
    groups: dict[tuple[int, bool], list[Leap]] = defaultdict(list)
    for key in run.gradient_norms:
        if leap := _leap(run, key):
            groups[leap.step, leap.stays].append(leap)
    for (step, stays), leaps in sorted(groups.items()):
        worst = max(leaps, key=lambda leap: leap.times)
        others = [leap.key for leap in leaps if leap is not worst]
        text = (
            f"{worst.key} exploded at {run.unit} {step}: {_figure(worst.value)} is {worst.times:,.0f} times its usual "
            f"size{', and it has not come back' if stays else '; it came back later'}."
        )
        if others:
            text += f" So did {_names(others)}."
        yield _insight("exploding-gradients", "error" if stays else "warning", text, worst.key, step)


def vanishing_gradients(run: Run) -> Iterator[Insight]:
    """Gradient norms of nothing, up to the end."""
    groups: dict[int, list[str]] = defaultdict(list)
    for key in run.gradient_norms:
        curve = run.finite(key)
        if len(curve.steps) >= FEWEST_VANISHED:
            nothing = max(VANISHED, VANISHED_OF_START * float(np.median(curve.values[:WINDOW])))
            begin = begin_of_tail(curve.values <= nothing)
            if len(curve.steps) - begin >= FEWEST_VANISHED:
                groups[int(curve.steps[begin])].append(key)
    for step, keys in sorted(groups.items()):
        curve = run.finite(keys[0])
        most = _figure(float(curve.values[curve.steps >= step].max()))
        text = f"{_names(keys)} vanished: {most} at most since {run.unit} {step}. Such gradients train nothing."
        yield _insight("vanishing-gradients", "warning", text, keys[0], step, int(curve.steps[-1]))


def dead_tower(run: Run) -> Iterator[Insight]:
    """A tower whose weights stand still: from the start, or while another tower's move."""
    measured = {
        name: [key for key in keys if len(run.finite(key).steps)] for name, keys in towers_of(run.metrics).items()
    }
    towers = {name: keys for name, keys in measured.items() if keys}
    for name, keys in towers.items():
        since = max(_still_since(run.finite(key)) for key in keys)
        steps = run.finite(keys[0]).steps
        if int((steps >= since).sum()) < FEWEST_STILL:
            continue
        moved = since > int(steps[0])
        if not moved or any(_moves(run.finite(other[0]), since) for other in towers.values()):
            whose = f"The {name} tower is dead: its weights" if name else "The weights"
            when = f"have not moved since {run.unit} {since}" if moved else "have never moved"
            yield _insight("dead-tower", "warning", f"{whose} {when}.", keys[0], since, int(steps[-1]))


def diverging_loss(run: Run) -> Iterator[Insight]:
    """A training loss that has given back much of what it had won."""
    key = run.trained_by or ""
    trend = run.trends.get(key)
    if trend and _diverged(trend):
        first, last = int(trend.steps[np.argmin(trend.levels)]), int(run.finite(key).steps[-1])
        text = (
            f"{_label(key, first=True)} has risen from about {_figure(trend.least)} at {run.unit} {first} to about "
            f"{_figure(trend.last)}: training diverges."
        )
        yield _insight("diverging-loss", "warning", text, key, first, last)


def no_improvement(run: Run) -> Iterator[Insight]:
    """A training loss that never fell."""
    key = run.trained_by or ""
    trend = run.trends.get(key)
    if trend is None or len(run.finite(key).steps) < FEWEST_UNIMPROVED:
        return
    if _never_improved(trend) and not _diverged(trend):
        first, last = int(trend.steps[0]), int(run.finite(key).steps[-1])
        text = f"{_label(key, first=True)} has not improved in {_count(last - first, run.unit)}."
        yield _insight("no-improvement", "warning", text, key, first, last)


def overfitting(run: Run) -> Iterable[Insight]:
    """Validation turns up while training goes on falling."""
    return run.overfitting.values()


def plateau(run: Run) -> Iterator[Insight]:
    """A loss that had improved, and has stopped."""
    for key, trend in run.trends.items():
        begin = _begin_of_plateau(trend)
        if begin is not None:
            first, last = int(trend.steps[begin]), int(run.finite(key).steps[-1])
            count = _count(last - first, run.unit)
            text = f"{_label(key, first=True)} has hardly improved since {run.unit} {first}: a plateau of {count}."
            yield _insight("plateau", "info", text, key, first, last)


def best_epoch(run: Run) -> Iterator[Insight]:
    """Where the validation loss, or the training loss, is lowest. Overfitting says so itself."""
    key = run.judged_by
    if key is None or key in run.overfitting or len(run.finite(key).steps) < FEWEST_BEST:
        return
    curve = run.finite(key)
    best = int(np.argmin(curve.values))
    step, after = int(curve.steps[best]), int(run.curves[key].steps[-1] - curve.steps[best])
    where = f"{_count(after, run.unit)} before the last" if after else "the last"
    text = f"{_label(key, first=True)} is lowest at {run.unit} {step} ({_figure(curve.values[best])}), {where}."
    yield _insight("best-epoch", "info", text, key, step)


def slowing_down(run: Run) -> Iterator[Insight]:
    """Epochs that take twice as long at the end as at the beginning."""
    if run.timing is None or len(run.timing.lasted) < 2 * FEWEST_COMPARED:
        return
    quarter = len(run.timing.lasted) // 4
    first, last = run.timing.lasted[:quarter], run.timing.lasted[-quarter:]
    before, after = float(np.median(first)), float(np.median(last))
    apart = np.percentile(last, 25) > np.percentile(first, 75)
    if apart and after >= SLOWING * before and after - before >= SLOWING_LEAST:
        text = (
            f"{run.unit.capitalize()}s have become slower: {_duration(before)} at first, {_duration(after)} at the end."
        )
        steps = run.timing.steps
        yield _insight("slowing-down", "warning", text, run.timed_by, int(steps[-quarter]), int(steps[-1]))


def slow_epochs(run: Run) -> Iterator[Insight]:
    """Single epochs that took far longer than the others."""
    if run.timing is None or len(run.timing.lasted) < FEWEST_COMPARED:
        return
    lasted, usual = run.timing.lasted, run.timing.usual
    slow = np.flatnonzero((lasted > SLOW * usual) & (lasted - usual > SLOW_LEAST))
    if 0 < len(slow) <= max(1, SLOW_SHARE * len(lasted)):
        steps = run.timing.steps[slow + 1]
        longest = int(np.argmax(lasted[slow]))
        took = float(lasted[slow[longest]])
        others = f"; {_count(len(slow) - 1, 'other')} took far longer than usual too" if len(slow) > 1 else ""
        text = (
            f"{run.unit.capitalize()} {steps[longest]} took {_duration(took)}, {took / usual:,.0f} times the median of "
            f"{_duration(usual)}{others}."
        )
        yield _insight("slow-epochs", "info", text, run.timed_by, int(steps[0]), int(steps[-1]))


def throughput(run: Run) -> Iterator[Insight]:
    """How long an epoch took."""
    if run.timing:
        usual, steps = run.timing.usual, run.timing.steps
        period, length = ("a minute", 60_000) if usual <= 60_000 else ("an hour", 3_600_000)
        rate = _figure(length / usual)
        units = run.unit if rate == "1" else f"{run.unit}s"
        text = f"{run.unit.capitalize()}s took {_duration(usual)} each (median): {rate} {units} {period}."
        yield _insight("throughput", "info", text, run.timed_by, int(steps[0]), int(steps[-1]))


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
    "slow-epochs": slow_epochs,
    "throughput": throughput,
}
"""Statements alike in severity and epoch come in this order."""


@dataclass(frozen=True)
class Leap:
    """Where a gradient norm leaves what was usual until then, and whether it stays away."""

    key: str
    step: int
    value: float
    times: float
    stays: bool


def _leap(run: Run, key: str) -> Leap | None:
    curve = run.finite(key)
    if len(curve.steps) <= FEWEST_BEFORE:
        return None
    # What is usual at each epoch is the geometric mean of all before it: one leap counts for little in it.
    logs = np.log(np.maximum(np.abs(curve.values), EXPLODED_FLOOR))
    usual = np.exp(np.cumsum(logs)[:-1] / np.arange(1, len(logs)))
    times = np.concatenate([[0.0], np.abs(curve.values[1:]) / usual])
    leaps = np.flatnonzero(times[FEWEST_BEFORE:] >= EXPLODED) + FEWEST_BEFORE
    if not len(leaps):
        return None
    place = int(leaps[0])
    after = np.abs(curve.values[place:])
    high = len(after) >= FEWEST_AFTER and float(np.median(after)) >= EXPLODED_STAYS * usual[place - 1]
    lost = not np.isfinite(run.curves[key].values[-1])
    return Leap(key, int(curve.steps[place]), float(curve.values[place]), float(times[place]), bool(high or lost))


def _not_finite(run: Run, step: int, places_of: Mapping[str, Indices], followed: bool) -> Insight:
    """Of the metrics whose first value that is not finite is at ``step``; ``places_of`` has all their places."""
    keys = sorted(places_of, key=lambda key: (key not in LABELS, not is_vital(key), is_histogram(key), key))
    found = [(run.curves[key], places_of[key]) for key in keys]
    last = max(int(curve.steps[places[-1]]) for curve, places in found)
    kind = _kind(np.concatenate([curve.values[places] for curve, places in found]))
    is_, was = ("is", "was") if len(keys) == 1 else ("are", "were")
    if not followed:
        text = f"{_names(keys)} {is_} {kind}."
    elif all(len(curve.steps) - places[0] == len(places) for curve, places in found):
        text = f"{_names(keys)} {is_} {kind} from {run.unit} {step} on."
    else:
        until = "" if last == step else f", last at {run.unit} {last}"
        text = f"{_names(keys)} {was} {kind} at {run.unit} {step}{until}."
    lost = any(is_vital(key) and not np.isfinite(run.curves[key].values[-1]) for key in keys)
    return _insight("non-finite", "error" if lost else "warning", text, keys[0], step, last)


def _kind(values: Values) -> str:
    if np.isnan(values).all():
        return "NaN"
    return "NaN or infinite" if np.isnan(values).any() else "infinite"


def _still_since(curve: Curve) -> int:
    """The step from which on the curve stays at its last value."""
    last = curve.values[-1]
    return int(curve.steps[begin_of_tail(np.abs(curve.values - last) <= STILL * abs(last))])


def _moves(curve: Curve, since: int) -> bool:
    values = curve.values[curve.steps >= since]
    return len(values) > 1 and float(np.ptp(values)) > MOVING * abs(float(values[-1]))


def _never_improved(trend: Trend) -> bool:
    third = len(trend.levels) // 3
    gained = float(np.median(trend.levels[:third]) - np.median(trend.levels[-third:]))
    nothing = UNIMPROVED * abs(trend.start)
    return (
        trend.fall <= max(UNIMPROVED_NOISE * trend.scatter, nothing)
        and float(trend.levels[0]) - trend.least <= max(UNIMPROVED_NOISE * trend.noise, nothing)
        and gained <= max(UNIMPROVED_THIRDS * trend.noise, nothing)
    )


def _diverged(trend: Trend) -> bool:
    after = len(trend.levels) - 1 - int(np.argmin(trend.levels))
    least = (DIVERGED_NOISE * trend.noise, DIVERGED_OF_FALL * trend.fall, DIVERGED_OF_LEAST * abs(trend.least))
    return after >= WINDOW and trend.rise > max(least)


def _begin_of_plateau(trend: Trend) -> int | None:
    """The block where the last, flat part of a curve begins."""
    small = PLATEAU_IMPROVEMENT * trend.fall
    if _never_improved(trend) or trend.rise > small + UNIMPROVED_NOISE * trend.noise:
        return None
    begin = int(np.argmax(trend.levels <= trend.least + small + trend.noise))
    tail = trend.levels[begin:]
    if len(tail) * trend.size < FEWEST_TREND or len(tail) < PLATEAU_TAIL * len(trend.levels):
        return None
    half = len(tail) // 2
    return begin if np.median(tail[:half]) - np.median(tail[half:]) <= small else None


def _turn(run: Run, pair: Pair) -> Insight | None:
    """Overfitting, where the pair shows it."""
    training, validation = run.finite(pair.training), run.finite(pair.validation)
    if len(validation.steps) < FEWEST_TREND or not len(training.steps):
        return None
    trained = at_steps_of(training, validation)
    best = int(np.argmin(pair.sign * validation.values))
    if trained is None or not _turns_up(Trend.of(validation.steps, pair.sign * validation.values), best):
        return None
    if not _goes_on_falling(Trend.of(validation.steps, pair.sign * trained), best):
        return None
    lowest, risen, falling = ("lowest", "risen", "falling") if pair.sign == 1 else ("highest", "fallen", "rising")
    first, last = int(validation.steps[best]), int(validation.steps[-1])
    text = (
        f"{_label(pair.validation, first=True)} is {lowest} at {run.unit} {first} ({_figure(validation.values[best])}) "
        f"and has {risen} for {_count(last - first, run.unit)} since, while {_label(pair.training)} kept {falling}: "
        "overfitting."
    )
    return _insight("overfitting", "warning", text, pair.validation, first, last)


def _turns_up(trend: Trend, best: int) -> bool:
    """Whether the curve has risen since its best position, for good, beyond its noise and by an amount that matters."""
    place = best // trend.size
    base, after = float(trend.levels[place]), trend.levels[place + 1 :]
    if len(after) < WINDOW:
        return False
    won = trend.start - base
    matters = OVERFITTING_OF_BEST * abs(base)
    if won > 0:
        matters = min(matters, OVERFITTING_OF_FALL * won)
    return trend.last - base > max(matters, OVERFITTING_NOISE * trend.noise) and bool(
        (after > base).mean() >= SUSTAINED
    )


def _goes_on_falling(trend: Trend, best: int) -> bool:
    """Whether the curve has fallen since that position, beyond its noise and by an amount that matters."""
    base = float(trend.levels[best // trend.size])
    matters = min(TRAINING_OF_LEVEL * abs(base), TRAINING_OF_FALL * trend.fall)
    return base - trend.last > max(matters, trend.noise)


def _gravity(insight: Insight) -> tuple[int, int]:
    return SEVERITIES.index(insight["severity"]), insight["epochs"][0]


def _insight(
    rule: str, severity: Severity, text: str, metric: str | None, first: int, last: int | None = None
) -> Insight:
    epochs = [first] if last in (None, first) else [first, int(last)]
    return {"rule": rule, "severity": severity, "text": text, "metric": metric, "epochs": epochs}


def _label(key: str, first: bool = False) -> str:
    """What a sentence calls the metric."""
    label = LABELS.get(key, key)
    return label.capitalize() if first and key in LABELS else label


def _names(keys: Sequence[str]) -> str:
    names = list(keys[:MOST_NAMES])
    if len(keys) > MOST_NAMES:
        names.append(_count(len(keys) - MOST_NAMES, "other metric"))
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _figure(value: float) -> str:
    """Four digits: 0.8312, 53,120, 1.2e-08."""
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _duration(milliseconds: float) -> str:
    for unit, length, least in (("h", 3_600_000, 2), ("min", 60_000, 2), ("s", 1000, 1)):
        if milliseconds >= least * length:
            return f"{milliseconds / length:.3g} {unit}"
    return f"{milliseconds:.3g} ms"
