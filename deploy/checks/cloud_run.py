"""The containers of a plan: what each is given, what it runs, and where Cloud Run asks whether it works."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.checks import programs
from deploy.checks.fault import Fault
from deploy.checks.identities import ACCOUNT, grant_of
from deploy.checks.plan import Resource
from deploy.checks.programs import Container, Probe
from deploy.checks.values import Unknown, text_of

POOL = "google_cloud_run_v2_worker_pool"
KINDS = ("google_cloud_run_v2_service", POOL, "google_cloud_run_v2_job")
PROBES = ("startup_probe", "readiness_probe", "liveness_probe")
OURS = re.compile(r".*-docker\.pkg\.dev/[^/]+/warmboard/(\w+):[^:]+")
TIMES = frozenset(
    {"initial_delay_seconds", "period_seconds", "timeout_seconds", "failure_threshold", "success_threshold"}
)
LONGEST_START = 240
"""Seconds that Cloud Run gives a startup probe, all its tries together."""
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Instance(Container):
    """A container of Cloud Run, and the account as which it runs."""

    resource: Resource
    account: str


def faults(planned: Sequence[Resource]) -> Iterator[Fault]:
    found = list(containers(planned))
    yield from programs.faults(found)
    readers = {(grant.who, grant.on) for grant in map(grant_of, _secret_grants(planned))}
    for container in found:
        yield from _start_faults(container)
        yield from _secret_faults(container, readers)


def containers(planned: Sequence[Resource]) -> Iterator[Instance]:
    """Those with an image of ours."""
    for resource in planned:
        if resource.type not in KINDS:
            continue
        [template] = resource.arguments["template"]
        if "template" in template:
            [template] = template["template"]
        for given in template["containers"]:
            if ours := OURS.fullmatch(str(given["image"])):
                yield _instance(ours[1], given, template, resource)


def _instance(program: str, given: Given, template: Given, resource: Resource) -> Instance:
    name, variables = given["name"], given.get("env", [])
    return Instance(
        program=program,
        name=name,
        fault=lambda text: resource.fault(f"{name}: {text}"),
        arguments=[str(word) for word in given.get("args", [])],
        command=given.get("command", []),
        variables=[each["name"] for each in variables],
        environment={each["name"]: text_of(each["value"]) for each in variables if "value" in each},
        secrets={each["name"]: _secret_of(each) for each in variables if "value" not in each},
        files=_files(given, template.get("volumes", [])),
        ports=[port["container_port"] for port in given.get("ports", [])],
        probes=[_probe(kind, probe) for kind in PROBES for probe in given.get(kind, [])],
        resource=resource,
        account=_text(template.get("service_account", "")),
    )


def _secret_of(variable: Given) -> str:
    return str(variable["value_source"][0]["secret_key_ref"][0]["secret"])


def _files(given: Given, volumes: Sequence[Given]) -> dict[str, str]:
    """The files that are mounted from secrets: path → the secret's name."""
    mounts = {mount["name"]: mount["mount_path"] for mount in given.get("volume_mounts", [])}
    return {
        f"{mounts[volume['name']]}/{item['path']}": str(secret["secret"])
        for volume in volumes
        if volume["name"] in mounts
        for secret in volume.get("secret", [])
        for item in secret.get("items", [])
    }


def _probe(name: str, given: Given) -> Probe:
    kinds = sorted(given.keys() - TIMES)
    [asked] = given[kinds[0]] if len(kinds) == 1 else [{}]
    return Probe(
        name=name,
        kinds=kinds,
        port=asked.get("port"),
        path=asked.get("path"),
        period=given.get("period_seconds", 10),
        timeout=given.get("timeout_seconds", 1),
        tries=given.get("failure_threshold", 3),
    )


def _text(value: Any) -> str:
    return value.text if isinstance(value, Unknown) else str(value)


def _secret_grants(planned: Sequence[Resource]) -> Iterator[Resource]:
    return (resource for resource in planned if resource.type == "google_secret_manager_secret_iam_member")


def _start_faults(container: Instance) -> Iterator[Fault]:
    for probe in container.probes:
        if probe.name == "startup_probe" and probe.period * probe.tries > LONGEST_START:
            yield container.fault(f"{probe.name} takes more than {LONGEST_START} s in all")


def _secret_faults(container: Instance, readers: set[tuple[str, str]]) -> Iterator[Fault]:
    account = ACCOUNT.search(container.account)
    if account is None:
        yield container.fault("it has no account of its own, so it would run as the project's, which may do much")
        return
    for secret in sorted({*container.secrets.values(), *container.files.values()}):
        if (account[1], f"secret {secret}") not in readers:
            yield container.fault(f"{account[1]} may not read the secret {secret}")
