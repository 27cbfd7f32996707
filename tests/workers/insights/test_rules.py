"""Every insight where it is due and where it isn't; silence on healthy runs; the page that documents the rules."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.paths import ROOT
from warmboard.contract.entries import Insight
from workers.history.fetched import Curve
from workers.insights import gradients as grad
from workers.insights import losses as loss
from workers.insights import run, timing
from workers.insights.rules import MOST_INSIGHTS, MOST_PER_RULE, RULES, insights
from workers.insights.words import SEVERITIES

PAGE = ROOT / "docs" / "reference" / "insights.md"
BEGIN = 1_700_000_000_000
Curves = dict[str, Curve]

# Runs of the trainer on real purchases, by ``adam`` at 0.001, ``adagrad`` at 0.1, and ``adam`` at 0.0001.
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
    """``seconds`` is how long each step takes."""
    array = np.array(list(values), dtype=np.float64)
    axis = np.arange(len(array)) if steps is None else np.array(list(steps))
    elapsed = np.cumsum(seconds) if isinstance(seconds, np.ndarray) else axis * seconds
    return Curve(axis.astype(np.int64), array, (BEGIN + np.asarray(elapsed) * 1000).astype(np.int64))


def losses(training: Iterable[float], validation: Iterable[float]) -> Curves:
    return {"loss": curve(training), "val_loss": curve(validation)}


def found(curves: Mapping[str, Curve], rule: str) -> list[Insight]:
    return [insight for insight in insights(curves) if insight["rule"] == rule]


def the(curves: Mapping[str, Curve], rule: str) -> Insight:
    (insight,) = found(curves, rule)
    return insight


def falling(epochs: int, begin: float = 2.0, end: float = 0.5, share: float = 0.2) -> np.ndarray:
    """Most of the fall within that share of the run."""
    return end + (begin - end) * np.exp(-np.arange(epochs) / (share * epochs))


def noise(seed: int, epochs: int, scale: float) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(size=epochs) * scale)


def healthy(seed: int, epochs: int) -> Curves:
    """All sorts of good runs of the catalogue: how they fall, how noisy they are, how long their epochs take."""
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


# Silence


@pytest.mark.parametrize("epochs", [10, 15, 30, 50, 100, 400])
def test_no_alarm_on_healthy_runs(epochs: int) -> None:
    alarms = [
        (seed, insight["text"])
        for seed in range(100)
        for insight in insights(healthy(seed, epochs))
        if insight["severity"] != "info"
    ]
    assert alarms == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_no_alarm_on_tiny_runs(epochs: int) -> None:
    for seed in range(50):
        assert {insight["rule"] for insight in insights(healthy(seed, epochs))} <= {"best-epoch", "throughput"}


@pytest.mark.parametrize("epochs", [3, 5, 9])
def test_a_few_bad_epochs_are_no_trend(epochs: int) -> None:
    curves = losses(np.geomspace(2, 0.1, epochs), np.geomspace(1, 3, epochs))
    assert {insight["severity"] for insight in insights(curves)} == {"info"}


def test_a_run_without_curves_has_no_insights() -> None:
    assert insights({}) == []
    assert insights({"loss": curve([])}) == []
    assert insights({"training_accuracy_score": curve([0.9]), "test_loss": curve([0.1])}) == []


def test_a_generator_may_lose() -> None:
    curves = {"g_loss": curve(np.linspace(0.7, 4, 100)), "d_loss": curve(np.linspace(0.7, 0.1, 100))}
    assert {insight["severity"] for insight in insights(curves)} == {"info"}


# One rule after another: true, and false


def test_overfitting_is_stated_with_its_epochs() -> None:
    curves = losses(falling(21), [*np.linspace(2, 0.8312, 13), *np.linspace(0.9, 1.4, 8)])
    insight = the(curves, "overfitting")
    assert insight == {
        "rule": "overfitting",
        "severity": "warning",
        "text": "Validation loss is lowest at epoch 12 (0.8312) and has risen for 8 epochs since, while training loss "
        "kept falling: overfitting.",
        "metric": "val_loss",
        "epochs": [12, 20],
    }
    assert found(curves, "best-epoch") == []


def test_overfitting_of_a_real_run() -> None:
    assert the(losses(*OVERFITTED), "overfitting")["epochs"] == [11, 29]


@pytest.mark.parametrize("curves", [losses(*FLATTENED), losses(*SLOWLY_LEARNED)], ids=["flattened", "slow"])
def test_no_overfitting_of_a_real_run(curves: Curves) -> None:
    assert found(curves, "overfitting") == []


def test_no_overfitting_where_training_rises_too_or_noise_explains_it() -> None:
    turned = np.concatenate([falling(30), np.linspace(0.6, 1.2, 30)])
    assert found(losses(turned, turned + 0.1), "overfitting") == []
    for seed in range(100):
        curves = losses(falling(60) * noise(seed, 60, 0.02), 1 + falling(60) * 0 + noise(seed + 1, 60, 0.1))
        assert found(curves, "overfitting") == []


def test_no_overfitting_by_a_spike_at_the_end() -> None:
    validation = falling(50, end=0.7)
    validation[-2:] = 5.0
    assert found(losses(falling(50), validation), "overfitting") == []


@pytest.mark.parametrize(
    ("training", "validation", "due"),
    [
        # By 2 % of the best, or a fifth of what had been won; training by 1 %, or a twentieth of its whole fall.
        ([2, 1, 0.5], [2, 1, 1.03], True),
        ([2, 1, 0.5], [2, 1, 1.01], False),
        ([2, 1, 0.5], [101, 100, 100.3], True),
        ([2, 1, 0.5], [101, 100, 100.1], False),
        ([1, 1, 0.98], [2, 1, 2], True),
        ([2, 1, 0.995], [2, 1, 2], False),
        ([101, 100, 99.9], [2, 1, 2], True),
        ([101, 100, 99.98], [2, 1, 2], False),
    ],
)
def test_a_turn_that_matters(training: list[float], validation: list[float], due: bool) -> None:
    """Straight lines through three points, without any noise."""
    curves = losses(*(np.interp(range(61), [0, 30, 60], points) for points in (training, validation)))
    assert bool(found(curves, "overfitting")) == due


@pytest.mark.parametrize(("rise", "least", "most"), [(0.0, 0, 0), (0.02, 0, 1), (0.2, 48, 50)])
def test_a_turn_that_stands_out_of_the_noise(rise: float, least: int, most: int) -> None:
    validation = np.interp(range(100), [0, 30, 99], [2, 1, 1 + rise])
    runs = [losses(falling(100), validation * noise(seed, 100, 0.02)) for seed in range(50)]
    assert least <= sum(bool(found(curves, "overfitting")) for curves in runs) <= most


def test_a_turn_in_wandering_noise_is_seldom_one() -> None:
    """Each value is seven tenths of the one before, and noise: one in hundreds does rise from beginning to end."""
    turns = 0
    for seed in range(200):
        hops = np.random.default_rng(seed).normal(size=150)
        wandering = [float(hops[:50] @ 0.7 ** np.arange(50))]
        for hop in hops[50:]:
            wandering.append(0.7 * wandering[-1] + hop)
        turns += len(found(losses(falling(101), 3 + 0.05 * np.array(wandering)), "overfitting"))
    assert turns <= 1


def test_a_rise_at_the_very_end_is_not_one_since_the_best_epoch() -> None:
    validation = np.interp(range(61), [0, 20, 50, 60], [2, 1, 1, 2])
    assert found(losses(falling(61), validation), "overfitting") == []


def test_overfitting_is_stated_once() -> None:
    turned, score = np.interp(range(61), [0, 30, 60], [2, 1, 2]), np.interp(range(61), [0, 30, 60], [0, 0.8, 0.3])
    curves = losses(falling(61), turned)
    curves |= {"total_loss": curves["loss"], "val_total_loss": curves["val_loss"]}
    curves |= {"accuracy": curve(np.linspace(0, 1, 61)), "val_accuracy": curve(score)}
    assert the(curves, "overfitting")["metric"] == "val_loss"


@pytest.mark.parametrize(
    ("training", "validation"),
    [("train/loss", "val/loss"), ("training_rmse", "validation_rmse"), ("train-logloss", "eval-logloss"),
     ("Loss", "Val Loss"), ("train_loss_epoch", "val_loss")],
)  # fmt: skip
def test_pairs_of_any_spelling(training: str, validation: str) -> None:
    turned = np.concatenate([falling(30), np.linspace(0.6, 1.2, 30)])
    curves = {training: curve(falling(60)), validation: curve(turned)}
    assert the(curves, "overfitting")["metric"] == validation


def test_scores_turn_down() -> None:
    turned = np.concatenate([1 - falling(30, 0.9, 0.2), np.linspace(0.75, 0.5, 30)])
    curves = {"accuracy": curve(1 - falling(60, 0.9, 0.05)), "val_accuracy": curve(turned)}
    text = the(curves, "overfitting")["text"]
    assert "is highest at epoch 29" in text
    assert "has fallen for 30 epochs since, while accuracy kept rising" in text
    assert (
        found({"regularization_loss": curve(falling(60)), "val_regularization_loss": curve(turned)}, "overfitting")
        == []
    )


def test_validation_is_aligned_by_step() -> None:
    """Twenty validations in 2,000 training steps, as PyTorch's users log them."""
    steps = np.arange(99, 2000, 100)
    turned = np.concatenate([np.linspace(2, 0.5, 10), np.linspace(0.6, 1.2, 10)])
    training = falling(2000) * noise(1, 2000, 0.1)
    curves = {"train/loss": curve(training), "val/loss": curve(turned, steps)}
    insight = the(curves, "overfitting")
    assert insight["epochs"] == [999, 1999]
    assert "at step 999" in insight["text"]
    # The same validations, counted in epochs beside training that is counted in steps, do not compare.
    assert found(curves | {"val/loss": curve(turned)}, "overfitting") == []


def test_nan_onset_groups_metrics_of_one_epoch() -> None:
    curves = healthy(2, 50)
    for key in ("loss", "val_loss", "query_grad_norm", "query_hist_bin_0"):
        curves[key].values[17:] = np.nan
    insight = the(curves, "non-finite")
    assert insight["text"] == "loss, val_loss, query_grad_norm and 1 other metric are NaN from epoch 17 on."
    assert (insight["severity"], insight["epochs"]) == ("error", [17, 49])
    curves["candidate_grad_norm"].values[20:] = np.inf
    assert [insight["epochs"] for insight in found(curves, "non-finite")] == [[17, 49], [20, 49]]


def test_a_score_that_is_undefined_for_an_epoch_is_no_error() -> None:
    curves = {"loss": curve(falling(20)), "val_f1": curve([np.nan, *np.linspace(0, 1, 19)]), "auc": curve([np.inf])}
    texts = [(insight["severity"], insight["text"]) for insight in found(curves, "non-finite")]
    assert texts == [("warning", "auc is infinite."), ("warning", "val_f1 was NaN at epoch 0.")]
    assert found({"loss": curve(falling(20))}, "non-finite") == []


def test_a_loss_that_recovers_is_a_warning() -> None:
    values = falling(20)
    values[[4, 9]] = np.nan, -np.inf
    insight = the({"loss": curve(values)}, "non-finite")
    assert insight["text"] == "loss was NaN or infinite at epoch 4, last at epoch 9."
    assert (insight["severity"], insight["epochs"]) == ("warning", [4, 9])


def test_exploding_gradients_of_a_tower() -> None:
    norms = 44 * noise(1, 50, 0.3)
    norms[37:] *= np.geomspace(1000, 1e6, 13)
    insight = the(
        {"query_grad_norm": curve(norms), "candidate_grad_norm": curve(44 * noise(2, 50, 0.3))}, "exploding-gradients"
    )
    assert (insight["severity"], insight["metric"], insight["epochs"]) == ("error", "query_grad_norm", [37])
    assert re.match(
        r"query_grad_norm exploded at epoch 37: [\d,]+ is [\d,]+ times its usual size, and it", insight["text"]
    )


def test_a_leap_that_comes_back_is_a_warning_and_towers_share_it() -> None:
    norms = 44 * noise(1, 50, 0.3)
    norms[37] = 44_000
    curves = {"grads/total_norm": curve(norms), "layer1_gradient_norm": curve(norms / 2)}
    insight = the(curves, "exploding-gradients")
    assert insight["severity"] == "warning"
    assert insight["text"].endswith("it came back later. So did layer1_gradient_norm.")


def test_gradients_that_end_as_nan_have_exploded() -> None:
    norms = np.concatenate([np.ones(20), [1000.0], np.full(5, np.nan)])
    assert the({"grad_norm": curve(norms)}, "exploding-gradients")["severity"] == "error"


@pytest.mark.parametrize(
    "norms",
    [np.geomspace(10, 0.01, 50), np.geomspace(0.1, 9, 50), 1e-5 * np.geomspace(1, 1e4, 50), [1, 1, 1, 200, 300, 500]],
    ids=["falling", "warming up", "tiny", "early"],
)
def test_gradients_that_do_not_explode(norms: np.ndarray) -> None:
    assert found({"query_grad_norm": curve(norms)}, "exploding-gradients") == []


@pytest.mark.parametrize(
    ("norms", "due"),
    [
        ([1.0] * 20 + [150.0] * 9, True),
        ([1.0] * 20 + [60.0] * 9, False),
        # What was tiny counts as 0.01.
        ([1e-5] * 20 + [2.0] * 9, True),
        ([1e-5] * 20 + [0.9] * 9, False),
    ],
)
def test_how_large_an_explosion_is(norms: list[float], due: bool) -> None:
    assert bool(found({"grad_norm": curve(norms)}, "exploding-gradients")) == due


@pytest.mark.parametrize(
    ("after", "severity"),
    [([500.0] + [20.0] * 9, "error"), ([500.0] + [4.0] * 9, "warning"), ([500.0, 500.0], "warning")],
    ids=["stays", "comes back", "too early to tell"],
)
def test_whether_an_explosion_stays(after: list[float], severity: str) -> None:
    assert the({"grad_norm": curve([1.0] * 20 + after)}, "exploding-gradients")["severity"] == severity


@pytest.mark.parametrize(
    ("begin", "end", "due"), [(0.01, 5e-8, True), (0.01, 3e-7, False), (1000, 5e-4, True), (1000, 3e-3, False)]
)
def test_how_small_a_vanished_gradient_is(begin: float, end: float, due: bool) -> None:
    assert bool(found({"grad_norm": curve([begin] * 10 + [end] * 10)}, "vanishing-gradients")) == due


@pytest.mark.parametrize(
    ("trembling", "drift", "due"), [(5e-7, 1, True), (3e-6, 1, False), (0, 2e-4, True), (0, 5e-5, False)]
)
def test_how_still_a_dead_tower_stands(trembling: float, drift: float, due: bool) -> None:
    """While the other tower drifts by so much of its norm."""
    dying = np.concatenate([np.linspace(5, 7, 10), 7 * (1 + trembling * (np.arange(20) % 2))])
    drifting = np.concatenate([np.linspace(4, 5, 10), 5 * (1 + np.linspace(0, drift, 20))])
    assert bool(found(towers(dying, drifting), "dead-tower")) == due


def test_vanishing_gradients() -> None:
    norms = np.concatenate([5 * noise(1, 20, 0.3), np.geomspace(5, 1e-9, 5), np.full(15, 1e-9)])
    curves = {"query_grad_norm": curve(norms), "candidate_grad_norm": curve(np.full(40, 5.0))}
    insight = the(curves, "vanishing-gradients")
    assert insight["metric"] == "query_grad_norm"
    assert insight["epochs"] == [23, 39]
    assert found({"grad_norm": curve(np.zeros(6))}, "vanishing-gradients")[0]["epochs"] == [0, 5]


@pytest.mark.parametrize(
    "norms",
    [np.geomspace(10, 1e-3, 50), np.full(50, 1e-6), [1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]],
    ids=["converging", "small", "too short", "back"],
)
def test_gradients_that_do_not_vanish(norms: np.ndarray) -> None:
    assert found({"query_grad_norm": curve(norms)}, "vanishing-gradients") == []


def towers(query: np.ndarray, candidate: np.ndarray) -> Curves:
    return {"query_weight_norm": curve(query), "candidate_weight_norm": curve(candidate)}


def test_a_dead_tower() -> None:
    moving, dying = np.linspace(5, 9, 30), np.concatenate([np.linspace(5, 7, 13), np.full(17, 7.0)])
    insight = the(towers(dying, moving), "dead-tower")
    assert insight["text"] == "The query tower is dead: its weights have not moved since epoch 12."
    assert (insight["metric"], insight["epochs"]) == ("query_weight_norm", [12, 29])
    both = found(towers(np.full(30, 7.0), np.full(30, 6.0)), "dead-tower")
    assert [insight["text"] for insight in both] == [
        "The candidate tower is dead: its weights have never moved.",
        "The query tower is dead: its weights have never moved.",
    ]


def test_a_model_without_towers_can_stand_still_too() -> None:
    still = {"weight_norm": curve(np.full(30, 7.0))}
    assert the(still, "dead-tower")["text"] == "The weights have never moved."
    assert found(still | towers(np.linspace(5, 9, 30), np.linspace(4, 5, 30)), "dead-tower") == []


@pytest.mark.parametrize(
    "curves",
    [
        towers(np.linspace(5, 9, 30), np.linspace(5, 5.01, 30)),
        # Both come to rest together, as they do at the end of a learning-rate schedule.
        towers(*[np.concatenate([np.linspace(5, end, 15), np.full(15, end)]) for end in (7.0, 9.0)]),
        # A norm that is held constant, of weights that move.
        towers(np.full(30, 1.0), np.linspace(5, 9, 30)) | {"query_weights_max": curve(np.linspace(0.1, 0.3, 30))},
        towers(np.full(5, 7.0), np.linspace(5, 9, 5)),
        {"query_weights_mean": curve(np.zeros(30))},
    ],
    ids=["both move", "both rest", "constant norm", "too short", "mean alone"],
)
def test_towers_that_live(curves: Curves) -> None:
    assert found(curves, "dead-tower") == []


def test_a_diverging_loss() -> None:
    values = np.concatenate([falling(35), np.geomspace(0.6, 7, 15)]) * noise(1, 50, 0.02)
    insight = the({"loss": curve(values)}, "diverging-loss")
    assert insight["text"].startswith("Training loss has risen from about 0.5")
    assert insight["epochs"][1] == 49
    assert found({"loss": curve(np.linspace(1, 3, 30))}, "diverging-loss")


@pytest.mark.parametrize(
    ("points", "due"),
    [
        ([2, 1, 1.6], True),
        ([2, 1, 1.4], False),
        ([1.1, 1, 1.15], True),
        ([1.1, 1, 1.08], False),
        ([10.1, 10, 10.5], False),
    ],
    ids=["most of the fall", "less than half", "more than a tenth", "less than a tenth", "little of a lot"],
)
def test_a_loss_that_has_lost_what_it_won(points: list[float], due: bool) -> None:
    assert bool(found({"loss": curve(np.interp(range(61), [0, 30, 60], points))}, "diverging-loss")) == due


def test_noise_does_not_diverge() -> None:
    for seed in range(50):
        assert found({"loss": curve(noise(seed, 60, 0.3))}, "diverging-loss") == []


def test_warm_restarts_do_not_diverge() -> None:
    cycle = 0.5 + 0.5 * np.cos(np.pi * np.arange(30) / 30)
    values = np.concatenate([0.5 + cycle, 0.45 + 0.6 * cycle, 0.4 + 0.4 * cycle]) * noise(1, 90, 0.02)
    assert found({"loss": curve(values)}, "diverging-loss") == []


def test_no_improvement() -> None:
    insight = the({"loss": curve(np.full(30, 7.0))}, "no-improvement")
    assert insight["text"] == "Training loss has not improved in 29 epochs."
    assert (insight["severity"], insight["epochs"]) == ("warning", [0, 29])
    noisy = [found({"loss": curve(7 * noise(seed, 50, 0.01))}, "no-improvement") for seed in range(50)]
    assert sum(map(bool, noisy)) >= 35


@pytest.mark.parametrize(
    "values",
    [
        SLOWLY_LEARNED[0],
        FLATTENED[0],
        np.linspace(1, 3, 30),
        np.full(15, 7.0),
        np.concatenate([np.linspace(6, 1, 20), noise(1, 20_000, 0.1)]),
        np.linspace(1.05, 1, 100) * noise(1, 100, 0.03),
        np.linspace(1, 0.9985, 100),
    ],
    ids=["slowly", "soon flat", "diverging", "too short", "at once", "under noise", "by little, without noise"],
)
def test_losses_that_improve(values: Iterable[float]) -> None:
    assert found({"loss": curve(values)}, "no-improvement") == []


def test_a_plateau_of_a_real_run() -> None:
    assert [insight["epochs"] for insight in found(losses(*FLATTENED), "plateau")] == [[6, 29], [19, 29]]


def test_a_plateau_under_noise() -> None:
    insight = the({"loss": curve(falling(200, share=0.03) * noise(1, 200, 0.02))}, "plateau")
    assert 10 <= insight["epochs"][0] <= 40
    assert insight["text"].startswith("Training loss has hardly improved since epoch")


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(2, 1, 100),
        falling(100, share=0.3),
        np.concatenate([np.linspace(2, 1, 85), np.ones(15)]),
        OVERFITTED[0],
        OVERFITTED[1],
        np.full(50, 1.0),
    ],
    ids=["linear", "still falling", "too short", "real", "rising", "never fell"],
)
def test_no_plateau(values: Iterable[float]) -> None:
    assert found({"loss": curve(values)}, "plateau") == []


def test_the_best_epoch() -> None:
    insight = the(losses(falling(20), [*np.linspace(2, 0.8, 18), 0.81, 0.82]), "best-epoch")
    assert insight["text"] == "Validation loss is lowest at epoch 17 (0.8), 2 epochs before the last."
    assert (insight["metric"], insight["epochs"]) == ("val_loss", [17])
    assert the({"loss": curve(falling(20))}, "best-epoch")["text"].endswith(", the last.")
    gone = curve([*falling(10), np.nan, np.nan])
    assert the({"loss": gone}, "best-epoch")["text"].endswith(", 2 epochs before the last.")


def test_no_best_of_two_or_of_what_is_no_loss() -> None:
    assert found(losses([2, 1], [2, 1]), "best-epoch") == []
    assert found({"accuracy": curve(np.linspace(0, 1, 20)), "loss_scale": curve(np.ones(20))}, "best-epoch") == []


def test_throughput() -> None:
    insight = the({"loss": curve(falling(20), seconds=12.3)}, "throughput")
    assert insight["text"] == "Epochs took 12.3 s each (median): 4.878 epochs a minute."
    steps = {"loss": curve(falling(20), steps=range(500, 10_001, 500), seconds=0.12)}
    assert the(steps, "throughput")["text"] == "Steps took 120 ms each (median): 500 steps a minute."
    assert (
        "90 min each (median): 0.6667 epochs an hour."
        in the({"x": curve(falling(9), seconds=5400)}, "throughput")["text"]
    )


@pytest.mark.parametrize(("apart", "unit"), [(1, "Epochs"), (5, "Epochs"), (20, "Steps")])
def test_what_steps_are_called(apart: int, unit: str) -> None:
    """Every fifth epoch may be logged; no one logs every twentieth."""
    assert the({"loss": curve(falling(20), steps=range(0, 20 * apart, apart))}, "throughput")["text"].startswith(unit)


def test_a_run_is_timed_by_three_points_and_a_second_of_its_own() -> None:
    assert found({"loss": curve([2, 1])}, "throughput") == []
    assert found({"loss": curve(falling(10), seconds=0.1)}, "throughput") == []
    assert found({"loss": curve(falling(10), seconds=0.2)}, "throughput")
    assert found({"system/cpu": curve(np.ones(50))}, "throughput") == []


@pytest.mark.parametrize("seconds", [0, 0.001, -10], ids=["all at once", "as fast as written", "backwards"])
def test_timestamps_that_tell_nothing(seconds: float) -> None:
    assert found({"loss": curve(falling(20), seconds=seconds)}, "throughput") == []


def test_slow_epochs() -> None:
    seconds = np.full(50, 60.0)
    seconds[20] = 18_000
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")
    assert insight["text"] == "Epoch 20 took 5 h, 300 times the median of 60 s."
    assert insight["epochs"] == [20]
    seconds[40] = 1200
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")
    assert insight["text"].endswith("; 1 other took far longer than usual too.")
    assert insight["epochs"] == [20, 40]


def test_epochs_that_are_not_slow() -> None:
    every_fifth, some, short = np.full(50, 10.0), np.full(50, 10.0), np.full(50, 1.0)
    every_fifth[::5], some[20], short[20] = 200, 75, 10.5
    for seconds in (every_fifth, some, short, np.array([10, 10, 900])):
        assert found({"loss": curve(falling(len(seconds)), seconds=seconds)}, "slow-epochs") == []
    some[20], short[20] = 85, 11.5
    for seconds in (some, short):
        assert found({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")


def test_slowing_down() -> None:
    seconds = np.concatenate([np.full(30, 10), np.full(20, 31)]) * noise(1, 50, 0.1)
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slowing-down")
    assert re.fullmatch(r"Epochs have become slower: [\d.]+ s at first, [\d.]+ s at the end.", insight["text"])
    assert (insight["severity"], insight["epochs"]) == ("warning", [38, 49])


def test_no_slowing_down() -> None:
    wild = 10 * noise(1, 50, 1.0)
    mixed = np.array(([10.0] * 7 + [40.0] * 5) + [10.0] * 24 + ([10.0] * 5 + [40.0] * 7))
    for seconds in (np.linspace(10, 15, 50), wild, mixed, np.linspace(0.1, 0.9, 50), np.linspace(10, 50, 15)):
        assert found({"loss": curve(falling(len(seconds)), seconds=seconds)}, "slowing-down") == []


# All together


def test_the_gravest_and_earliest_come_first_and_no_rule_takes_all_the_room() -> None:
    curves = losses(*OVERFITTED)
    curves |= {f"layer{number}/grad_norm": curve([1.0] * number + [0.0] * 10) for number in range(30)}
    for number in range(30):
        values = np.ones(40)
        values[number + 5 :] = np.nan
        curves[f"branch{number}_loss"] = curve(values)
        curves[f"layer{number}_weight_norm"] = curve(values[: number + 5])
        curves[f"other{number}/grad_norm"] = curve(values[: number + 5].tolist() + [1000.0] * 5)
    statements = insights(curves)
    assert len(statements) == MOST_INSIGHTS
    assert max(sum(insight["rule"] == rule for insight in statements) for rule in RULES) == MOST_PER_RULE
    order = [(SEVERITIES.index(insight["severity"]), insight["epochs"][0]) for insight in statements]
    assert order == sorted(order)
    assert {"overfitting", "non-finite", "throughput"} <= {insight["rule"] for insight in statements}
    assert statements == insights(dict(reversed(curves.items())))


names = st.sampled_from(
    ["loss", "val_loss", "train/loss", "val/loss", "accuracy", "val_accuracy", "query_grad_norm", "candidate_grad_norm",
     "weight_norm", "query_weight_norm", "query_weights_std", "candidate_weight_norm", "query_hist_bin_0", "system/cpu",
     "test_loss", "Größe 7"]
)  # fmt: skip
huge = st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, 1e-30, 1e30])


@st.composite
def any_curve(draw: st.DrawFn) -> Curve:
    """Any steps and timestamps; values that repeat, jump, and are not finite."""
    steps = sorted(draw(st.sets(st.integers(-10, 300) | st.integers(-(2**40), 2**40), max_size=40)))
    some = draw(st.lists(huge | st.floats(-10, 10), min_size=1, max_size=10))
    values = [some[draw(st.integers(0, len(some) - 1))] for _ in steps]
    stamps = draw(st.lists(st.integers(0, 2**42), min_size=len(steps), max_size=len(steps)))
    return Curve(np.array(steps, np.int64), np.array(values, np.float64), np.array(stamps, np.int64))


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(names, any_curve(), max_size=6))
def test_any_curves_give_statements_in_shape(curves: Curves) -> None:
    before = {key: curve.values.copy() for key, curve in curves.items()}
    for insight in insights(curves):
        assert insight["rule"] in RULES
        assert insight["severity"] in SEVERITIES
        assert insight["metric"] in curves
        assert insight["text"].endswith(".")
        assert "nan" not in insight["text"]
        assert insight["epochs"] == sorted(set(insight["epochs"]))
        assert 1 <= len(insight["epochs"]) <= 2
        steps = {step for curve in curves.values() for step in curve.steps.tolist()}
        assert all(type(epoch) is int and epoch in steps for epoch in insight["epochs"])
    for key, values in before.items():
        np.testing.assert_array_equal(values, curves[key].values)


# The page


def sections() -> dict[str, str]:
    parts = re.split(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_documents_every_rule_in_order_and_no_other() -> None:
    assert list(sections()) == list(RULES)
    for text in sections().values():
        assert "*Rule.*" in text
        assert "*What to do.*" in text


FIGURES: dict[str, list[Any]] = {
    "exploding-gradients": [
        f"{grad.EXPLODED:g} times", f"at least {grad.EXPLODED_FLOOR}", f"after {grad.FEWEST_BEFORE} epochs",
        f"at least {grad.FEWEST_AFTER} epochs", f"still {grad.EXPLODED_STAYS:g} times",
    ],
    "vanishing-gradients": [f"at least {grad.FEWEST_VANISHED} epochs", f"{grad.VANISHED:g}".replace("e-07", "e-7")],
    "dead-tower": [f"at least {grad.FEWEST_STILL} epochs", f"{grad.MOVING:g}".replace("0.0001", "1e-4")],
    "diverging-loss": [f"{loss.DIVERGED_NOISE:g} times the noise", f"{loss.DIVERGED_OF_LEAST * 100:g} %"],
    "no-improvement": [f"at least {loss.FEWEST_UNIMPROVED} epochs", f"{loss.UNIMPROVED * 100:g} %"],
    "overfitting": [
        f"{loss.OVERFITTING_NOISE:g} times the noise",
        f"{loss.OVERFITTING_OF_BEST * 100:g} % of it", f"{loss.SUSTAINED * 100:g} % of the levels",
        f"{loss.TRAINING_OF_LEVEL * 100:g} % of its level",
    ],
    "slowing-down": [f"at least {2 * timing.FEWEST_COMPARED} epochs"],
    "plateau": [f"{loss.PLATEAU_IMPROVEMENT * 100:g} % of its whole fall", f"at least {run.FEWEST_TREND} epochs"],
    "best-epoch": [f"at least {loss.FEWEST_BEST}"],
    "slow-epochs": [
        f"at least {timing.FEWEST_COMPARED} epochs", f"{timing.SLOW:g} times the median",
        f"{timing.SLOW_LEAST / 1000:g} seconds", f"{timing.SLOW_SHARE * 100:g} % of all",
    ],
}  # fmt: skip


@pytest.mark.parametrize("rule", FIGURES)
def test_the_page_gives_the_thresholds_of_the_code(rule: str) -> None:
    text = " ".join(sections()[rule].split())
    assert [figure for figure in FIGURES[rule] if figure not in text] == []
