"""``python -m deploy.checks.reference`` prints the reference page: who may do what, and how much runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deploy.checks.cloud_run import KINDS, POOL
from deploy.checks.identities import table
from deploy.checks.plan import Resource, plan
from deploy.checks.terraform import FOLDER

HEAD = """# Google Cloud: roles and sizes

Printed by `python -m deploy.checks.reference`; `make check` compares the roles with the Terraform files. How to deploy,
and what was not tried: [google-cloud.md](../how-to/google-cloud.md).

## Who may do what

No account has a key, and none has a role of the whole project that something smaller could grant. `cloudsql.client` is
granted by the project under a condition: only on our instance. The trainer needs no `storage.objectAdmin`, which also
sets the access of single objects: `storage.objectUser` reads, writes and deletes them.
"""
SIZES = """
## How much runs

Cloud Run's processors and memory are those of all instances together, sidecars included. *At rest*: the fewest
instances; *at most*: the most that the settings allow.
"""


@dataclass(frozen=True)
class Sizes:
    """What is paid for by the hour. Memory in GiB."""

    processors: float
    memory: float
    database_processors: int
    database_memory: float
    database_zones: int
    valkey_nodes: int
    valkey_type: str


def sizes(planned: Sequence[Resource], *, most: bool) -> Sizes:
    """Of an environment, with the most instances or with the fewest."""
    [database] = (each.arguments["settings"][0] for each in planned if each.type == "google_sql_database_instance")
    [valkey] = (each.arguments for each in planned if each.type == "google_memorystore_instance")
    _, processors, megabytes = re.findall(r"db-custom|\d+", database["tier"])
    found = Sizes(
        processors=0,
        memory=0,
        database_processors=int(processors),
        database_memory=int(megabytes) / 1024,
        database_zones=2 if database["availability_type"] == "REGIONAL" else 1,
        valkey_nodes=valkey["shard_count"] * (1 + valkey["replica_count"]),
        valkey_type=valkey["node_type"],
    )
    for resource in planned:
        if resource.type in KINDS and "job" not in resource.type:
            found = _with(found, resource, _instances(resource, planned, most=most))
    return found


def _instances(resource: Resource, planned: Sequence[Resource], *, most: bool) -> int:
    [scaling] = resource.arguments.get("scaling") or resource.arguments["template"][0]["scaling"]
    if "manual_instance_count" not in scaling:
        return int(scaling["max_instance_count" if most else "min_instance_count"])
    configs = [str(each.arguments["parameter_data"]) for each in planned if "parameter_data" in each.arguments]
    scaled = next(iter(re.findall(r"maxReplicaCount: (\d+)", " ".join(configs))), None)
    if most and scaled and resource.type == POOL and resource.key == "worker":
        return int(scaled)
    return int(scaling["manual_instance_count"])


def _with(found: Sizes, resource: Resource, instances: int) -> Sizes:
    limits = [each["resources"][0]["limits"] for each in resource.arguments["template"][0]["containers"]]
    return replace(
        found,
        processors=found.processors + instances * sum(float(limit["cpu"]) for limit in limits),
        memory=found.memory + instances * sum(_gigabytes(limit["memory"]) for limit in limits),
    )


def _gigabytes(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) / (1024 if unit == "Mi" else 1)


def page() -> str:
    """The reference page, in Markdown."""
    lines = [HEAD, "| who | role | on | why |", "|---|---|---|---|"]
    lines += [
        f"| {grant.who} | `{grant.role}` | {grant.on}{_only(grant.only)} | {why or 'connects with it'} |"
        for grant, why in table().items()
    ]
    dev, prod = (plan(FOLDER / "envs" / name) for name in ("dev", "prod"))
    columns = [sizes(dev, most=False), sizes(prod, most=False), sizes(prod, most=True)]
    lines += [SIZES, "| | dev | prod at rest | prod at most |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {' | '.join(_shown(getattr(each, key)) for each in columns)} |" for name, key in ROWS.items()
    ]
    return "\n".join(lines) + "\n"


ROWS = {
    "Cloud Run: processors": "processors",
    "Cloud Run: memory, GiB": "memory",
    "Cloud SQL: processors": "database_processors",
    "Cloud SQL: memory, GiB": "database_memory",
    "Cloud SQL: zones, each of which is paid for": "database_zones",
    "Valkey: nodes": "valkey_nodes",
    "Valkey: type of node": "valkey_type",
}


def _only(only: str) -> str:
    return f", only our {only}" if only else ""


def _shown(value: str | float) -> str:
    return value.lower().replace("_", " ") if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    print(page(), end="")
