"""Every name that is used is declared, and every variable, local and output that is declared is used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploy.checks.fault import Fault
from deploy.checks.hcl import Block, Expression, children, line_of, parse, read, word
from deploy.checks.schema import readable
from deploy.checks.terraform import FOLDER, environments, modules

BOUND = frozenset({"each", "count", "path", "self"})
Found = Iterator[tuple[tuple[str, ...], int]]
FIXED = frozenset({"lifecycle"})
"""Blocks whose arguments are no expressions."""


@dataclass(frozen=True)
class Use:
    """``root.name.name…`` in an expression."""

    path: tuple[str, ...]
    block: Block
    line: int

    def fault(self, text: str) -> Fault:
        return Fault(self.block.file, self.line or self.block.line, text)


@dataclass
class Declared:
    """What a module declares, by kind: variables, locals, outputs, modules and resources, with their blocks."""

    folder: Path
    variables: dict[str, Block] = field(default_factory=dict)
    outputs: dict[str, Block] = field(default_factory=dict)
    calls: dict[str, Block] = field(default_factory=dict)
    locals: dict[str, Block] = field(default_factory=dict)
    resources: dict[tuple[str, ...], Block] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Declared:
        declared = cls(folder)
        places = {"variable": declared.variables, "output": declared.outputs, "module": declared.calls}
        for block in read(folder):
            if block.kind in places:
                places[block.kind][block.labels[0]] = block
            elif block.kind == "locals":
                declared.locals |= dict.fromkeys(block.arguments, block)
            elif block.kind in ("data", "ephemeral"):
                declared.resources[block.kind, *block.labels] = block
            elif block.kind == "resource":
                declared.resources[block.labels] = block
            declared.uses += _uses(block, BOUND)
        return declared

    def source(self, call: str) -> Path:
        return (self.folder / word(children(self.calls[call].arguments["source"])[0])).resolve()


def faults(folder: Path = FOLDER) -> Iterator[Fault]:
    found = {module.resolve(): Declared.of(module) for module in modules(folder)}
    for declared in found.values():
        for use in declared.uses:
            yield from _use_faults(use, declared, found)
        yield from _call_faults(declared, found)
        yield from _unused(declared)
    yield from _unused_outputs(found, environments(folder))
    for environment in environments(folder):
        yield from _example_faults(found[environment.resolve()])


def _use_faults(use: Use, declared: Declared, found: dict[Path, Declared]) -> Iterator[Fault]:
    root, *rest = use.path
    named = ".".join(use.path[:2])
    plain = {"var": declared.variables, "local": declared.locals}
    if root in plain:
        if rest[0] not in plain[root]:
            yield use.fault(f"{named} is not declared")
    elif root == "module":
        if rest[0] not in declared.calls:
            yield use.fault(f"{named} is not called")
        elif len(rest) > 1 and rest[1] not in found[declared.source(rest[0])].outputs:
            yield use.fault(f"{named} has no output {rest[1]}")
    else:
        yield from _resource_faults(use, declared)


def _resource_faults(use: Use, declared: Declared) -> Iterator[Fault]:
    depth = 3 if use.path[0] in ("data", "ephemeral") else 2
    name, rest = use.path[:depth], use.path[depth:]
    if name not in declared.resources:
        yield use.fault(f"{'.'.join(name)} is not declared")
        return
    kind, type = ("resource", name[0]) if depth == 2 else name[:2]
    if rest and not readable(kind, type, rest[0]):
        yield use.fault(f"{type} has no attribute {rest[0]}")


def _call_faults(declared: Declared, found: dict[Path, Declared]) -> Iterator[Fault]:
    for name, block in declared.calls.items():
        called = found.get(declared.source(name))
        if called is None:
            yield block.fault(f"module.{name}: there is no module at its source")
            continue
        given = block.arguments.keys() - {"source", "count", "for_each", "depends_on"}
        required = {name for name, each in called.variables.items() if "default" not in each.arguments}
        for missing in sorted(required - given):
            yield block.fault(f"module.{name} is not given {missing}, which it requires")
        for unknown in sorted(given - called.variables.keys()):
            yield block.fault(f"module.{name} has no variable {unknown}")


def _unused(declared: Declared) -> Iterator[Fault]:
    used = {use.path[:2] for use in declared.uses}
    for kind, blocks in (("var", declared.variables), ("local", declared.locals)):
        for name, block in blocks.items():
            if (kind, name) not in used:
                yield block.fault(f"{kind}.{name} is declared and not used")


def _unused_outputs(found: dict[Path, Declared], roots: list[Path]) -> Iterator[Fault]:
    used = defaultdict(set)
    for declared in found.values():
        for use in declared.uses:
            if use.path[0] == "module" and len(use.path) > 2 and use.path[1] in declared.calls:
                used[declared.source(use.path[1])].add(use.path[2])
    for folder, declared in found.items():
        if folder not in {root.resolve() for root in roots}:
            for name, block in declared.outputs.items():
                if name not in used[folder]:
                    yield block.fault(f"output {name} is not used by any module")


def _example_faults(declared: Declared) -> Iterator[Fault]:
    """The example has each variable that has no default, and no other name than the variables'."""
    example = parse(declared.folder / "terraform.tfvars.example")
    for name, block in declared.variables.items():
        if "default" not in block.arguments and name not in example.arguments:
            yield example.fault(f"{name} has no default and is missing here")
    for name, tree in example.arguments.items():
        if name not in declared.variables:
            yield Fault(example.file, line_of(tree), f"there is no variable {name}")


def _uses(block: Block, bound: frozenset[str]) -> Iterator[Use]:
    # The type of a variable has words of its own.
    for tree in (tree for name, tree in block.arguments.items() if (block.kind, name) != ("variable", "type")):
        for path, line in _paths(tree, bound):
            yield Use(path, block, line)
    inside = bound | {block.labels[0]} if block.kind == "dynamic" else bound
    # A terraform block has no expressions.
    if block.kind != "terraform":
        for inner in block.blocks:
            if inner.kind not in FIXED:
                yield from _uses(inner, inside)


def _paths(tree: Expression, bound: frozenset[str]) -> Found:
    """The names in an expression that are not bound in it, each with its line."""
    if tree.data in PARTS:
        yield from PARTS[tree.data](tree, bound)
    else:
        yield from _all(children(tree), bound)


def _all(trees: Iterable[Expression], bound: frozenset[str]) -> Found:
    return (found for tree in trees for found in _paths(tree, bound))


def _call(tree: Expression, bound: frozenset[str]) -> Found:
    return _all(children(tree)[1:], bound)


def _loop(tree: Expression, bound: frozenset[str]) -> Found:
    intro, *rest = children(tree)
    *names, collection = children(intro)
    yield from _paths(collection, bound)
    yield from _all(rest, bound | {word(name) for name in names})


def _heredoc(tree: Expression, bound: frozenset[str]) -> Found:
    for path in re.findall(r"\$\{(\w+(?:\.\w+)+)\}", str(tree.children[0])):
        if path.split(".")[0] not in bound:
            yield tuple(path.split(".")), line_of(tree)


def _element(tree: Expression, bound: frozenset[str]) -> Found:
    key, value = children(tree)
    inner = children(key)[0]
    # A key is a word of its own, or an expression in parentheses or quotes.
    named = inner.data == "expr_term" and children(inner)[0].data == "identifier"
    return _all([value] if named else [value, inner], bound)


def _chain(tree: Expression, bound: frozenset[str]) -> Found:
    """``root.name[index].name``: its names, and those in the index."""
    names: list[str] = []
    at = tree
    while at.data != "identifier":
        first, *rest = children(at) or [at]
        if at.data == "get_attr_expr_term":
            names.insert(0, word(children(rest[0])[0]))
        elif at.data == "index_expr_term":
            yield from _all(children(rest[0]), bound)
        elif at.data != "expr_term":
            yield from _paths(at, bound)
            return
        at = first
    if word(at) not in bound:
        yield (word(at), *names), line_of(at)


PARTS: dict[str, Callable[[Expression, frozenset[str]], Found]] = {
    **dict.fromkeys(["get_attr_expr_term", "index_expr_term", "expr_term", "identifier"], _chain),
    **dict.fromkeys(["for_tuple_expr", "for_object_expr"], _loop),
    **dict.fromkeys(["heredoc_template", "heredoc_template_trim"], _heredoc),
    "function_call": _call,
    "object_elem": _element,
}
