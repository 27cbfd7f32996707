"""The overhead of tracking: the same model, tracked in two ways, in turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.children import BAD, address_of, child
from benchmarks.report import Measure, say

KIB = 1024
WALL, CPU = "wall", "cpu"
NOTHING, DROPPED = "without tracking", "log drops all"
AUTOLOG = "mlflow.tensorflow.autolog"

Fit = Mapping[str, Any]
"""The output of `benchmarks.fits` for one training."""


def measure(server: str, pubsub: str) -> Iterator[Measure]:
    """All measures, with this tracking server and this HOST:PORT of Pub/Sub."""

    def turns(way: str, other: str) -> tuple[Fit, Fit]:
        say(f"in turns: {way} and {other}")
        one, two = child("benchmarks.fits", [way, other], server, pubsub)
        return one, two

    def alone(way: str) -> Fit:
        say(f"alone: {way}")
        [fit] = child("benchmarks.fits", [way], server, pubsub)
        return dict(fit)

    same = turns("nothing", "nothing")
    yield _ratio(f"epoch, {NOTHING} / the same: what the machine adds", *same)
    yield _ratio("its processor time / the same", *same, what=CPU)
    say("step by step: gradient statistics")
    steps = child("benchmarks.steps", ["gradients"], server, pubsub)
    yield _ratio("training step, gradient statistics / without", *steps, most=1.05)
    yield _ratio("its processor time / without", *steps, most=1.08, what=CPU)
    for health, what in {"healthy": "healthy server", **BAD}.items():
        say(f"short epochs: tracked and dropped, server: {health}")
        with address_of(server, health) as address:
            told = child("benchmarks.steps", ["tracking"], address, pubsub)
        yield _added(f"epoch, tracked, {what} / {DROPPED}", **told[WALL])
        yield _added("its processor time, of all threads / the same", **told[CPU])
    yield _ratio(f"epoch, all of it tracked / {NOTHING}", *turns("tracked", "nothing"))
    yield _ratio(f"epoch, all of it tracked / {AUTOLOG}", *turns("tracked", "autolog"))
    yield from _of_requests(alone("nothing"), alone("tracked"), alone("autolog"))


def _ratio(name: str, value: Fit, reference: Fit, *, most: float | None = None, what: str = WALL) -> Measure:
    """The median ratio of the times of consecutive turns, and its quartiles. If the budget is between these, the
    verdict depends as much on the machine as on us.
    """
    ratios = [one / other for one, other in zip(value[what], reference[what], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    quartiles = f"quartiles {low:.3f} to {high:.3f}"
    budget, holds = (f"≤ {most:g}, {quartiles}", middle <= most) if most else (quartiles, True)
    # The reference is chosen to give the ratio of the turns: the medians of each would compare different minutes.
    own = statistics.median(value[what])
    return Measure(name, own, "ms", own / middle, budget, holds)


def _added(name: str, added: list[float], epoch: float) -> Measure:
    """The overhead of tracking per epoch: its median over short epochs, with the median's 95 % confidence interval,
    from the ranks of a binomial distribution.
    """
    middle, rank = len(added) // 2, int(1.96 * math.sqrt(len(added)) / 2) + 1
    low, median, high = (sorted(added)[place] for place in (middle - rank, middle, middle + rank))
    budget = f"≤ 1.02, adds {low:.1f} to {high:.1f} ms"
    return Measure(name, epoch + median, "ms", epoch, budget, epoch + median <= 1.02 * epoch)


def _of_requests(nothing: Fit, tracked: Fit, autolog: Fit) -> Iterator[Measure]:
    """Calls and bytes. Autolog sends only now and then, so its epochs are averaged."""
    calls, size = statistics.median(tracked["calls"]), statistics.median(tracked["bytes"])
    others, others_size = statistics.mean(autolog["calls"]), statistics.mean(autolog["bytes"])
    yield Measure(f"HTTP calls an epoch, tracked / {AUTOLOG}", calls, "", others, "1", calls <= 1)
    yield Measure(f"request bytes an epoch, tracked / {AUTOLOG}", size / KIB, "KiB", others_size / KIB)
    yield Measure(
        f"HTTP calls of a fit of 10 epochs, tracked / {AUTOLOG}", tracked["all_calls"], "", autolog["all_calls"]
    )
    yield Measure(f"metrics that {AUTOLOG} logs", autolog["metrics"], "")
    yield Measure(f"peak memory of a training, tracked / {NOTHING}", tracked["peak"], "MiB", nothing["peak"])
