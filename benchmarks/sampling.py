"""Sampling: ours compared with tsdownsample's MinMaxLTTB, in speed and in lost extremes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from tsdownsample import MinMaxLTTBDownsampler

from benchmarks.report import Measure, median_ms
from benchmarks.runs import epoch_keys
from warmboard.contract import settings as setting
from warmboard.contract.entries import EntryKey, HistogramType, Resolution, Tower
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling, envelope, kept
from workers.history.fetched import FetchedRun
from workers.history.points import Indices, Points, Values

KIB = 1024
LENGTHS = (100, 1_000, 10_000, 100_000)
CURVES = 134
SPIKES = 20
"""Outliers per curve, which a viewer looks for."""
MOST = 64
POINTS = setting.OVERVIEW_POINTS.read({})
INTERVAL = setting.EPOCH_SAMPLE_INTERVAL.read({})


def measure() -> list[Measure]:
    return [measured for length in LENGTHS for measured in _of_length(length)]


def _of_length(length: int) -> Iterator[Measure]:
    epochs, curves = np.arange(length), _curves(length)
    positions = kept(length, INTERVAL, POINTS)
    downsampler = MinMaxLTTBDownsampler()

    def ours() -> None:
        for curve in curves:
            envelope(curve, kept(length, INTERVAL, POINTS))

    def theirs() -> None:
        for curve in curves:
            downsampler.downsample(epochs, curve, n_out=POINTS)

    if length > POINTS:
        yield Measure(
            f"sample {CURVES} curves of {length:,} / MinMaxLTTB", median_ms(ours, 5), "ms", median_ms(theirs, 5)
        )
        lost_ours = sum(_lost_to_envelope(curve, positions) for curve in curves)
        lost_theirs = sum(_lost(curve, downsampler.downsample(epochs, curve, n_out=POINTS)) for curve in curves)
        name = f"spikes lost of {CURVES * SPIKES:,}, {length:,} epochs / MinMaxLTTB"
        yield Measure(name, lost_ours, "", lost_theirs, "none", lost_ours == 0)
    run = _run(length)
    sampling = Sampling(INTERVAL, POINTS)
    yield Measure(
        f"documents of {length:,} epochs, sampled, encoded, compressed",
        median_ms(lambda: RunDocuments(run, sampling, datetime.now(UTC)).entries(), 3),
        "ms",
    )
    entries = RunDocuments(run, sampling, datetime(2026, 1, 1, tzinfo=UTC)).entries()
    overview = EntryKey.history(run.run_id, Resolution.OVERVIEW)
    histogram = EntryKey.histogram(run.run_id, HistogramType.WEIGHTS, Tower.QUERY, Resolution.OVERVIEW)
    for what, key in (("history", overview), ("histogram", histogram)):
        size = len(entries[key].gzip) / KIB
        yield Measure(f"overview of {length:,} epochs, {what}, gzip", size, "KiB", MOST, f"≤ {MOST} KiB", size <= MOST)
    total = sum(len(entry.zstd) for entry in entries.values()) / KIB
    yield Measure(f"all bodies of {length:,} epochs, zstd", total, "KiB")


def _curves(length: int) -> list[Values]:
    """Falling curves with noise, each with spikes up and down at random epochs."""
    random = np.random.default_rng(1)
    curves = 1 / (1 + np.arange(length)) + random.normal(scale=0.01, size=(CURVES, length))
    for curve in curves:
        places = random.choice(length, size=min(SPIKES, length), replace=False)
        curve[places] += random.choice([-1, 1], size=len(places)) * random.uniform(1, 5, size=len(places))
    return list(curves)


def _spikes(curve: Values) -> Indices:
    return np.argsort(np.abs(curve - np.median(curve)))[-SPIKES:]


def _lost(curve: Values, positions: Indices) -> int:
    """The number of spikes that are not among the sampled values."""
    return int(np.isin(_spikes(curve), positions, invert=True).sum())


def _lost_to_envelope(curve: Values, positions: Indices) -> int:
    """The number of spikes outside the envelope of their stretch."""
    low, high = envelope(curve, positions)
    stretch = np.searchsorted(positions, _spikes(curve))
    values = curve[_spikes(curve)]
    return int(((values < low[stretch]) | (values > high[stretch])).sum())


def _run(length: int) -> FetchedRun:
    """Random values, the worst case for compression."""
    random, steps = np.random.default_rng(1), np.arange(length)
    points = {key: Points(steps, np.abs(random.normal(size=length)), steps) for key in epoch_keys()}
    for tower in Tower:
        for number in range(25):
            for stem in ("hist", "grad_hist"):
                counts = random.integers(0, 100_000, size=length).astype(np.float64)
                points[f"{tower}_{stem}_bin_{number}"] = Points(steps, counts, steps)
    edges = ",".join(map(repr, np.linspace(-1, 1, 26).tolist()))
    params = {f"{tower}_grad_hist_bin_edges": edges for tower in Tower}
    return FetchedRun("r" * 32, "benchmark", "benchmark", "FINISHED", None, None, params, {}, points)
