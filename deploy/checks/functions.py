"""Terraform's functions, as far as our files use them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.checks.values import Unknown, text_of

# How many arguments must be known; the others become a part of a text.
MUST_BE_KNOWN = {"replace": 2}


def call(name: str, arguments: list[Any]) -> Any:
    """The function's value. Raises KeyError if there is none of this name."""
    function = FUNCTIONS[name]
    if any(isinstance(argument, Unknown) for argument in arguments[: MUST_BE_KNOWN.get(name)]):
        return Unknown(f"{name}({', '.join(map(str, arguments))})")
    return function(*arguments)


def _merge(*maps: dict[str, Any]) -> dict[str, Any]:
    return {key: value for each in maps for key, value in each.items()}


def _flatten(lists: list[Any]) -> list[Any]:
    return [found for each in lists for found in (_flatten(each) if isinstance(each, list) else [each])]


def _lookup(values: dict[str, Any], key: str, default: Any) -> Any:
    return values.get(key, default)


def _templatefile(path: str, values: dict[str, Any]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: text_of(values[found[1]]), Path(path).read_text())


def _one(values: list[Any]) -> Any:
    return values[0] if values else None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compact": lambda values: [value for value in values if value],
    "contains": lambda values, value: value in values,
    "file": lambda path: Path(path).read_text(),
    "flatten": _flatten,
    "floor": math.floor,
    "join": lambda by, values: by.join(map(text_of, values)),
    "jsondecode": json.loads,
    "jsonencode": lambda value: json.dumps(value, default=str, separators=(",", ":")),
    "keys": lambda values: sorted(values),
    "length": len,
    "lookup": _lookup,
    "merge": _merge,
    "min": min,
    "one": _one,
    "replace": lambda text, old, new: text.replace(old, text_of(new)),
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "slice": lambda values, begin, end: values[begin:end],
    "substr": lambda text, begin, length: text[begin : begin + length],
    "templatefile": _templatefile,
    "toset": lambda values: values,
    "tostring": text_of,
}
