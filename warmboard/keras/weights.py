"""Norms, statistics and histograms of the weights at the end of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from warmboard.keras.base import MetricsCallback, Values
from warmboard.keras.towers import Towers
from warmboard.statistics.moments import norm
from warmboard.statistics.values import total_norm, weight_edges_param, weight_statistics
from warmboard.tracking import Log


class Weights(MetricsCallback):
    """`WeightNorms` and `WeightStatistics` together: every variable is copied to the host once per epoch."""

    norms = True
    statistics = True

    def __init__(self, log: Log, towers: Towers | None = None) -> None:
        super().__init__(log)
        self.towers = towers or Towers()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values: Values = {}
        norms: dict[int, float] = {}
        towers = self.towers.variables(self.model)
        for tower, variables in towers.items():
            if variables:
                values |= self._of_tower(tower, variables, norms)
        return self._total(norms) | values if self.norms else values

    def _of_tower(self, tower: str, variables: list[Any], norms: dict[int, float]) -> Values:
        values: Values = {}
        arrays = [_read(variable) for variable in variables]
        if self.norms:
            norms |= {id(variable): norm([array]) for variable, array in zip(variables, arrays, strict=True)}
            values[f"{tower}_weight_norm"] = total_norm(norms[id(variable)] for variable in variables)
        if self.statistics:
            values |= weight_statistics(tower, arrays)
            self._log_edges(tower, values)
        return values

    def _total(self, norms: dict[int, float]) -> Values:
        """Return ``weight_norm``. ``norms`` are those of the variables already read."""
        for variable in self.model.trainable_variables:
            if id(variable) not in norms:
                norms[id(variable)] = norm([_read(variable)])
        return {"weight_norm": total_norm(norms.values())}

    def _log_edges(self, tower: str, values: Values) -> None:
        edges = weight_edges_param(tower, values)
        if not edges.keys() <= self.fits.params.keys():
            self.log_new(edges)


class WeightNorms(Weights):
    """Logs ``weight_norm``, the L2 norm of all trainable weights, and ``{tower}_weight_norm`` of each tower."""

    statistics = False


class WeightStatistics(Weights):
    """Logs the mean, population standard deviation, min, max and a histogram of each tower's weights.

    The 25 bins have equal width from this epoch's min to its max, so the logged min and max give every epoch's edges.
    The parameter ``{tower}_hist_bin_edges`` has the edges of the first epoch. Weights that are not finite are left out,
    and counted in ``{tower}_weights_nonfinite``.
    """

    norms = False


def _read(variable: Any) -> npt.NDArray[Any]:
    """Return the variable in its own type, which may be float16 or bfloat16."""
    array: npt.NDArray[Any] = variable.numpy()
    return array
