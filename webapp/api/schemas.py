"""JSON Schema of the TypedDicts and dataclasses that type-check the programs."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

PRIMITIVES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
Schema = dict[str, Any]


class Schemas:
    """``of`` returns the schema of a type, and adds the named shapes it uses to ``components``."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, hint: Any) -> Schema:
        """The schema of a type. Raises TypeError for a type that JSON lacks."""
        if hint is Any:
            return {}
        if hint in PRIMITIVES:
            return {"type": PRIMITIVES[hint]}
        if is_typeddict(hint) or is_dataclass(hint):
            return self._named(hint)
        return self._generic(get_origin(hint), get_args(hint), hint)

    def _generic(self, origin: Any, arguments: tuple[Any, ...], hint: Any) -> Schema:
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (UnionType, Union):
            return _either([self.of(argument) for argument in arguments])
        raise TypeError(f"{hint!r} has no JSON Schema here")

    def _named(self, shape: Any) -> Schema:
        name: str = shape.__name__
        if name not in self.components:
            self.components[name] = {}  # a shape may contain itself
            self.components[name] = self._object(shape)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, shape: Any) -> Schema:
        hints = get_type_hints(shape, include_extras=True)
        optional = {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
        if is_dataclass(shape):
            # Left out if it is None.
            optional |= {field.name for field in fields(shape) if field.default is None}
        bare = {name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()}
        schema: Schema = {
            "type": "object",
            "properties": {name: self.of(hint) for name, hint in bare.items()},
            "required": [name for name in hints if name not in optional],
        }
        return {"description": text_of(shape.__doc__), **schema} if shape.__doc__ else schema


def text_of(docstring: str) -> str:
    """A docstring in one line, with code between single backticks as Markdown has it."""
    return re.sub(r"\*(\w+)\*", r"\1", re.sub(r"\s+", " ", docstring)).strip().replace("``", "`")


def _either(schemas: list[Schema]) -> Schema:
    if all(schema.keys() == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    if all(schema.keys() == {"enum"} for schema in schemas):
        return {"enum": [value for schema in schemas for value in schema["enum"]]}
    return {"anyOf": schemas}
