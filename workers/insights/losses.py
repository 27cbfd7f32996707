"""Rules about losses: divergence, no improvement, overfitting, plateaus, and the best epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from warmboard.contract.entries import Insight
from workers.history.roles import Pair
from workers.insights.run import FEWEST_TREND, Run
from workers.insights.trend import WINDOW, Trend, at_steps_of, median
from workers.insights.words import count, figure, insight_of, label

FEWEST_BEST = 3
"""Min number of epochs: with one or two, the best is obvious."""
OVERFITTING_NOISE = 5.0
"""Multiple of the noise. The difference of two medians of five has a standard error of 0.8 times the noise, and the min
of many levels is lower still."""
OVERFITTING_OF_BEST, OVERFITTING_OF_FALL = 0.02, 0.2
"""Min rise of the validation loss: 2 % of the best level or a fifth of the fall until then, whichever is less."""
SUSTAINED = 0.7
"""Min share of the levels after the best epoch that lie above it."""
TRAINING_OF_LEVEL, TRAINING_OF_FALL = 0.01, 0.05
"""Min further fall of the training loss: 1 % of its level or a twentieth of its whole fall, whichever is less."""
PLATEAU_IMPROVEMENT = 0.01
"""Max share of the whole fall that happens on a plateau."""
PLATEAU_TAIL = 0.25
"""Min share of the run. Every converging curve flattens; a shorter plateau is not worth a statement."""
UNIMPROVED_NOISE, UNIMPROVED = 2.0, 0.001
"""Multiple of the noise: by chance alone, the min of many noisy levels is about this far below the first.

Without noise, 0.1 % of the start."""
UNIMPROVED_THIRDS = 0.5
"""Multiple of the noise by which the last third of the run may be lower than the first."""
FEWEST_UNIMPROVED = 20
"""Min number of epochs, because some runs start slowly."""
DIVERGED_NOISE, DIVERGED_OF_FALL, DIVERGED_OF_LEAST = 5.0, 0.5, 0.1
"""Min rise: 5 times the noise, half of the whole fall, and a tenth of the min level. Less is a fluctuation."""


def diverging_loss(run: Run) -> Iterator[Insight]:
    """Find a training loss that has risen far above its min."""
    key = run.trained_by or ""
    trend = run.trends.get(key)
    if trend and _diverged(trend):
        first, last = int(trend.steps[np.argmin(trend.levels)]), int(run.finite(key).steps[-1])
        text = (
            f"{label(key, first=True)} has risen from about {figure(trend.least)} at {run.unit} {first} to about "
            f"{figure(trend.last)}: training diverges."
        )
        yield insight_of("diverging-loss", "warning", text, key, first, last)


def no_improvement(run: Run) -> Iterator[Insight]:
    """Find a training loss that never fell."""
    key = run.trained_by or ""
    trend = run.trends.get(key)
    if trend is None or len(run.finite(key).steps) < FEWEST_UNIMPROVED:
        return
    if _never_improved(trend) and not _diverged(trend):
        first, last = int(trend.steps[0]), int(run.finite(key).steps[-1])
        text = f"{label(key, first=True)} has not improved in {count(last - first, run.unit)}."
        yield insight_of("no-improvement", "warning", text, key, first, last)


def overfitting(run: Run) -> Iterable[Insight]:
    """Find pairs whose validation side gets worse while the training side still improves."""
    return filter(None, (_turn(run, pair) for pair in run.pairs))


def plateau(run: Run) -> Iterator[Insight]:
    """Find losses that improved and then stopped."""
    for key, trend in run.trends.items():
        begin = _begin_of_plateau(trend)
        if begin is not None:
            first, last = int(trend.steps[begin]), int(run.finite(key).steps[-1])
            flat = count(last - first, run.unit)
            text = f"{label(key, first=True)} has hardly improved since {run.unit} {first}: a plateau of {flat}."
            yield insight_of("plateau", "info", text, key, first, last)


def best_epoch(run: Run) -> Iterator[Insight]:
    """Name the epoch with the min validation loss, or training loss. Skipped if overfitting names it."""
    key = run.judged_by
    if key is None or len(run.finite(key).steps) < FEWEST_BEST:
        return
    if any(pair.validation == key and _turn(run, pair) for pair in run.pairs):
        return
    curve = run.finite(key)
    best = int(np.argmin(curve.values))
    step, after = int(curve.steps[best]), int(run.curves[key].steps[-1] - curve.steps[best])
    where = f"{count(after, run.unit)} before the last" if after else "the last"
    text = f"{label(key, first=True)} is lowest at {run.unit} {step} ({figure(curve.values[best])}), {where}."
    yield insight_of("best-epoch", "info", text, key, step)


def _never_improved(trend: Trend) -> bool:
    third = len(trend.levels) // 3
    gained = median(trend.levels[:third]) - median(trend.levels[-third:])
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
    """The block where the flat tail of a curve begins; None without one."""
    small = PLATEAU_IMPROVEMENT * trend.fall
    if _never_improved(trend) or trend.rise > small + UNIMPROVED_NOISE * trend.noise:
        return None
    begin = int(np.argmax(trend.levels <= trend.least + small + trend.noise))
    tail = trend.levels[begin:]
    if len(tail) * trend.size < FEWEST_TREND or len(tail) < PLATEAU_TAIL * len(trend.levels):
        return None
    half = len(tail) // 2
    return begin if median(tail[:half]) - median(tail[half:]) <= small else None


def _turn(run: Run, pair: Pair) -> Insight | None:
    """The statement about overfitting; None if the pair shows none. It is found once."""
    if pair not in run.turns:
        run.turns[pair] = _found_turn(run, pair)
    return run.turns[pair]


def _found_turn(run: Run, pair: Pair) -> Insight | None:
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
        f"{label(pair.validation, first=True)} is {lowest} at {run.unit} {first} ({figure(validation.values[best])}) "
        f"and has {risen} for {count(last - first, run.unit)} since, while {label(pair.training)} kept {falling}: "
        "overfitting."
    )
    return insight_of("overfitting", "warning", text, pair.validation, first, last)


def _turns_up(trend: Trend, best: int) -> bool:
    """Whether the curve has risen since position ``best`` and stayed up, by more than its noise and the min rise."""
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
    """Whether the curve has fallen since position ``best``, by more than its noise and the min fall."""
    base = float(trend.levels[best // trend.size])
    matters = min(TRAINING_OF_LEVEL * abs(base), TRAINING_OF_FALL * trend.fall)
    return base - trend.last > max(matters, trend.noise)
