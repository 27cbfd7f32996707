"""What a view declares of itself. ``@describes`` stands above every view under /api/."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from webapp.api.parameters import Parameter

V = TypeVar("V", bound=Callable[..., Any])
JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """One method of one view. ``answer`` is the shape of its JSON: a TypedDict, a dataclass or a union of them.
    ``media`` is another media type that it answers with; ``errors`` are its own, beside those that all have.
    """

    summary: str
    answer: Any
    parameters: Sequence[Parameter[Any]] = ()
    group: str = "Runs"
    media: str = JSON
    body: Any = None
    errors: Mapping[int, str] = field(default_factory=dict)


def describes(operation: Operation, method: str = "get") -> Callable[[V], V]:
    """Declares a view's operation; a view of several methods has several of these."""

    def declare(view: V) -> V:
        view.operations = {**operations_of(view), method: operation}  # type: ignore[attr-defined]
        return view

    return declare


def operations_of(view: Callable[..., Any]) -> dict[str, Operation]:
    """By method, in lower case; empty when the view declares none."""
    found: dict[str, Operation] = getattr(view, "operations", {})
    return found
