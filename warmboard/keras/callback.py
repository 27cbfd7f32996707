"""A tracked run in one line: a Keras callback that starts a run with ``fit`` and ends it after.

::

    import warmboard.keras

    model.fit(..., callbacks=[warmboard.keras.WarmboardCallback(quick_test_id=7)])
"""

from __future__ import annotations

import atexit
import functools
import logging
import sys
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import keras

from warmboard.contract.events import RunStatus
from warmboard.keras.bundle import MetricsBundle
from warmboard.run import TrackedRun, start_run
from warmboard.run.ending import status_of
from warmboard.settings import Settings

log = logging.getLogger(__name__)


class WarmboardCallback(keras.callbacks.Callback):
    """Starts a run when ``fit`` starts, and ends it as FINISHED when ``fit`` ends. Every ``fit`` is a new run.

    Keras does not tell callbacks that ``fit`` failed. So a run that is still open ends as FAILED or KILLED with the
    exception that ends the program, or as FAILED when the next ``fit`` starts (in a notebook, for example).
    """

    def __init__(
        self,
        *,
        quick_test_id: int | None = None,
        run_name: str | None = None,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        """``quick_test_id`` to ``settings`` are as in `warmboard.start_run`. ``options`` are as in `MetricsBundle`:
        ``towers``, ``gradient_scale`` and ``params``.

        Raises warmboard.contract.settings.SettingError for an invalid setting of the environment.
        """
        super().__init__()
        self._make_run = functools.partial(
            start_run,
            quick_test_id=quick_test_id,
            run_name=run_name,
            experiment=experiment,
            tags=tags,
            settings=settings or Settings.read(),
        )
        self._options = options
        self._inner: MetricsBundle | None = None
        self.run: TrackedRun | None = None
        """The run of the latest ``fit``."""
        _end_with_the_program(self)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        # An earlier fit failed, and the program went on.
        self.end(RunStatus.FAILED)
        self.run = run = self._make_run()
        self._inner = MetricsBundle(run, **self._options)
        self._inner.set_params(self.params or {})
        self._inner.set_model(self.model)
        run.termination.before = lambda: self.end(RunStatus.KILLED)
        run.__enter__()
        log.info("run %s %s", run.run_name, run.url or "(MLflow is down)")
        self._inner.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._started()[1].on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._started()[1].on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._started()[1].on_train_end(logs)
        self.end(RunStatus.FINISHED)

    def end(self, status: RunStatus) -> None:
        """End the run, if it is open."""
        if self.run:
            self.run.end(status)

    def _started(self) -> tuple[TrackedRun, MetricsBundle]:
        if self.run is None or self._inner is None:
            raise RuntimeError("no fit has started: pass the callback to model.fit(callbacks=…)")
        return self.run, self._inner


_open: weakref.WeakSet[WarmboardCallback] = weakref.WeakSet()


@functools.cache
def _hook_into_the_end() -> None:
    previous = sys.excepthook

    def end_and_tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        # Before the interpreter shuts down: publishing may need to start a thread.
        _end_all(status_of(error))
        previous(kind, error, traceback)

    sys.excepthook = end_and_tell
    atexit.register(_end_all, RunStatus.FAILED)


def _end_with_the_program(callback: WarmboardCallback) -> None:
    _hook_into_the_end()
    _open.add(callback)


def _end_all(status: RunStatus) -> None:
    for callback in list(_open):
        callback.end(status)
