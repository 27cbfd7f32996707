"""Whether a run counts epochs, steps or points: decided once, for its documents, its insights and its row. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from warmboard.contract.catalogue import PLACES
from workers.history.drawing import Curve
from workers.history.roles import pairs_of, timed_by

Unit = Literal["epoch", "step", "point"]
FAR = 10
"""Steps this far apart, or this many per validation, are not epochs."""
NUMBER_OF_EPOCHS = ("epochs", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs")
"""Parameters, in any framework's spelling."""


def unit_of(curves: Mapping[str, Curve], params: Mapping[str, str]) -> Unit:
    """The word for a run's steps.

    A metric ``epoch`` decides: it equals the steps, or they are not epochs. Otherwise steps are epochs if the run has
    metrics that Keras logs, or as many steps as a parameter says epochs, unless they are FAR apart, or FAR more than
    validations. If nothing was logged at steps, but metrics with all points at one step, the run counts points. A run
    without curves counts epochs.
    """
    known = {key: curve for key, curve in curves.items() if len(curve.steps) and not curve.is_counted}
    if (epoch := known.get("epoch")) is not None and len(epoch.steps) > 1:
        return "epoch" if len(set((epoch.values - epoch.steps).tolist())) == 1 else "step"
    timed = timed_by(known)
    if any(curve.is_counted for curve in curves.values()) and (timed is None or len(known[timed].steps) == 1):
        return "point"
    if timed is None:
        return "step" if curves else "epoch"
    steps = known[timed].steps
    apart = len(steps) > 1 and int(steps[-1]) - int(steps[0]) >= FAR * (len(steps) - 1)
    rarest = min((len(known[pair.validation].steps) for pair in pairs_of(known)), default=len(steps))
    if apart or len(steps) >= FAR * rarest:
        return "step"
    return "epoch" if any(key in known for key in PLACES) or _fit(steps, params) else "step"


def _fit(steps: np.ndarray[tuple[int], np.dtype[np.int64]], params: Mapping[str, str]) -> bool:
    """Whether these are the epochs that a parameter announced."""
    announced = [int(params[name]) for name in NUMBER_OF_EPOCHS if params.get(name, "").isdecimal()]
    if len(steps) < 2 or steps[0] < 0:
        return False
    return any(max(len(steps), int(steps[-1])) <= number for number in announced)
