"""Sample curves and runs for the tests of insights."""

from collections.abc import Iterable, Mapping

import numpy as np

from warmboard.contract.entries import Insight
from workers.history.drawing import Curve
from workers.history.unit import unit_of
from workers.insights.rules import insights

BEGIN = 1_700_000_000_000

Curves = dict[str, Curve]

# Runs of the trainer on real purchases: adam at 0.001, adagrad at 0.1, and adam at 0.0001.
OVERFITTED = [
    [7.303, 7.1693, 6.9309, 6.8958, 6.8822, 6.8747, 6.8677, 6.8567, 6.8356, 6.8056, 6.7674, 6.7244, 6.6792, 6.6351,
     6.5983, 6.5688, 6.5449, 6.5243, 6.5051, 6.4863, 6.4673, 6.4491, 6.432, 6.4162, 6.4015, 6.3874, 6.3734, 6.3593,
     6.345, 6.3306],
    [7.281, 6.9688, 6.9285, 6.9246, 6.9332, 6.9378, 6.9397, 6.9385, 6.938, 6.9299, 6.912, 6.8977, 6.8981, 6.9165,
     6.9372, 6.9554, 6.9757, 6.9953, 7.0136, 7.0316, 7.0517, 7.0727, 7.0946, 7.1167, 7.1376, 7.1573, 7.1755, 7.1931,
     7.2109, 7.2282],
]  # fmt: skip

FLATTENED = [
    [7.3085, 7.3078, 7.3051, 7.2876, 7.1155, 6.9411, 6.9272, 6.9252, 6.9247, 6.9244, 6.9242, 6.9239, 6.9237, 6.9235,
     6.9233, 6.9231, 6.9228, 6.9226, 6.9223, 6.9219, 6.9216, 6.9212, 6.9208, 6.9204, 6.9199, 6.9194, 6.9188, 6.9181,
     6.9174, 6.9166],
    [7.3076, 7.3063, 7.2999, 7.2517, 6.9603, 6.9277, 6.9236, 6.9229, 6.9227, 6.9226, 6.9225, 6.9224, 6.9223, 6.9223,
     6.9222, 6.9221, 6.922, 6.9219, 6.9218, 6.9217, 6.9216, 6.9215, 6.9213, 6.9212, 6.9211, 6.9209, 6.9207, 6.9206,
     6.9204, 6.9202],
]  # fmt: skip

SLOWLY_LEARNED = [
    [7.1338, 7.1337, 7.1337, 7.1336, 7.1336, 7.1335, 7.1335, 7.1334, 7.1333, 7.1333, 7.1332, 7.1331, 7.133, 7.133,
     7.1329, 7.1327, 7.1326, 7.1325, 7.1323, 7.1321, 7.1319, 7.1317, 7.1315, 7.1312, 7.1309, 7.1305, 7.1302, 7.1298,
     7.1293, 7.1289, 7.1283, 7.1278, 7.1271, 7.1265, 7.1257, 7.1249, 7.1241, 7.1231, 7.122, 7.1209],
    [5.5306, 5.5306, 5.5305, 5.5305, 5.5305, 5.5304, 5.5304, 5.5304, 5.5303, 5.5303, 5.5302, 5.5302, 5.5301, 5.5301,
     5.53, 5.5299, 5.5298, 5.5297, 5.5296, 5.5294, 5.5292, 5.5291, 5.5288, 5.5286, 5.5284, 5.5281, 5.5278, 5.5275,
     5.5271, 5.5267, 5.5263, 5.5258, 5.5253, 5.5247, 5.5241, 5.5234, 5.5226, 5.5218, 5.5209, 5.5199],
]  # fmt: skip


def curve(values: Iterable[float], steps: Iterable[int] | None = None, seconds: float | np.ndarray = 10) -> Curve:
    """Make a curve whose steps take ``seconds`` each."""
    array = np.array(list(values), dtype=np.float64)
    axis = np.arange(len(array)) if steps is None else np.array(list(steps))
    elapsed = np.cumsum(seconds) if isinstance(seconds, np.ndarray) else axis * seconds
    return Curve(axis.astype(np.int64), array, (BEGIN + np.asarray(elapsed) * 1000).astype(np.int64))


def losses(training: Iterable[float], validation: Iterable[float]) -> Curves:
    return {"loss": curve(training), "val_loss": curve(validation)}


def said(curves: Mapping[str, Curve]) -> list[Insight]:
    return insights(curves, unit_of(curves, {}))


def found(curves: Mapping[str, Curve], rule: str) -> list[Insight]:
    return [insight for insight in said(curves) if insight["rule"] == rule]


def the(curves: Mapping[str, Curve], rule: str) -> Insight:
    (insight,) = found(curves, rule)
    return insight


def falling(epochs: int, begin: float = 2.0, end: float = 0.5, share: float = 0.2) -> np.ndarray:
    """A loss that has most of its fall in the first ``share`` of the run."""
    return end + (begin - end) * np.exp(-np.arange(epochs) / (share * epochs))


def noise(seed: int, epochs: int, scale: float) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(size=epochs) * scale)


def healthy(seed: int, epochs: int) -> Curves:
    """Healthy runs with the catalogue's metrics: random shapes, noise and epoch times."""
    random = np.random.default_rng(seed)
    time = np.arange(epochs)
    shape = [
        np.exp(-time / (epochs * random.uniform(0.05, 2))),
        (1 + time) ** -random.uniform(0.2, 1.5),
        0.1 + 0.45 * (1 + np.cos(np.pi * time / epochs)),
        np.where(time < epochs / 2, 1.0, 0.7) * (0.5 + 0.5 * np.exp(-10 * time / epochs)),
    ][seed % 4]
    floor, height = random.uniform(0.05, 3), random.uniform(0.5, 8)
    training = height * shape + floor
    gap = random.uniform(0, 0.3) * min(floor, height) * (1 - shape)
    spread = random.choice([0, 0.002, 0.01, 0.03])
    curves = {
        "loss": training * noise(seed, epochs, spread / 2),
        "val_loss": (training + gap) * noise(seed + 1, epochs, spread),
    }
    curves |= {"total_loss": curves["loss"] + 0.01, "val_total_loss": curves["val_loss"] + 0.01}
    for number, tower in enumerate(("query", "candidate")):
        norm = random.uniform(2, 40) * (1 + random.uniform(0.2, 3) * (1 - shape))
        gradient = 10 ** random.uniform(-4, 2) * (shape + 0.05) * noise(seed + 2 + number, epochs, 0.5)
        gradient[random.integers(epochs)] *= 10
        curves |= {f"{tower}_weight_norm": norm.astype(np.float32), f"{tower}_weights_std": norm / 500}
        curves |= {f"{tower}_grad_norm": gradient, f"{tower}_hist_bin_0": random.poisson(100, epochs)}
    seconds = 10 ** random.uniform(-0.5, 2.5) * noise(seed + 4, epochs, 0.15)
    seconds[0] *= 3
    seconds[:: random.integers(4, 10)] *= random.uniform(1, 3)
    return {key: curve(values, seconds=seconds) for key, values in curves.items()}
