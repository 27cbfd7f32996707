"""`warmboard.start_run`: a tracked run with the settings of the environment."""

from __future__ import annotations

from collections.abc import Mapping

from warmboard.run.tracked import TrackedRun
from warmboard.settings import Settings
from warmboard.tracking import TrackingClient


def start_run(
    *,
    quick_test_id: int | None = None,
    run_name: str | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    client: TrackingClient | None = None,
) -> TrackedRun:
    """Return a run to use in a ``with`` statement; entering it starts the run.

    ``quick_test_id`` (from 1) links the run to a quick test. ``run_name`` replaces the default name, which is
    ``MLFLOW_RUN_NAME`` with the quick-test ID or the start time (UTC). ``experiment`` replaces
    ``MLFLOW_EXPERIMENT_NAME``. ``tags`` are the run's tags in MLflow, beside its user and its script. ``settings``
    replaces the environment's settings, ``client`` the client that they configure.

    Raises warmboard.contract.settings.SettingError for an invalid setting of the environment.
    """
    return TrackedRun(
        settings or Settings.read(),
        quick_test_id=quick_test_id,
        run_name=run_name,
        experiment=experiment,
        tags=tags,
        client=client,
    )
