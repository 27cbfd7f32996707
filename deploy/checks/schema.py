"""Each resource against the provider's schema: no argument that it doesn't know, all that it requires."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.hcl import Block, word
from deploy.checks.terraform import FOLDER, SCHEMA, blocks

META = frozenset({"for_each", "count", "depends_on", "lifecycle", "provider"})
# Ephemeral resources are in no bindings: this is read in the documentation of hashicorp/random 3.7.
EPHEMERAL: dict[str, dict[str, Any]] = {
    "random_password": {
        "arguments": {
            "length": True,
            **dict.fromkeys(["lower", "upper", "numeric", "special", "override_special"], False),
            **dict.fromkeys(["min_lower", "min_upper", "min_numeric", "min_special"], False),
        },
        "attributes": ["bcrypt_hash", "result"],
    }
}
Arguments = Mapping[str, Any]


@cache
def provider() -> dict[str, Any]:
    """The committed schema: ``package``, ``provider`` (its version), ``types``."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def faults(folder: Path = FOLDER) -> Iterator[Fault]:
    for block in blocks(folder):
        if block.kind in ("resource", "data", "ephemeral"):
            yield from _type_faults(block)
        elif block.kind == "terraform":
            yield from _version_faults(block)


def known(kind: str, type: str) -> dict[str, Any] | None:
    """``arguments`` and ``attributes`` of a type; None if the schema doesn't have it.

    ``kind``: resource, data or ephemeral.
    """
    if kind == "ephemeral":
        return EPHEMERAL.get(type)
    found: dict[str, Any] | None = provider()["types"].get(type if kind == "resource" else f"{kind}.{type}")
    return found


def readable(kind: str, type: str, name: str) -> bool:
    """Whether a resource of this type has an attribute of this name; True if the schema doesn't have the type."""
    found = known(kind, type)
    return found is None or name in found["arguments"] or name in found["attributes"]


def _type_faults(block: Block) -> Iterator[Fault]:
    found = known(block.kind, block.labels[0])
    if found is None:
        yield block.fault(f"{block.labels[0]}: no such type in provider.json; if it is new, run make terraform-schema")
    else:
        yield from _body_faults(block, found["arguments"], block.labels[0])


def _body_faults(block: Block, takes: Arguments, where: str) -> Iterator[Fault]:
    given = {*(name for name in block.arguments if name not in META), *(name for name, _ in _inner(block))}
    for name in sorted(given - takes.keys()):
        yield block.fault(f"{where} has no argument {name}")
    for name, value in takes.items():
        if name not in given and (value[0] if isinstance(value, list) else value):
            yield block.fault(f"{where} requires {name}")
        elif name in block.arguments and isinstance(value, list):
            yield block.fault(f"{where}: {name} is a block, without =")
    for name, inner in _inner(block):
        value = takes.get(name)
        if isinstance(value, list):
            yield from _body_faults(inner, value[1], f"{where}.{name}")
        elif value is not None:
            yield inner.fault(f"{where}: {name} is an argument, with =")


def _inner(block: Block) -> Iterator[tuple[str, Block]]:
    """The nested blocks by their names: of a dynamic one, its content."""
    for inner in block.blocks:
        if inner.kind == "dynamic":
            yield from ((inner.labels[0], content) for content in inner.all("content"))
        elif inner.kind not in META:
            yield inner.kind, inner


def _version_faults(block: Block) -> Iterator[Fault]:
    """The version that Terraform installs is the one whose schema is compared."""
    for providers in block.all("required_providers"):
        if tree := providers.arguments.get("google"):
            wanted = re.findall(r"~> ([\d.]+)", _text(tree))
            if wanted != [provider()["provider"].rpartition(".")[0]]:
                yield providers.fault(f"the schema is of version {provider()['provider']}, not of {wanted}")


def _text(tree: Any) -> str:
    return " ".join(word(string) for string in tree.find_data("string"))
