"""Which of a model's variables belong to which tower."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

NAMES = ("query", "candidate")
PATTERNS: Mapping[str, str] = {"query": r"query|buyer", "candidate": r"candidate|product"}


@dataclass
class Towers:
    """Finds the variables of the towers ``query`` and ``candidate``.

    A tower is a layer: the one given in ``layers``, else the model's attribute or layer called ``query`` or
    ``query_tower`` (``candidate`` alike). A variable belongs to it by identity. Where a model has no such layer, the
    variables whose path matches the tower's regular expression in ``patterns`` do. Paths rather than names: in Keras 3
    a variable's name is only ``kernel``.
    """

    layers: Mapping[str, Any] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=lambda: dict(PATTERNS))
    _warned: bool = field(default=False, init=False)

    def members(self, model: Any, variables: Sequence[Any] | None = None) -> dict[str, list[int]]:
        """For each tower, the positions of its variables in ``variables`` (the model's trainable ones by default)."""
        variables = list(model.trainable_variables if variables is None else variables)
        members = {name: self._positions(name, model, variables) for name in NAMES}
        self._warn(members, variables)
        return members

    def variables(self, model: Any) -> dict[str, list[Any]]:
        """For each tower, its trainable variables."""
        every = list(model.trainable_variables)
        return {name: [every[index] for index in indices] for name, indices in self.members(model, every).items()}

    def _positions(self, name: str, model: Any, variables: Sequence[Any]) -> list[int]:
        layer = self.layers.get(name) or _layer(model, name)
        if layer is not None:
            own = {id(variable) for variable in layer.trainable_variables}
            return [index for index, variable in enumerate(variables) if id(variable) in own]
        pattern = re.compile(self.patterns[name], re.IGNORECASE)
        return [index for index, variable in enumerate(variables) if pattern.search(variable.path)]

    def _warn(self, members: Mapping[str, list[int]], variables: Sequence[Any]) -> None:
        empty = [name for name, indices in members.items() if not indices]
        if empty and variables and not self._warned:
            self._warned = True
            log.warning(
                "No variable belongs to the tower %s: its statistics are left out. Name the layers (layers=…) or the "
                "patterns of the paths (patterns=…). The paths are: %s",
                " or ".join(empty),
                ", ".join(variable.path for variable in variables),
            )


def _layer(model: Any, name: str) -> Any:
    for candidate in (name, f"{name}_tower"):
        layer = getattr(model, candidate, None)
        if layer is not None and hasattr(layer, "trainable_variables"):
            return layer
        for layer in getattr(model, "layers", ()):
            if layer.name == candidate:
                return layer
    return None
