"""Tracks training runs in MLflow and announces them to Warmboard.

::

    import warmboard.keras

    model.fit(..., callbacks=[warmboard.keras.WarmboardCallback(quick_test_id=7)])    # one line

    with warmboard.start_run(quick_test_id=7) as run:                                 # or around any training loop
        for epoch in range(3):
            run.log_metrics({"loss": train(epoch)}, step=epoch)

    warmboard.announce_run(run_id)                              # a run that MLflow's own client has logged and ended

Names are imported when they are first used, since the workers and the webapp import only `warmboard.contract`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmboard.announce.by_id import announce_run
    from warmboard.run.start import start_run
    from warmboard.run.tracked import TrackedRun
    from warmboard.settings import Settings
    from warmboard.tracking.client import TrackingClient

__all__ = ["Settings", "TrackedRun", "TrackingClient", "announce_run", "start_run"]
_HOMES = {
    "Settings": "warmboard.settings",
    "TrackedRun": "warmboard.run.tracked",
    "TrackingClient": "warmboard.tracking.client",
    "announce_run": "warmboard.announce.by_id",
    "start_run": "warmboard.run.start",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
