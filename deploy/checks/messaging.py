"""Topics and subscriptions as they are planned against the declaration that `python -m workers setup` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.plan import Resource
from deploy.checks.terraform import ROOT

DECLARATION = ROOT / "workers" / "pubsub" / "declaration.json"
SUBSCRIPTION, TOPIC = "google_pubsub_subscription", "google_pubsub_topic"
# What a subscription must not have: either would make each message slower, and an event may come twice anyway.
NEVER = ("enable_exactly_once_delivery", "enable_message_ordering", "push_config")


def faults(planned: Sequence[Resource]) -> Iterator[Fault]:
    found = {resource.key: resource for resource in planned if resource.type in (SUBSCRIPTION, TOPIC)}
    for role, declared in json.loads(DECLARATION.read_text()).items():
        if role in found:
            yield from _differences(found[role], declared)
    missing = json.loads(DECLARATION.read_text()).keys() - found.keys()
    for role in sorted(missing):
        yield Fault(DECLARATION, 1, f"{role} is declared here, and no Terraform file makes it")
    for resource in found.values():
        if resource.type == SUBSCRIPTION:
            yield from _subscription_faults(resource)


def _subscription_faults(resource: Resource) -> Iterator[Fault]:
    policies = resource.arguments.get("expiration_policy", [])
    if [policy.get("ttl") for policy in policies] != [""]:
        yield resource.fault(f'{resource.arguments["name"]} expires: it needs expiration_policy {{ ttl = "" }}')
    for name in NEVER:
        if resource.arguments.get(name):
            yield resource.fault(f"{resource.arguments['name']}: {name}")


def _differences(resource: Resource, declared: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in declared.items():
        planned = resource.arguments.get(name)
        same = _policy(planned, value) if isinstance(value, dict) else "{" in str(value) or planned == value
        if not same:
            yield resource.fault(f"{resource.key}: {name} is {planned}, but declared as {value}")


def _policy(planned: Any, declared: Mapping[str, Any]) -> bool:
    """Whether a nested block has what is declared, names of other resources aside."""
    fields = {name: value for name, value in declared.items() if not str(value).startswith("{")}
    return bool(planned) and all(planned[0].get(name) == value for name, value in fields.items())
