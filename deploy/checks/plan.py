"""What a root module would make: every resource with its arguments, as `terraform plan` shows it.

Values that only Google knows are ``Unknown``. Names are looked up when they are needed, as Terraform does.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.checks.expressions import Scope, evaluate, pairs
from deploy.checks.fault import Fault, UnreadableError
from deploy.checks.hcl import Block, Expression, parse, read
from deploy.checks.schema import readable
from deploy.checks.values import Names, Unknown

KINDS = ("resource", "data", "ephemeral")
META = frozenset({"for_each", "count", "depends_on", "lifecycle", "provider"})


@dataclass(frozen=True)
class Resource:
    """One resource: ``arguments`` has values, and for nested blocks a list of such for each kind.

    ``place`` is where a mistake in it is mended: the resource, or the call of its module if several calls share that.
    """

    type: str
    address: str
    key: str | int | None
    arguments: Mapping[str, Any]
    block: Block
    place: Block

    def fault(self, text: str) -> Fault:
        return self.place.fault(text)

    def find(self, name: str) -> Any:
        """An argument, or an attribute that Google fills in. Raises LookupError."""
        if name not in self.arguments and not readable(self.block.kind, self.type, name):
            raise LookupError(f"{self.type} has no attribute {name}")
        return self.arguments.get(name, Unknown(f"{self.address}.{name}"))


class Module:
    """A module with its inputs. ``call`` is the block that calls it, if others call the same module too."""

    def __init__(self, folder: Path, inputs: Mapping[str, Any], address: str = "", call: Block | None = None) -> None:
        self.folder = folder
        self.address = address
        self._call = call
        self._inputs = inputs
        self._blocks = read(folder)
        self._found: dict[tuple[str, ...], Any] = {}

    def resources(self) -> Iterator[Resource]:
        """All resources of this module and of those that it calls. Raises UnreadableError."""
        for block in self._blocks:
            if block.kind in KINDS:
                yield from self._instances(block).values()
            elif block.kind == "module":
                for module in self._modules(block).values():
                    yield from module.resources()

    def output(self, name: str) -> Any:
        """Raises UnreadableError or KeyError."""
        block = self._declared["output", name]
        return self._once(("output", name), block, block.arguments["value"])

    @cached_property
    def _declared(self) -> dict[tuple[str, ...], Block]:
        return {(block.kind, *block.labels): block for block in self._blocks}

    @cached_property
    def _locals(self) -> dict[str, tuple[Block, Expression]]:
        found = (block for block in self._blocks if block.kind == "locals")
        return {name: (block, value) for block in found for name, value in block.arguments.items()}

    @cached_property
    def _scope(self) -> Scope:
        types = {block.labels[0] for block in self._blocks if block.kind == "resource"}
        return {
            "var": Names("var", self._variable),
            "local": Names("local", lambda name: self._once(("local", name), *self._locals[name])),
            "module": Names("module", lambda name: self._called(self._declared["module", name])),
            "path": {"module": str(self.folder)},
            "data": self._types("data"),
            "ephemeral": self._types("ephemeral"),
            **{kind: self._named("resource", kind) for kind in types},
        }

    def _types(self, kind: str) -> Names:
        return Names(kind, lambda type: self._named(kind, type))

    def _named(self, kind: str, type: str) -> Names:
        return Names(type, lambda name: self._value(self._declared[kind, type, name]))

    def _variable(self, name: str) -> Any:
        if name in self._inputs:
            return self._inputs[name]
        block = self._declared["variable", name]
        default = block.arguments.get("default")
        return Unknown(f"var.{name}") if default is None else self._once(("variable", name), block, default)

    def _once(self, name: tuple[str, ...], block: Block, tree: Expression) -> Any:
        if name not in self._found:
            self._found[name] = self._evaluate(tree, block)
        return self._found[name]

    def _evaluate(self, tree: Expression, block: Block, scope: Scope | None = None) -> Any:
        try:
            return evaluate(tree, scope or self._scope)
        except (LookupError, TypeError, ValueError, OSError) as error:
            line = block.line if tree.meta.empty else tree.meta.line
            what = f"{error.args[0]} is not there" if isinstance(error, KeyError) else str(error)
            raise UnreadableError(Fault(block.file, line, what)) from error

    def _turns(self, block: Block) -> dict[Any, Scope]:
        """The scope of each instance of a block with ``for_each`` or ``count``; under None for one without."""
        if "count" in block.arguments:
            count = self._evaluate(block.arguments["count"], block)
            return {index: ChainMap({"count": {"index": index}}, dict(self._scope)) for index in range(count)}
        if "for_each" not in block.arguments:
            return {None: self._scope}
        through = self._evaluate(block.arguments["for_each"], block)
        entries = {entry: entry for entry in through} if isinstance(through, list) else dict(pairs(through))
        return {
            key: ChainMap({"each": {"key": key, "value": value}}, dict(self._scope)) for key, value in entries.items()
        }

    def _value(self, block: Block) -> Any:
        """A resource as an expression sees it: one, or a list or a map of them."""
        found = {key: Names(resource.address, resource.find) for key, resource in self._instances(block).items()}
        if None in found:
            return found[None]
        return list(found.values()) if "count" in block.arguments else found

    def _instances(self, block: Block) -> dict[Any, Resource]:
        name = (block.kind, *block.labels)
        if name not in self._found:
            self._found[name] = {key: self._resource(block, key, scope) for key, scope in self._turns(block).items()}
        found: dict[Any, Resource] = self._found[name]
        return found

    def _resource(self, block: Block, key: Any, scope: Scope) -> Resource:
        address = self._address(block, key, "" if block.kind == "resource" else f"{block.kind}.")
        return Resource(block.labels[0], address, key, self._body(block, scope), block, self._call or block)

    def _address(self, block: Block, key: Any, kind: str) -> str:
        index = "" if key is None else f'["{key}"]' if isinstance(key, str) else f"[{key}]"
        return f"{self.address}{kind}{'.'.join(block.labels)}{index}"

    def _body(self, block: Block, scope: Scope) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: self._evaluate(tree, block, scope) for name, tree in block.arguments.items() if name not in META
        }
        for inner in block.blocks:
            if inner.kind == "dynamic":
                found.setdefault(inner.labels[0], []).extend(self._dynamic(inner, scope))
            elif inner.kind not in META:
                found.setdefault(inner.kind, []).append(self._body(inner, scope))
        return found

    def _dynamic(self, block: Block, scope: Scope) -> Iterator[dict[str, Any]]:
        [content] = block.all("content")
        for key, value in pairs(self._evaluate(block.arguments["for_each"], block, scope)):
            yield self._body(content, ChainMap({block.labels[0]: {"key": key, "value": value}}, dict(scope)))

    def _called(self, block: Block) -> Any:
        modules = self._modules(block)
        found = {key: Names(module.address, module.output) for key, module in modules.items()}
        return found[None] if None in found else list(found.values())

    def _modules(self, block: Block) -> dict[Any, Module]:
        name = ("module", *block.labels)
        if name not in self._found:
            source = self._source(block)
            calls = [other for other in self._blocks if other.kind == "module" and self._source(other) == source]
            call = block if len(calls) > 1 else self._call
            self._found[name] = {
                key: Module(source, _Inputs(self, block, scope), self._address(block, key, "module.") + ".", call)
                for key, scope in self._turns(block).items()
            }
        found: dict[Any, Module] = self._found[name]
        return found

    def _source(self, block: Block) -> Path:
        return (self.folder / str(self._evaluate(block.arguments["source"], block))).resolve()


class _Inputs(Mapping[str, Any]):
    """The inputs of a called module, evaluated when they are needed: modules may need one another's outputs."""

    def __init__(self, module: Module, block: Block, scope: Scope) -> None:
        self._module, self._block, self._scope = module, block, scope
        self._names = block.arguments.keys() - META - {"source"}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._module._evaluate(self._block.arguments[name], self._block, self._scope)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def plan(environment: Path) -> list[Resource]:
    """What one of the root modules makes with the values of its example. Raises UnreadableError."""
    return list(Module(environment, example(environment)).resources())


def example(environment: Path) -> dict[str, Any]:
    """The values in ``terraform.tfvars.example``. Raises UnreadableError."""
    values = parse(environment / "terraform.tfvars.example").arguments
    return {name: evaluate(tree, {}) for name, tree in values.items()}
