"""A logger for Lightning, which logs to an open run.

::

    with warmboard.start_run() as run:
        trainer = lightning.Trainer(max_epochs=3, logger=RunLogger(run))
        trainer.fit(model, data)
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

try:
    from lightning.pytorch.loggers import Logger
except ImportError:  # the same framework by its older name
    from pytorch_lightning.loggers import Logger

from warmboard.run import TrackedRun

__all__ = ["RunLogger"]


class RunLogger(Logger):
    """Logs what a Lightning module logs, by the step that Lightning gives it, and its hyper-parameters.

    The run begins and ends with its ``with`` block, so ``fit``, ``validate`` and ``test`` in it are one run. ``run`` is
    None where the rank of a distributed training is not 0: nothing is logged there.
    """

    def __init__(self, run: TrackedRun | None) -> None:
        super().__init__()
        self.run = run

    @property
    def name(self) -> str | None:
        """The run's experiment; with `version`, Lightning makes the folder of its checkpoints of it."""
        return self.run.settings.mlflow_experiment_name if self.run else None

    @property
    def version(self) -> str | None:
        """The run's ID in MLflow, or its name until MLflow has it."""
        return (self.run.run_id or self.run.run_name) if self.run else None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log these values. Returns at once."""
        if self.run:
            self.run.log_metrics(metrics, step=step or 0)

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Log these parameters as text. Returns at once."""
        if self.run:
            self.run.log_params(vars(params) if isinstance(params, Namespace) else params)
