"""The OpenAPI document for people: operations in groups, types in words, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from webapp.api.operation import JSON

MOST_TOLD = 1_000_000
"""Larger limits of numbers are the database's and are not shown."""
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter or a property."""

    name: str
    type: SafeString
    note: SafeString
    required: bool


@dataclass(frozen=True)
class Answer:
    status: str
    note: SafeString
    type: SafeString


@dataclass(frozen=True)
class Described:
    """One operation. ``curl`` and ``python`` are examples that run; empty if a token is not enough."""

    anchor: str
    method: str
    path: str
    summary: str
    group: str
    parameters: list[Field]
    answers: list[Answer]
    curl: str
    python: str


@dataclass(frozen=True)
class Shape:
    name: str
    note: SafeString
    fields: list[Field]


class Reference:
    """The page's content from an OpenAPI ``document``, with ``site`` and ``run_id`` in the examples."""

    def __init__(self, document: Mapping[str, Any], site: str, run_id: str) -> None:
        self._document = document
        self._values = {"run_id": run_id, "quick_test_id": "1", "chunk": "0"}
        self.site = site

    @property
    def about(self) -> SafeString:
        return prose(self._document["info"]["description"])

    @property
    def version(self) -> str:
        return str(self._document["info"]["version"])

    def groups(self) -> list[tuple[str, list[Described]]]:
        """Operations by group, in the order of the document."""
        groups: dict[str, list[Described]] = {}
        for one in self._operations():
            groups.setdefault(one.group, []).append(one)
        return list(groups.items())

    def shapes(self) -> list[Shape]:
        schemas = self._document["components"]["schemas"]
        return [
            Shape(name, prose(schema.get("description", "")), list(_properties(schema)))
            for name, schema in sorted(schemas.items())
        ]

    def _operations(self) -> Iterator[Described]:
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if operation := item.get(method):
                    parameters = [*item.get("parameters", []), *operation["parameters"]]
                    address = self.site + self._filled(path, parameters)
                    yield Described(
                        anchor=operation["operationId"],
                        method=method.upper(),
                        path=path,
                        summary=operation["summary"],
                        group=operation["tags"][0],
                        parameters=[_parameter(one) for one in parameters],
                        answers=[_answer(status, one) for status, one in operation["responses"].items()],
                        curl=_curl(address) if method == "get" else "",
                        python=_python(address) if method == "get" else "",
                    )

    def _filled(self, path: str, parameters: list[dict[str, Any]]) -> str:
        filled = re.sub(r"{(\w+)}", lambda part: self._values[part[1]], path)
        needed = [one for one in parameters if one["in"] == "query" and one["required"]]
        query = urlencode({one["name"]: _example(one["schema"]) for one in needed}, safe=",")
        return f"{filled}?{query}" if query else filled


def _example(schema: Mapping[str, Any]) -> str:
    """The first allowed value or example."""
    values: list[str] = schema.get("enum") or schema["examples"]
    return values[0]


def prose(text: str) -> SafeString:
    """HTML of the text, with `code` marked up."""
    return mark_safe(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped just here


def words(schema: Mapping[str, Any]) -> SafeString:
    """A schema's values in words, such as ``list of number or null``. Shapes are links within the page."""
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        return format_html('<a href="#shape-{0}">{0}</a>', name)
    if "enum" in schema:
        values = (one if isinstance(one, str) else json.dumps(one) for one in schema["enum"])
        return _joined(format_html("<code>{}</code>", value) for value in values)
    if "anyOf" in schema:
        return _joined(words(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return format_html("list of {}", words(schema["items"]))
    if "additionalProperties" in schema:
        return format_html("object of {}", words(schema["additionalProperties"]))
    return _simple(schema)


def _simple(schema: Mapping[str, Any]) -> SafeString:
    types = schema.get("type", "anything")
    named = " or ".join(types) if isinstance(types, list) else types
    if schema.get("maximum", MOST_TOLD) < MOST_TOLD:
        return format_html("{}, {} to {}", named, schema["minimum"], schema["maximum"])
    return format_html("{}", named)


def _joined(parts: Iterator[SafeString]) -> SafeString:
    return format_html_join(", ", "{}", ((part,) for part in parts))


def _parameter(one: Mapping[str, Any]) -> Field:
    note = prose(one["description"])
    if "default" in one["schema"]:
        note = format_html("{} Default: <code>{}</code>.", note, one["schema"]["default"])
    return Field(one["name"], words(one["schema"]), note, one["required"])


def _properties(schema: Mapping[str, Any]) -> Iterator[Field]:
    for name, one in schema["properties"].items():
        yield Field(name, words(one), prose(one.get("description", "")), name in schema["required"])


def _answer(status: str, one: Mapping[str, Any]) -> Answer:
    kinds = [
        words(body["schema"]) if kind == JSON else format_html("<code>{}</code>", kind)
        for kind, body in one["content"].items()
    ]
    return Answer(status, prose(one["description"]), _joined(iter(kinds)))


def _curl(address: str) -> str:
    return f"curl -H \"Authorization: Bearer $WARMBOARD_TOKEN\" '{address}'"


def _python(address: str) -> str:
    return (
        "import os, requests\n\n"
        'token = os.environ["WARMBOARD_TOKEN"]\n'
        "answer = requests.get(\n"
        f'    "{address}",\n'
        '    headers={"Authorization": f"Bearer {token}"}, timeout=30,\n'
        ")\n"
        "answer.raise_for_status()"
    )
