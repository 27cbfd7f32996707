"""The containers of a plan: what each is given, what it runs, and where it is asked whether it works."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.plan import Resource
from deploy.checks.values import Unknown, text_of

POOL = "google_cloud_run_v2_worker_pool"
KINDS = ("google_cloud_run_v2_service", POOL, "google_cloud_run_v2_job")
PROBES = ("startup_probe", "readiness_probe", "liveness_probe")
OURS = re.compile(r".*-docker\.pkg\.dev/[^/]+/warmboard/(\w+):[^:]+")


@dataclass(frozen=True)
class Container:
    """One container of ours. ``program`` is the folder of its code."""

    program: str
    resource: Resource
    given: Mapping[str, Any]
    volumes: Sequence[Mapping[str, Any]]
    account: str

    def fault(self, text: str) -> Fault:
        return self.resource.fault(f"{self.given['name']}: {text}")

    @property
    def arguments(self) -> list[str]:
        """What follows the image's entry point."""
        return [str(word) for word in self.given.get("args", [])]

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables with their values; one that is known after `terraform apply` has a ``<…>`` in it."""
        return {each["name"]: text_of(each["value"]) for each in self.variables if "value" in each}

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Variables that are read from Secret Manager, with the secrets' names."""
        references = {
            each["name"]: each["value_source"][0]["secret_key_ref"][0] for each in self.variables if "value" not in each
        }
        return {name: str(reference["secret"]) for name, reference in references.items()}

    @cached_property
    def variables(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.given.get("env", [])
        return found

    def probes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name in PROBES:
            yield from ((name, probe) for probe in self.given.get(name, []))

    def files(self) -> dict[str, str]:
        """The files that are mounted from secrets: path → the secret's name."""
        mounts = {mount["name"]: mount["mount_path"] for mount in self.given.get("volume_mounts", [])}
        return {
            f"{mounts[volume['name']]}/{item['path']}": str(secret["secret"])
            for volume in self.volumes
            if volume["name"] in mounts
            for secret in volume.get("secret", [])
            for item in secret.get("items", [])
        }


def containers(planned: Sequence[Resource]) -> Iterator[Container]:
    """Those with an image of ours."""
    for resource in planned:
        if resource.type not in KINDS:
            continue
        [template] = resource.arguments["template"]
        if "template" in template:
            [template] = template["template"]
        for given in template["containers"]:
            if ours := OURS.fullmatch(str(given["image"])):
                volumes = template.get("volumes", [])
                yield Container(ours[1], resource, given, volumes, _text(template.get("service_account", "")))


def _text(value: Any) -> str:
    return value.text if isinstance(value, Unknown) else str(value)
