"""What expressions evaluate to: Python's values, or what only Google knows once it has made a resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unknown:
    """A value that is known after `terraform apply`. Its text is the expression that names it."""

    text: str

    def __str__(self) -> str:
        return f"<{self.text}>"


@dataclass(frozen=True)
class Names:
    """What has attributes that are looked up when they are needed: ``var``, ``local``, a module, a resource."""

    text: str
    find: Callable[[str], Any]


def attribute(value: Any, name: str) -> Any:
    """``value.name``. Raises KeyError."""
    if isinstance(value, Unknown):
        return Unknown(f"{value.text}.{name}")
    if isinstance(value, Names):
        return value.find(name)
    if not isinstance(value, dict):
        raise KeyError(name)
    return value[name]


def item(value: Any, key: Any) -> Any:
    """``value[key]``. Raises KeyError or IndexError."""
    if isinstance(value, Unknown) or isinstance(key, Unknown):
        return Unknown(f"{getattr(value, 'text', 'value')}[{key}]")
    if isinstance(value, Names):
        return value.find(key)
    return value[int(key)] if isinstance(value, list) else value[key]


def text_of(value: Any) -> str:
    """A value within a string."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
