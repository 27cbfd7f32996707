"""Who may do what: the roles that Terraform grants against the table ``deploy/gcp/identities.json``.

No role is missing, none is too many, none is of a whole project that something smaller could grant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.plan import Resource
from deploy.checks.terraform import ROOT
from deploy.checks.values import Unknown

TABLE = ROOT / "deploy" / "gcp" / "identities.json"
# Roles that may do nearly everything.
BASIC = re.compile(r"(roles/)?(owner|editor|viewer|admin)$")
EVERYONE = frozenset({"allUsers", "allAuthenticatedUsers"})
# Type → what a grant is on, and the argument that names it.
TARGETS = {
    "google_artifact_registry_repository_iam_member": ("repository", None),
    "google_cloud_run_v2_service_iam_member": ("service", "name"),
    "google_cloud_run_v2_worker_pool_iam_member": ("pool", "name"),
    "google_iap_web_cloud_run_service_iam_member": ("service", "cloud_run_service_name"),
    "google_project_iam_member": ("project", None),
    "google_pubsub_subscription_iam_member": ("subscription", "subscription"),
    "google_pubsub_topic_iam_member": ("topic", "topic"),
    "google_secret_manager_secret_iam_member": ("secret", "secret_id"),
    "google_service_account_iam_member": ("account", "service_account_id"),
    "google_storage_bucket_iam_member": ("bucket", None),
}
GRANTS = re.compile("_iam_(member|binding|policy)$")
ACCOUNT = re.compile(r'google_service_account\.\w+\["([\w-]+)"\]')
PEOPLE = re.compile(r"group:([\w-]+)@.*")
AGENT = re.compile(r"serviceAccount:service-.*@gcp-sa-(\w+)\.iam\.gserviceaccount\.com")


@dataclass(frozen=True, order=True)
class Grant:
    """A role of someone on something, by the names of the table. ``only``: what a condition keeps it to."""

    who: str
    role: str
    on: str
    only: str = ""

    def __str__(self) -> str:
        return f"{self.who}: {self.role} on {self.on}" + (f", only the {self.only}" if self.only else "")


def table(file: Path = TABLE) -> dict[Grant, str]:
    """What the table allows, each with its reason."""
    rows = json.loads(file.read_text())
    return {Grant(row["who"], row["role"], row["on"], row.get("only", "")): row["why"] for row in rows}


def faults(plans: Sequence[Sequence[Resource]], file: Path = TABLE) -> Iterator[Fault]:
    """``plans`` are those of all environments; a role is missing if none of them grants it."""
    allowed = table(file)
    for grant in allowed:
        if BASIC.match(grant.role):
            yield Fault(file, 1, f"{grant.who} has the basic role {grant.role}")
    granted: set[Grant] = set()
    for planned in plans:
        instances = {
            resource.arguments["name"] for resource in planned if resource.type == "google_sql_database_instance"
        }
        for resource in planned:
            if not GRANTS.search(resource.type):
                continue
            yield from _own_faults(resource, instances)
            if resource.type in TARGETS:
                grant = grant_of(resource)
                granted.add(grant)
                if grant not in allowed:
                    yield resource.fault(f"{grant}: this role is not in {file.name}")
    for grant in sorted(allowed.keys() - granted):
        yield Fault(file, _line(file, grant), f"{grant}: no Terraform file grants this role")


def grant_of(resource: Resource) -> Grant:
    """What one ``…_iam_member`` grants."""
    kind, argument = TARGETS[resource.type]
    target = resource.arguments[argument] if argument else ""
    account = ACCOUNT.search(target.text) if isinstance(target, Unknown) else None
    on = f"{kind} {account[1] if account else target}".strip()
    only = "instance" if "condition" in resource.arguments else ""
    return Grant(
        _who(str(resource.arguments["member"])), str(resource.arguments["role"]).removeprefix("roles/"), on, only
    )


def _who(member: str) -> str:
    if member.startswith("principalSet://"):
        return "CI"
    if account := ACCOUNT.search(member):
        return account[1]
    if agent := AGENT.fullmatch(member):
        return f"Google's {agent[1]}"
    return PEOPLE.sub(r"people \1", member)


def _own_faults(resource: Resource, instances: set[Any]) -> Iterator[Fault]:
    """What is wrong with a grant whatever the table says."""
    if resource.type not in TARGETS:
        yield resource.fault(f"{resource.type}: only *_iam_member is used, which takes no role from others")
        return
    role, member = str(resource.arguments["role"]), str(resource.arguments["member"])
    if BASIC.match(role):
        yield resource.fault(f"{role} is a basic role, which may do nearly everything")
    if member in EVERYONE:
        yield resource.fault(f"{role} for {member}: nothing is for everyone")
    if role == "roles/cloudsql.client" and not _keeps_to(resource.arguments, instances):
        yield resource.fault(f"{role} needs a condition on the instance: only a project can grant it")


def _keeps_to(arguments: Mapping[str, Any], instances: set[Any]) -> bool:
    conditions = " ".join(str(each["expression"]) for each in arguments.get("condition", []))
    names = {f'resource.name == "projects/{arguments["project"]}/instances/{name}"' for name in instances}
    return 'resource.type == "sqladmin.googleapis.com/Instance"' in conditions and any(
        name in conditions for name in names
    )


def _line(file: Path, grant: Grant) -> int:
    lines = file.read_text().splitlines()
    found = (n for n, line in enumerate(lines, 1) if f'"{grant.who}"' in line and f'"{grant.role}"' in line)
    return next((n for n in found if f'"{grant.on}"' in lines[n - 1]), 1)
