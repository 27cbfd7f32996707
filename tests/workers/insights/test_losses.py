"""Insights about losses: overfitting, divergence, no improvement, plateaus and the best epoch."""

from collections.abc import Iterable

import numpy as np
import pytest

from tests.workers.insights.samples import (
    FLATTENED,
    OVERFITTED,
    SLOWLY_LEARNED,
    Curves,
    curve,
    falling,
    found,
    losses,
    noise,
    the,
)


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
        # Validation: 2 % of the best, or a fifth of the fall. Training: 1 %, or a twentieth of its whole fall.
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
def test_the_min_size_of_a_turn(training: list[float], validation: list[float], due: bool) -> None:
    """Straight lines through three points, without noise."""
    curves = losses(*(np.interp(range(61), [0, 30, 60], points) for points in (training, validation)))
    assert bool(found(curves, "overfitting")) == due


@pytest.mark.parametrize(("rise", "least", "most"), [(0.0, 0, 0), (0.02, 0, 1), (0.2, 48, 50)])
def test_a_turn_must_exceed_the_noise(rise: float, least: int, most: int) -> None:
    validation = np.interp(range(100), [0, 30, 99], [2, 1, 1 + rise])
    runs = [losses(falling(100), validation * noise(seed, 100, 0.02)) for seed in range(50)]
    assert least <= sum(bool(found(curves, "overfitting")) for curves in runs) <= most


def test_a_turn_in_autocorrelated_noise_is_rarely_reported() -> None:
    """Each value is 0.7 of the previous plus noise. One in hundreds of such runs does rise from beginning to end."""
    turns = 0
    for seed in range(200):
        hops = np.random.default_rng(seed).normal(size=150)
        wandering = [float(hops[:50] @ 0.7 ** np.arange(50))]
        for hop in hops[50:]:
            wandering.append(0.7 * wandering[-1] + hop)
        turns += len(found(losses(falling(101), 3 + 0.05 * np.array(wandering)), "overfitting"))
    assert turns <= 1


def test_a_rise_only_at_the_very_end_is_no_overfitting() -> None:
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
    assert "is highest at step 29" in text
    assert "has fallen for 30 steps since, while accuracy kept rising" in text
    assert (
        found({"regularization_loss": curve(falling(60)), "val_regularization_loss": curve(turned)}, "overfitting")
        == []
    )


def test_validation_is_aligned_by_step() -> None:
    """Twenty validations in 2,000 training steps, as PyTorch users log them."""
    steps = np.arange(99, 2000, 100)
    turned = np.concatenate([np.linspace(2, 0.5, 10), np.linspace(0.6, 1.2, 10)])
    training = falling(2000) * noise(1, 2000, 0.1)
    curves = {"train/loss": curve(training), "val/loss": curve(turned, steps)}
    insight = the(curves, "overfitting")
    assert insight["epochs"] == [999, 1999]
    assert "at step 999" in insight["text"]
    # Validation counted in epochs and training counted in steps can't be compared.
    assert found(curves | {"val/loss": curve(turned)}, "overfitting") == []


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
def test_the_min_rise_of_a_diverging_loss(points: list[float], due: bool) -> None:
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


def test_no_best_of_two_epochs_or_of_other_metrics() -> None:
    assert found(losses([2, 1], [2, 1]), "best-epoch") == []
    assert found({"accuracy": curve(np.linspace(0, 1, 20)), "loss_scale": curve(np.ones(20))}, "best-epoch") == []
