"""Topic, subscription, and those of dead letters: created, or compared with ``declaration.json``.

Terraform reads the same file: it has the names and the shapes of Pub/Sub's own JSON. ``{topic}`` and ``{subscription}``
stand for PUBSUB_TOPIC and PUBSUB_SUBSCRIPTION. An empty expiration policy is one that never ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists
from google.protobuf.json_format import MessageToDict, ParseDict
from google.pubsub_v1 import types

from workers.pubsub import clients
from workers.pubsub.clients import NotFound, ask
from workers.settings import Settings

DECLARATION = Path(__file__).with_name("declaration.json")
DEAD_LETTERS = "dead_letter_subscription"
ORDER = ("topic", "dead_letter_topic", "subscription", DEAD_LETTERS)
"""What is named by another comes before it."""
FIXED = frozenset({"topic", "filter"})
"""Fields that no update can change."""


@dataclass(frozen=True)
class Resource:
    """A topic or a subscription as it is declared: field → value, as in Pub/Sub's JSON."""

    kind: str
    name: str
    fields: Mapping[str, Any]

    def message(self) -> Any:
        """The resource as Google's clients take it."""
        message = types.Topic.pb()() if self.kind == "topic" else types.Subscription.pb()()
        ParseDict({"name": self.name, **self.fields}, message)
        return message


@dataclass
class Difference:
    """How a resource differs from its declaration. ``fields``: name → what it is, and what it should be."""

    resource: Resource
    missing: bool = False
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def stuck(self) -> list[str]:
        """The fields that can't be changed."""
        return sorted(FIXED & self.fields.keys())

    def __str__(self) -> str:
        if self.missing:
            return f"+ {self.resource.name}"
        lines = [f"~ {self.resource.name}"]
        lines += [f"    {name}: {_shown(now)} → {_shown(wanted)}" for name, (now, wanted) in self.fields.items()]
        lines += [f"    {name} can't be changed: delete the {self.resource.kind} first" for name in self.stuck]
        return "\n".join(lines)


def declared(settings: Settings) -> dict[str, Resource]:
    """The declared resources by their role, with full names, in the order in which they can be created."""
    project = f"projects/{settings.project}"

    def resolved(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolved(key, item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        text = value.replace("{topic}", settings.topic).replace("{subscription}", settings.subscription)
        return f"{project}/topics/{text}" if name in ("topic", "dead_letter_topic") else text

    found = {}
    for role, fields in json.loads(DECLARATION.read_text()).items():
        kind = "topic" if role.endswith("topic") else "subscription"
        values = {name: resolved(name, value) for name, value in fields.items()}
        found[role] = Resource(kind, f"{project}/{kind}s/{values.pop('name')}", values)
    return {role: found[role] for role in ORDER}


def differences(settings: Settings) -> Iterator[Difference]:
    """What differs from the declaration. Raises GoogleAPIError."""
    with closing(Admin(settings)) as admin:
        for resource in declared(settings).values():
            if difference := admin.compare(resource):
                yield difference


def set_up(settings: Settings) -> Iterator[Difference]:
    """Create what is missing and change what differs, as far as it can be changed; yields what differed.

    Raises GoogleAPIError.
    """
    with closing(Admin(settings)) as admin:
        for resource in declared(settings).values():
            if difference := admin.compare(resource):
                admin.apply(difference)
                yield difference


class Admin:
    """Reads and writes topics and subscriptions."""

    def __init__(self, settings: Settings) -> None:
        self._clients = {"topic": clients.publisher(settings), "subscription": clients.subscriber(settings)}

    def close(self) -> None:
        for client in self._clients.values():
            client.transport.close()

    def compare(self, resource: Resource) -> Difference | None:
        """How the resource differs from its declaration; None if it doesn't."""
        try:
            found = ask(self._method("get", resource.kind), **{resource.kind: resource.name})
        except NotFound:
            return Difference(resource, missing=True)
        wanted, now = _as_json(resource.message()), _as_json(type(found).pb(found))
        # Servers leave out what is empty, or don't.
        fields = {name: (now.get(name) or None, wanted.get(name) or None) for name in resource.fields}
        changed = {name: pair for name, pair in fields.items() if pair[0] != pair[1]}
        return Difference(resource, fields=changed) if changed else None

    def apply(self, difference: Difference) -> None:
        resource = difference.resource
        if difference.missing:
            # Another process may have been faster.
            with suppress(AlreadyExists):
                self._method("create", resource.kind)(request=resource.message(), retry=None, timeout=clients.SECONDS)
        elif paths := sorted(difference.fields.keys() - FIXED):
            change = {resource.kind: resource.message(), "update_mask": {"paths": paths}}
            ask(self._method("update", resource.kind), **change)

    def _method(self, verb: str, kind: str) -> Any:
        return getattr(self._clients[kind], f"{verb}_{kind}")


def _as_json(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value)
