"""Trains two-tower recommenders and tracks every run; its parts serve any training program.

::

    from trainer import tracked_run, warmboard_callback

    model.fit(..., callbacks=[warmboard_callback(quick_test_id=7)])     # one line

    with tracked_run(quick_test_id=7) as run:                           # or around any code
        model.fit(..., callbacks=[run.callback()])
        run.log_metrics({"test_loss": 0.2}, step=run.epochs - 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.run import TrackedRun, tracked_run
from trainer.settings import Settings
from trainer.tracking import TrackingClient

if TYPE_CHECKING:
    from trainer.adopt import RunCallback

__all__ = ["Settings", "TrackedRun", "TrackingClient", "tracked_run", "warmboard_callback"]


def warmboard_callback(
    *,
    quick_test_id: int | None = None,
    run_name: str | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> RunCallback:
    """A Keras callback that is a whole tracked run: it begins with ``fit`` and ends with it.

    The first arguments are those of `tracked_run`, ``options`` those of `trainer.callbacks.WarmboardCallback`. Raises
    contract.settings.SettingError for a bad setting of the environment.
    """
    # Imported here: tracking by itself needs no TensorFlow.
    from trainer.adopt import RunCallback

    chosen = settings or Settings.read()

    def make_run() -> TrackedRun:
        return tracked_run(
            quick_test_id=quick_test_id, run_name=run_name, experiment=experiment, tags=tags, settings=chosen
        )

    return RunCallback(make_run, options)
