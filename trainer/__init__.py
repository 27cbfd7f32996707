"""Trains two-tower recommenders and tracks every run; its parts serve any Keras script

::

    from trainer import tracked_run

    with tracked_run(quick_test_id=7) as run:
        model.fit(..., callbacks=[run.callback()])
"""

from trainer.run import TrackedRun, tracked_run

__all__ = ["TrackedRun", "tracked_run"]
