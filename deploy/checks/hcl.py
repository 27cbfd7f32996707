"""Terraform files as blocks, their arguments as expressions: syntax alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import hcl2
from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from deploy.checks.fault import Fault, UnreadableError

Expression = Tree[Token]
NAMES = frozenset({"identifier", "keyword", "literal_value"})


@dataclass(frozen=True)
class Block:
    """``kind "label" "label" { name = expression … blocks … }``."""

    kind: str
    labels: tuple[str, ...]
    file: Path
    line: int
    arguments: Mapping[str, Expression] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()

    def all(self, kind: str) -> Iterator[Block]:
        return (block for block in self.blocks if block.kind == kind)

    def fault(self, text: str) -> Fault:
        return Fault(self.file, self.line, text)


def read(folder: Path) -> list[Block]:
    """The blocks of a module: of all files of one folder. Raises UnreadableError."""
    return [block for file in sorted(folder.glob("*.tf")) for block in parse(file).blocks]


def parse(file: Path) -> Block:
    """One file, as a block without a name. Raises UnreadableError."""
    try:
        [body] = children(_tree(file.read_text()))
    except UnexpectedInput as error:
        raise UnreadableError(Fault(file, error.line, f"no Terraform: {str(error).splitlines()[0]}")) from None
    return Block("", (), file, 1, *_body(body, file))


@cache
def _tree(text: str) -> Expression:
    """A file is read by several checks, and not changed by any."""
    tree: Expression = hcl2.parses_to_tree(text)
    return tree


def line_of(tree: Expression) -> int:
    return 0 if tree.meta.empty else tree.meta.line


def children(tree: Expression) -> list[Expression]:
    """The parts of an expression that are expressions, without comments."""
    return [part for part in tree.children if isinstance(part, Tree) and part.data != "new_line_or_comment"]


def word(tree: Expression) -> str:
    """A name, or the text of a string without parts to be filled in."""
    if tree.data in NAMES:
        return str(tree.children[0])
    return "".join(str(part.children[0]) for part in children(tree))


def _body(body: Expression, file: Path) -> tuple[dict[str, Expression], tuple[Block, ...]]:
    arguments, blocks = {}, []
    for part in children(body):
        if part.data == "attribute":
            name, value = children(part)
            arguments[word(name)] = value
        else:
            blocks.append(_block(part, file))
    return arguments, tuple(blocks)


def _block(tree: Expression, file: Path) -> Block:
    *heads, body = children(tree)
    kind, *labels = map(word, heads)
    return Block(kind, tuple(labels), file, line_of(tree), *_body(body, file))
