"""The provider's schema, from the typed bindings that PyPI has of it: ``python -m deploy.checks.bindings WHEEL``.

The wheel is read, not installed: unpacked it has 233 MB, and its modules need Node.js only to be imported. So the part
that our files use is committed, as ``provider.json``; `make terraform-schema` writes it again.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from deploy.checks.terraform import SCHEMA, blocks

PACKAGE = "cdktn_provider_google"
# Of each resource, whatever its type is: Terraform's own, and those of the bindings.
META = frozenset({"connection", "count", "depends_on", "for_each", "id", "lifecycle", "provider", "provisioners"})
REAL_NAME = re.compile(r":param (\w+):.*?#(\w+) \w+#\2\}")
Classes = dict[str, ast.ClassDef]


def schema(wheel: Path) -> dict[str, Any]:
    """The schema of every resource and data source that our files use."""
    with ZipFile(wheel) as bindings:
        [about] = [name for name in bindings.namelist() if name.endswith(".dist-info/METADATA")]
        version = re.search(r"hashicorp/google provider version ([\d.]+)", bindings.read(about).decode())
        if not version:
            raise SystemExit(f"{wheel}: the bindings name no version of the provider")
        return {
            "package": wheel.name.split("-py3")[0],
            "provider": version[1],
            "types": {name: _type(bindings, name) for name in sorted(used())},
        }


def used() -> set[str]:
    """The types in our files: ``google_…``, and ``data.google_…`` of data sources."""
    found = {(block.kind, block.labels[0]) for block in blocks() if block.kind in ("resource", "data")}
    return {type if kind == "resource" else f"data.{type}" for kind, type in found}


def _type(bindings: ZipFile, name: str) -> dict[str, Any]:
    module = name.removeprefix("google_").replace("data.google_", "data_google_")
    tree = ast.parse(bindings.read(f"{PACKAGE}/{module}/__init__.py"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    [top] = [name for name in classes if f"{name}Config" in classes]
    every = _arguments(classes[top], classes)
    arguments = {name: value for name, value in every.items() if name not in META}
    attributes = set(_properties(classes[top])) - arguments.keys()
    return {"arguments": arguments, "attributes": sorted(attributes)}


def _arguments(of: ast.ClassDef, classes: Classes) -> dict[str, Any]:
    """Name → whether it is required; for a block, that and its own arguments."""
    found: dict[str, Any] = {}
    for begin in of.body:
        if isinstance(begin, ast.FunctionDef) and begin.name == "__init__":
            real = dict(REAL_NAME.findall(ast.get_docstring(begin) or ""))
            pairs = zip(begin.args.kwonlyargs, begin.args.kw_defaults, strict=True)
            for argument, default in pairs:
                name = real.get(argument.arg, argument.arg.rstrip("_"))
                block = _block(argument, classes)
                found[name] = default is None if block is None else [default is None, block]
    return found


def _block(argument: ast.arg, classes: Classes) -> dict[str, Any] | None:
    for node in ast.walk(argument.annotation) if argument.annotation else ():
        if isinstance(node, ast.Constant) and node.value in classes:
            return _arguments(classes[node.value], classes)
    return None


def _properties(of: ast.ClassDef) -> Iterator[str]:
    for node in of.body:
        if isinstance(node, ast.FunctionDef):
            read = any(ast.unparse(each) == "builtins.property" for each in node.decorator_list)
            if read and not node.name.endswith("_input"):
                yield node.name


def dumped(found: dict[str, Any]) -> str:
    """The schema as it is committed: a line for each type."""
    types = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in found["types"].items())
    head = "".join(f"  {json.dumps(key)}: {json.dumps(found[key])},\n" for key in ("package", "provider"))
    return f'{{\n{head}  "types": {{\n{types}\n  }}\n}}\n'


if __name__ == "__main__":
    SCHEMA.write_text(dumped(schema(Path(sys.argv[1]))))
