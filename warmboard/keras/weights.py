"""Norms, statistics and histograms of the weights, as they are at the end of an epoch."""

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
    """`WeightNorms` and `WeightStatistics` from one reading: every variable comes to the host once an epoch."""

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
        """``norms`` are those of the variables already read."""
        for variable in self.model.trainable_variables:
            if id(variable) not in norms:
                norms[id(variable)] = norm([_read(variable)])
        return {"weight_norm": total_norm(norms.values())}

    def _log_edges(self, tower: str, values: Values) -> None:
        edges = weight_edges_param(tower, values)
        if not edges.keys() <= self.fits.params.keys():
            self.log_new(edges)


class WeightNorms(Weights):
    """``weight_norm``: L2 norm of all trainable weights together; ``{tower}_weight_norm``: of the tower's."""

    statistics = False


class WeightStatistics(Weights):
    """Mean, population standard deviation, least, greatest and a histogram of each tower's weights.

    The 25 bins are of equal width from this epoch's least weight to its greatest, so the logged minimum and maximum
    give every epoch's edges; ``{tower}_hist_bin_edges`` holds those of the first. Weights that are not finite are left
    out and counted in ``{tower}_weights_nonfinite``.
    """

    norms = False


def _read(variable: Any) -> npt.NDArray[Any]:
    """The variable as it is kept: float16 and bfloat16 too."""
    array: npt.NDArray[Any] = variable.numpy()
    return array
