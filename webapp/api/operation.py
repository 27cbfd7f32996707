"""The declaration of a view for the OpenAPI document: every view under /api/ needs ``@describes``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from webapp.api.parameters import Parameter

V = TypeVar("V", bound=Callable[..., Any])
JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """One method of one view. ``answer`` is the type of its JSON: a TypedDict, a dataclass or a union of them.
    ``media`` is another media type that it sends; ``errors`` are its own errors, in addition to those of all views.
    """

    summary: str
    answer: Any
    parameters: Sequence[Parameter[Any]] = ()
    group: str = "Runs"
    media: str = JSON
    body: Any = None
    errors: Mapping[int, str] = field(default_factory=dict)


def describes(operation: Operation, method: str = "get") -> Callable[[V], V]:
    """Declare a view's operation. A view with several methods has one for each."""

    def declare(view: V) -> V:
        view.operations = {**operations_of(view), method: operation}  # type: ignore[attr-defined]
        return view

    return declare


def operations_of(view: Callable[..., Any]) -> dict[str, Operation]:
    """The view's operations by method, in lower case."""
    found: dict[str, Operation] = getattr(view, "operations", {})
    return found
