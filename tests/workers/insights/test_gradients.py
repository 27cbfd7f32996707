"""Insights about NaN and infinity, gradients, and weights that don't move."""

import re

import numpy as np
import pytest

from tests.workers.insights.samples import (
    Curves,
    curve,
    falling,
    found,
    healthy,
    noise,
    the,
)


def test_metrics_that_become_nan_at_the_same_epoch_share_a_statement() -> None:
    curves = healthy(2, 50)
    for key in ("loss", "val_loss", "query_grad_norm", "query_hist_bin_0"):
        curves[key].values[17:] = np.nan
    insight = the(curves, "non-finite")
    assert insight["text"] == "loss, val_loss, query_grad_norm and 1 other metric are NaN from epoch 17 on."
    assert (insight["severity"], insight["epochs"]) == ("error", [17, 49])
    curves["candidate_grad_norm"] = curve([*curves["candidate_grad_norm"].values[:20], *[np.inf] * 30])
    assert [insight["epochs"] for insight in found(curves, "non-finite")] == [[17, 49], [20, 49]]


def test_a_score_that_is_undefined_for_an_epoch_is_a_warning() -> None:
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
        # Smaller norms count as 0.01.
        ([1e-5] * 20 + [2.0] * 9, True),
        ([1e-5] * 20 + [0.9] * 9, False),
    ],
)
def test_the_min_size_of_an_explosion(norms: list[float], due: bool) -> None:
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
def test_the_max_size_of_a_vanished_gradient(begin: float, end: float, due: bool) -> None:
    assert bool(found({"grad_norm": curve([begin] * 10 + [end] * 10)}, "vanishing-gradients")) == due


@pytest.mark.parametrize(
    ("trembling", "drift", "due"), [(5e-7, 1, True), (3e-6, 1, False), (0, 2e-4, True), (0, 5e-5, False)]
)
def test_the_max_movement_of_a_dead_tower(trembling: float, drift: float, due: bool) -> None:
    """``drift`` is the other tower's movement, relative to its norm."""
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
    [np.geomspace(10, 1e-3, 50), np.full(50, 1e-6), [1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1], np.full(50, -0.03)],
    ids=["converging", "small", "too short", "back", "no norm"],
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


def test_a_model_without_towers_can_be_dead_too() -> None:
    still = {"weight_norm": curve(np.full(30, 7.0))}
    assert the(still, "dead-tower")["text"] == "The weights have never moved."
    assert found(still | towers(np.linspace(5, 9, 30), np.linspace(4, 5, 30)), "dead-tower") == []


@pytest.mark.parametrize(
    "curves",
    [
        towers(np.linspace(5, 9, 30), np.linspace(5, 5.01, 30)),
        # Both stop together, as at the end of a learning-rate schedule.
        towers(*[np.concatenate([np.linspace(5, end, 15), np.full(15, end)]) for end in (7.0, 9.0)]),
        # A constrained norm of weights that move.
        towers(np.full(30, 1.0), np.linspace(5, 9, 30)) | {"query_weights_max": curve(np.linspace(0.1, 0.3, 30))},
        towers(np.full(5, 7.0), np.linspace(5, 9, 5)),
        {"query_weights_mean": curve(np.zeros(30))},
    ],
    ids=["both move", "both rest", "constant norm", "too short", "mean alone"],
)
def test_towers_that_are_not_dead(curves: Curves) -> None:
    assert found(curves, "dead-tower") == []
