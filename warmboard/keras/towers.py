"""Finds the variables of each tower of a model."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warmboard.statistics.values import TOWERS, known

log = logging.getLogger(__name__)

WORDS: Mapping[str, Sequence[str]] = {
    "query": ("query", "user", "buyer"),
    "candidate": ("candidate", "item", "product"),
}
KINDS = ("tower", "model", "encoder", "network")

# Names of a tower's parts. Names of features are not among them: user_country may be in the item tower.
_BUILD = (
    r"(?:tower|model|encoder|network|net|mlp|branch|embeddings?|embed|emb|lookup|table|vectors?|ids?|dense|hidden|output"
    r"|layer|projection|proj|normalization|norm|batch|\d)"
)


def _only(words: str) -> str:
    return rf"^(?:{_BUILD}[_\-. ]?)*(?:{words})s?(?:[_\-. ]?{_BUILD})*$"


# "query" and "candidate" name towers. The other words name things, which may be features in both towers.
PATTERNS: Mapping[str, str] = {
    "query": rf"(?:^|[_\-. ])query(?:[_\-. \d]|$)|{_only('query|user|buyer')}",
    "candidate": rf"(?:^|[_\-. ])candidate(?:[_\-. \d]|$)|{_only('candidate|item|product')}",
}


@dataclass
class Towers:
    """Finds the variables of the towers ``query`` and ``candidate``.

    A tower is a layer, and a variable belongs to it by identity. The layer is the one given in ``layers``, as an object
    or by the name of an attribute of the model or of a layer anywhere in it. Otherwise it is the attribute or layer
    called ``query``, or ``query``, ``user`` or ``buyer`` followed by ``_tower``, ``_model``, ``_encoder`` or
    ``_network`` (``candidate``, ``item`` and ``product`` for the other tower). A layer in both towers counts in both.

    If a tower has no such layer, its variables are found by path, among those of no other tower. ``patterns`` are
    regular expressions, matched without case in each part of a path between slashes. The outermost part that matches
    exactly one of the two patterns decides: ``item_tower/user_country`` belongs to the candidate tower. A variable
    belongs to no tower if a part of its path matches both patterns and none decides. Paths are used because a
    variable's name in Keras 3 is only ``kernel``.

    Variables that can't be matched are logged in one warning, at the first use. Raises ValueError for another tower's
    name or an invalid regular expression.
    """

    layers: Mapping[str, Any] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=lambda: dict(PATTERNS))
    _warned: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        known(self.layers)
        try:
            self._compiled = {
                tower: re.compile(pattern, re.IGNORECASE)
                for tower, pattern in {**PATTERNS, **known(self.patterns)}.items()
            }
        except re.error as error:
            raise ValueError(f"not a regular expression for a tower: {error.pattern!r}: {error}") from error

    def members(self, model: Any, variables: Sequence[Any]) -> dict[str, list[int]]:
        """Return, for each tower, the positions of its variables in ``variables``, which may be unwrapped."""
        own = {tower: _identities(of_tower) for tower, of_tower in self.variables(model).items()}
        return {
            tower: [index for index, variable in enumerate(variables) if id(variable) in ids]
            for tower, ids in own.items()
        }

    def variables(self, model: Any) -> dict[str, list[Any]]:
        """Return the trainable variables of each tower."""
        every = list(model.trainable_variables)
        layers = {tower: self._layer(model, tower) for tower in TOWERS}
        found = {
            tower: [] if layer is None else list(layer.trainable_variables)
            for tower, layer in layers.items()
            if layer is not None or tower in self.layers
        }
        taken = _identities(variable for of_tower in found.values() for variable in of_tower)
        left = [variable for variable in every if id(variable) not in taken]
        sought = [tower for tower in TOWERS if tower not in found]
        by_path = {variable.path: self._by_path(variable.path) for variable in left} if sought else {}
        for tower in sought:
            found[tower] = [variable for variable in left if by_path[variable.path] == tower]
        self._warn(found, every, by_path)
        return {tower: found[tower] for tower in TOWERS}

    def _by_path(self, path: str) -> str | None:
        """Return the tower; None if no pattern matches, an empty string if both do."""
        ambiguous = False
        for part in path.split("/"):
            matching = [tower for tower, pattern in self._compiled.items() if pattern.search(part)]
            if len(matching) == 1:
                return matching[0]
            ambiguous = ambiguous or len(matching) > 1
        return "" if ambiguous else None

    def _layer(self, model: Any, tower: str) -> Any:
        given = self.layers.get(tower)
        if given is not None and not isinstance(given, str):
            return given
        names = [given] if given else [tower, *(f"{word}_{kind}" for word in WORDS[tower] for kind in KINDS)]
        return _named(model, names)

    def _label(self, tower: str) -> str:
        given = self.layers.get(tower)
        return tower if given is None else f"{tower} ({given if isinstance(given, str) else given.name!r})"

    def _warn(
        self, found: Mapping[str, Sequence[Any]], every: Sequence[Any], by_path: Mapping[str, str | None]
    ) -> None:
        if self._warned or not every:
            return
        self._warned = True
        empty = [tower for tower in TOWERS if not found[tower]]
        ambiguous = [path for path, tower in by_path.items() if tower == ""]
        neither = [path for path, tower in by_path.items() if tower is None]
        warnings = []
        if empty:
            warnings.append(
                f"No trainable variable belongs to the tower {' or '.join(map(self._label, empty))}: its statistics "
                f"are left out. The paths are: {', '.join(variable.path for variable in every)}."
            )
        if ambiguous:
            warnings.append(
                f"The patterns of both towers match these variables, which belong to none: {', '.join(ambiguous)}."
            )
        if neither and not empty:
            warnings.append(f"Towers were found by path, and no pattern matches: {', '.join(neither)}.")
        if warnings:
            warnings.append("Name the layers with Towers(layers=…), or give path patterns with Towers(patterns=…).")
            log.warning("%s", " ".join(warnings))


def _named(model: Any, names: Iterable[str]) -> Any:
    inside = {layer.name: layer for layer in reversed(model._flatten_layers(include_self=False))}
    for name in names:
        layer = getattr(model, name, None)
        if layer is None or not hasattr(layer, "trainable_variables"):
            layer = inside.get(name)
        if layer is not None:
            return layer
    return None


def _identities(variables: Iterable[Any]) -> set[int]:
    """Return the IDs of Keras's variables and of TensorFlow's inside them: a custom training step may pass either."""
    return {
        identity for variable in variables for identity in (id(variable), id(getattr(variable, "_value", variable)))
    }
