"""What tracking adds to the epochs of a training: the same model, tracked in every way, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.children import BAD, address_of, child
from benchmarks.report import Measure, say

ROUNDS = 3
KIB = 1024

Fits = Mapping[str, Sequence[Mapping[str, Any]]]
"""Way → what `benchmarks.fits` told, round by round."""

# In this order; each round begins elsewhere, so that what drifts, drifts for all.
SERVER_OF = {
    "nothing": "healthy",
    "gradients": "healthy",
    "dropped": "healthy",
    "tracked": "healthy",
    "slow": "slow",
    "dead": "dead",
    "silent": "silent",
}
AUTOLOGS = ("mlflow.tensorflow.autolog", "mlflow.keras.autolog")
ONCE = ("losses and weights", *AUTOLOGS)
"""Without a budget, and a third of a minute each: measured in the first round alone."""


def measure(server: str, pubsub: str) -> Iterator[Measure]:
    """Every measure, with this tracking server and this HOST:PORT of Pub/Sub."""
    return _of_fits(_fits(server, pubsub))


def _fits(server: str, pubsub: str) -> Fits:
    """Every way, round by round, each time in a process of its own."""
    fits: dict[str, list[Mapping[str, Any]]] = {way: [] for way in (*SERVER_OF, *ONCE)}
    for number in range(ROUNDS):
        begin = number * len(SERVER_OF) // ROUNDS
        ways = [*SERVER_OF][begin:] + [*SERVER_OF][:begin]
        for way in ways if number else (*ways, *ONCE):
            say(f"round {number + 1} of {ROUNDS}: {way}")
            health = SERVER_OF.get(way, "healthy")
            with address_of(server, health) as address:
                fits[way].append(child("benchmarks.fits", "tracked" if way in BAD else way, address, pubsub))
    return fits


def _of_fits(fits: Fits) -> Iterator[Measure]:
    nothing, dropped, tracked, gradients = (fits[way] for way in ("nothing", "dropped", "tracked", "gradients"))
    yield Measure("noise: spread of the rounds' medians, without tracking", _spread(nothing, "wall"), "%")
    yield Measure("noise: spread of the rounds' medians, log drops all", _spread(dropped, "wall"), "%")
    yield _at_most("epoch, tracked / same statistics, log drops all", tracked, dropped, 1.02)
    yield _at_most("epoch's processor time, tracked / log drops all", tracked, dropped, None, "cpu")
    yield _at_most("epoch, gradient statistics / without", gradients, nothing, 1.05)
    yield _at_most("epoch's processor time, gradient statistics / without", gradients, nothing, 1.08, "cpu")
    yield _at_most("epoch, losses and weights tracked / without", fits["losses and weights"], nothing, None)
    yield _at_most("epoch, all of it tracked / without", tracked, nothing, None)
    yield _at_most("epoch's processor time, all of it tracked / without", tracked, nothing, None, "cpu")
    for autolog in AUTOLOGS:
        yield _at_most(f"epoch, {autolog} / without", fits[autolog], nothing, None)
        yield _at_most(f"epoch, all of it tracked / {autolog}", tracked, fits[autolog], None)
    for way, what in BAD.items():
        yield _at_most(f"epoch, {what} / log drops all", fits[way], dropped, 1.02)
        yield _at_most(f"epoch, {what} / without tracking", fits[way], nothing, None)
        yield _loop(f"loop of 8 epochs, {what} / log drops all", fits[way], dropped, 1.02)
    for autolog in AUTOLOGS:
        yield from _of_requests(autolog, tracked, fits[autolog])
    peaks = (statistics.median(fit["peak"] for fit in each) for each in (tracked, nothing))
    yield Measure("peak memory of a training, tracked / without", next(peaks), "MiB", next(peaks))


def _of_requests(
    name: str, tracked: Sequence[Mapping[str, Any]], autolog: Sequence[Mapping[str, Any]]
) -> Iterator[Measure]:
    """Autolog sends what it has now and then: of its epochs, the mean."""
    calls, others, size, others_size = (
        of(value for fit in each for value in fit[what])
        for what in ("calls", "bytes")
        for of, each in ((statistics.median, tracked), (statistics.mean, autolog))
    )
    yield Measure(f"HTTP calls an epoch, tracked / {name}", calls, "", others, "1", calls <= 1)
    yield Measure(f"request bytes an epoch, tracked / {name}", size / KIB, "KiB", others_size / KIB)
    [fit] = autolog
    yield Measure(f"HTTP calls of {name} in a fit of 10 epochs", fit["all_calls"], "")
    yield Measure(f"metrics that {name} logs", fit["metrics"], "")


def _at_most(
    name: str, value: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], most: float | None,
    what: str = "wall",
) -> Measure:  # fmt: skip
    """Medians over all epochs of all rounds."""
    return _verdict(name, _median(value, what), _median(reference, what), most, _spread(reference, what))


def _loop(
    name: str, value: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], most: float
) -> Measure:
    """Medians over the rounds of the time of all measured epochs: one that stalled counts here."""
    own, other = (statistics.median(sum(fit["wall"]) for fit in each) for each in (value, reference))
    return _verdict(name, own, other, most, _spread(reference, "wall"))


def _verdict(name: str, value: float, reference: float, most: float | None, noise: float) -> Measure:
    """The noise stands beside the budget: where it is larger than the margin, neither verdict means much."""
    if most is None:
        return Measure(name, value, "ms", reference)
    return Measure(name, value, "ms", reference, f"≤ {most:g} (noise {noise:.1f} %)", value <= reference * most)


def _spread(fits: Sequence[Mapping[str, Any]], what: str) -> float:
    """By how much the medians of the rounds differ, in percent of their median."""
    medians = [statistics.median(fit[what]) for fit in fits]
    spread: float = (max(medians) - min(medians)) / statistics.median(medians) * 100
    return spread


def _median(fits: Sequence[Mapping[str, Any]], what: str) -> float:
    found: float = statistics.median(value for fit in fits for value in fit[what])
    return found
