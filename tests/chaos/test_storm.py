"""A short storm over a whole stack; `make chaos` has the long ones."""

from __future__ import annotations

import pytest

from chaos.plan import SHORT
from chaos.storm import play
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration
# MLflow is killed and started again, and each of its processes takes seconds to start.
CLOCKS = {"SWEEP_SECONDS": "1", "DISPATCH_SECONDS": "5", "MLFLOW_WORKERS": "1"}


def test_every_run_is_warm_after_a_short_storm() -> None:
    outcome = play(1, SHORT, "sqlite", patience=PATIENCE, clocks=CLOCKS)
    assert outcome.verdict.problems == []
    assert outcome.verdict.warm == SHORT.runs
