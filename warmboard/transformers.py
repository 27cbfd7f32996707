"""A callback for the trainer of Hugging Face's Transformers, which logs to an open run.

::

    with warmboard.start_run() as run:
        trainer = Trainer(model, arguments, train_dataset=data, callbacks=[RunCallback(run)])
        trainer.train()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from warmboard.run import TrackedRun

__all__ = ["RunCallback"]


class RunCallback(TrainerCallback):
    """Logs what the trainer logs, by its global step, and its training arguments as parameters.

    The run begins and ends with its ``with`` block, so ``train`` and ``evaluate`` in it are one run. ``run`` is None in
    the other processes of a distributed training: nothing is logged there.
    """

    def __init__(self, run: TrackedRun | None) -> None:
        self.run = run

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.run and state.is_world_process_zero:
            # Without the user's tokens.
            self.run.log_params(args.to_sanitized_dict())

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if self.run and logs and state.is_world_process_zero:
            self.run.log_metrics(logs, step=state.global_step)
