"""The pods of the manifests, and their containers: what each is given, what it runs, and where it is probed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.kubernetes.rendered import Manifest
from deploy.checks.programs import Container, Probe

TEMPLATES = {
    "Deployment": ("template",),
    "StatefulSet": ("template",),
    "Job": ("template",),
    "CronJob": ("jobTemplate", "spec", "template"),
}
"""Where a kind has its pods."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
ASKED = {"httpGet": "http_get", "tcpSocket": "tcp_socket", "grpc": "grpc", "exec": "exec"}
OURS = re.compile(r"(?:.*/)?warmboard/(mlflow_server|trainer|webapp|workers):[^:]+")
WORDS = re.compile(r"\b[A-Z]+_[A-Z_]+\b|\w+Probe\b")
"""What a message has of a manifest: variables and probes."""
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """The pods of a workload, which are all alike. ``labels`` are those that selectors see."""

    manifest: Manifest
    labels: Mapping[str, str]
    spec: Given

    def fault(self, text: str, *words: str) -> Fault:
        return self.manifest.fault(text, *words)

    @property
    def name(self) -> str:
        return self.manifest.name

    def given(self) -> Iterator[Given]:
        """All containers, those that run before the others among them."""
        yield from self.spec.get("initContainers", [])
        yield from self.spec["containers"]


def pods(manifests: Sequence[Manifest]) -> list[Pod]:
    return [_pod(manifest) for manifest in manifests if manifest.kind in TEMPLATES]


def _pod(manifest: Manifest) -> Pod:
    template: Any = manifest.spec
    for name in TEMPLATES[manifest.kind]:
        template = template[name]
    return Pod(manifest, template.get("metadata", {}).get("labels", {}), template["spec"])


@dataclass(frozen=True)
class Ours(Container):
    """A container with an image of ours, and its pod."""

    pod: Pod


def containers(manifests: Sequence[Manifest]) -> list[Ours]:
    maps = {each.given["metadata"]["name"]: each for each in manifests if each.kind == "ConfigMap"}
    return [
        _container(ours[1], given, pod, maps)
        for pod in pods(manifests)
        for given in pod.given()
        if (ours := OURS.fullmatch(given["image"]))
    ]


def _container(program: str, given: Given, pod: Pod, maps: Mapping[str, Manifest]) -> Ours:
    name = given["name"]
    ports = {port.get("name"): port["containerPort"] for port in given.get("ports", [])}
    told = [maps[each["configMapRef"]["name"]] for each in given.get("envFrom", []) if _is_of(each, maps)]
    # A mistake in a variable is where the variable is.
    somewhere = replace(pod.manifest, places=[*pod.manifest.places, *(place for each in told for place in each.places)])
    environment, secrets = _variables(given, told)
    return Ours(
        program=program,
        name=name,
        fault=lambda text: somewhere.fault(f"{name}: {text}", *WORDS.findall(text)),
        arguments=given.get("args", []),
        command=given.get("command", []),
        variables=[each for each, _ in (*environment, *secrets)],
        environment=dict(environment),
        secrets=dict(secrets),
        files=_files(given, pod.spec),
        ports=list(ports.values()),
        probes=[_probe(kind, given[kind], ports) for kind in PROBES if kind in given],
        pod=pod,
    )


def _is_of(each: Given, maps: Mapping[str, Manifest]) -> bool:
    return "configMapRef" in each and each["configMapRef"]["name"] in maps


def _variables(given: Given, told: Sequence[Manifest]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names with values, and names with secrets. A whole Secret has names that are not known here: its own is one."""
    environment = [pair for each in told for pair in each.given.get("data", {}).items()]
    secrets = [("", each["secretRef"]["name"]) for each in given.get("envFrom", []) if "secretRef" in each]
    for each in given.get("env", []):
        if "value" in each:
            environment.append((each["name"], each["value"]))
        elif "secretKeyRef" in each["valueFrom"]:
            secrets.append((each["name"], each["valueFrom"]["secretKeyRef"]["name"]))
        else:
            environment.append((each["name"], "<known in the pod>"))
    return environment, secrets


def _files(given: Given, spec: Given) -> dict[str, str]:
    """The one file of each map that is mounted: an authority's certificates."""
    mounts = {mount["name"]: mount["mountPath"] for mount in given.get("volumeMounts", [])}
    return {
        f"{mounts[volume['name']]}/ca.pem": volume["configMap"]["name"]
        for volume in spec.get("volumes", [])
        if "configMap" in volume and volume["name"] in mounts
    }


def _probe(name: str, given: Given, ports: Mapping[Any, int]) -> Probe:
    kinds = [ASKED[kind] for kind in ASKED if kind in given]
    asked = given.get("httpGet") or given.get("tcpSocket") or given.get("grpc") or {}
    port = asked.get("port")
    return Probe(
        name=name,
        kinds=kinds,
        port=ports.get(port, port),
        path=asked.get("path"),
        period=given.get("periodSeconds", 10),
        timeout=given.get("timeoutSeconds", 1),
        tries=given.get("failureThreshold", 3),
    )
