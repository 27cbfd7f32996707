"""All rules together: silence on healthy runs, order and limits, and the page that documents the rules."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.paths import ROOT
from tests.workers.insights.samples import (
    OVERFITTED,
    Curves,
    curve,
    healthy,
    losses,
    said,
)
from workers.history.drawing import Curve
from workers.insights import gradients as grad
from workers.insights import losses as loss
from workers.insights import run, timing
from workers.insights.rules import MOST_INSIGHTS, MOST_PER_RULE, RULES
from workers.insights.words import SEVERITIES

PAGE = ROOT / "docs" / "reference" / "insights.md"


@pytest.mark.parametrize("epochs", [10, 15, 30, 50, 100, 400])
def test_no_alarm_on_healthy_runs(epochs: int) -> None:
    alarms = [
        (seed, insight["text"])
        for seed in range(100)
        for insight in said(healthy(seed, epochs))
        if insight["severity"] != "info"
    ]
    assert alarms == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_no_alarm_on_tiny_runs(epochs: int) -> None:
    for seed in range(50):
        assert {insight["rule"] for insight in said(healthy(seed, epochs))} <= {"best-epoch", "throughput"}


@pytest.mark.parametrize("epochs", [3, 5, 9])
def test_a_few_bad_epochs_are_no_trend(epochs: int) -> None:
    curves = losses(np.geomspace(2, 0.1, epochs), np.geomspace(1, 3, epochs))
    assert {insight["severity"] for insight in said(curves)} == {"info"}


def test_a_run_without_curves_has_no_insights() -> None:
    assert said({}) == []
    assert said({"loss": curve([])}) == []
    assert said({"training_accuracy_score": curve([0.9]), "test_loss": curve([0.1])}) == []


def test_a_generator_may_lose() -> None:
    curves = {"g_loss": curve(np.linspace(0.7, 4, 100)), "d_loss": curve(np.linspace(0.7, 0.1, 100))}
    assert {insight["severity"] for insight in said(curves)} == {"info"}


def test_the_most_severe_and_earliest_come_first_and_each_rule_is_limited() -> None:
    curves = losses(*OVERFITTED)
    curves |= {f"layer{number}/grad_norm": curve([1.0] * number + [0.0] * 10) for number in range(30)}
    for number in range(30):
        values = np.ones(40)
        values[number + 5 :] = np.nan
        curves[f"branch{number}_loss"] = curve(values)
        curves[f"layer{number}_weight_norm"] = curve(values[: number + 5])
        curves[f"other{number}/grad_norm"] = curve(values[: number + 5].tolist() + [1000.0] * 5)
    statements = said(curves)
    assert len(statements) == MOST_INSIGHTS
    assert max(sum(insight["rule"] == rule for insight in statements) for rule in RULES) == MOST_PER_RULE
    order = [(SEVERITIES.index(insight["severity"]), insight["epochs"][0]) for insight in statements]
    assert order == sorted(order)
    assert {"overfitting", "non-finite", "throughput"} <= {insight["rule"] for insight in statements}
    assert statements == said(dict(reversed(curves.items())))


names = st.sampled_from(
    ["loss", "val_loss", "train/loss", "val/loss", "accuracy", "val_accuracy", "query_grad_norm", "candidate_grad_norm",
     "weight_norm", "query_weight_norm", "query_weights_std", "candidate_weight_norm", "query_hist_bin_0", "system/cpu",
     "test_loss", "Größe 7"]
)  # fmt: skip

huge = st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, 1e-30, 1e30])


@st.composite
def any_curve(draw: st.DrawFn) -> Curve:
    """Any steps and timestamps; values that repeat, jump, or are NaN or ±∞."""
    steps = sorted(draw(st.sets(st.integers(-10, 300) | st.integers(-(2**40), 2**40), max_size=40)))
    some = draw(st.lists(huge | st.floats(-10, 10), min_size=1, max_size=10))
    values = [some[draw(st.integers(0, len(some) - 1))] for _ in steps]
    stamps = draw(st.lists(st.integers(0, 2**42), min_size=len(steps), max_size=len(steps)))
    return Curve(np.array(steps, np.int64), np.array(values, np.float64), np.array(stamps, np.int64))


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(names, any_curve(), max_size=6))
def test_any_curves_give_well_formed_statements(curves: Curves) -> None:
    before = {key: curve.values.copy() for key, curve in curves.items()}
    for insight in said(curves):
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
