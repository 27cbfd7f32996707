"""What a manifest names is there: maps, accounts, ports, the pods of a selector, and the four images of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.kubernetes.rendered import Manifest
from deploy.checks.kubernetes.workloads import OURS, Pod, pods
from deploy.checks.terraform import ROOT

PAGE = ROOT / "docs" / "how-to" / "kubernetes.md"
CREATED = re.compile(r"kubectl -n warmboard create (?:secret generic|configmap) (\S+)((?:[^\\\n]|\\\n)*)")
KEY = re.compile(r"--from-(?:literal|file)=([\w.]+)")
METRICS = "/metrics"
"""The path at which prometheus_client serves."""
Given = Mapping[str, Any]


def faults(manifests: Sequence[Manifest], made: Mapping[str, set[str]]) -> Iterator[Fault]:
    """``made`` is what people create beside the manifests: ``created``."""
    found = pods(manifests)
    for pod in found:
        yield from _account_faults(pod, manifests)
        yield from _map_faults(pod, manifests, made)
    yield from _image_faults(found)
    for manifest in manifests:
        yield from _selector_faults(manifest, found)
        yield from _secret_faults(manifest, manifest.given, made)


def created(overlay: str, page: Path = PAGE) -> dict[str, set[str]]:
    """What the how-to has people create for an overlay, secrets and maps: the name of each, with its keys."""
    sections = [section for section in page.read_text().split("\n## ") if overlay in section.partition("\n")[0].lower()]
    return {name: set(KEY.findall(options)) for section in sections for name, options in CREATED.findall(section)}


def _account_faults(pod: Pod, manifests: Sequence[Manifest]) -> Iterator[Fault]:
    account = pod.spec.get("serviceAccountName")
    if account and account not in _names(manifests, "ServiceAccount"):
        yield pod.fault(f"there is no ServiceAccount {account}", "serviceAccountName")


def _map_faults(pod: Pod, manifests: Sequence[Manifest], made: Mapping[str, set[str]]) -> Iterator[Fault]:
    there = {each.given["metadata"]["name"] for each in manifests if each.kind == "ConfigMap"} | made.keys()
    used = {each["configMapRef"]["name"] for given in pod.given() for each in given.get("envFrom", []) if _is_map(each)}
    used |= {volume["configMap"]["name"] for volume in pod.spec.get("volumes", []) if "configMap" in volume}
    for name in sorted(used - there):
        yield pod.fault(f"there is no ConfigMap {name}", f"name: {name}")


def _is_map(each: Given) -> bool:
    return "configMapRef" in each


def _secret_faults(manifest: Manifest, given: Any, made: Mapping[str, set[str]]) -> Iterator[Fault]:
    """Every reference to a secret's key, wherever it stands, is to one that the how-to creates."""
    if isinstance(given, list):
        for each in given:
            yield from _secret_faults(manifest, each, made)
    elif isinstance(given, dict):
        refers = "parameter" in given or "secretKeyRef" in given
        for each in [given.get("secretKeyRef", given)] if refers else []:
            if each["key"] not in made.get(each["name"], set()):
                yield manifest.fault(
                    f"docs/how-to/kubernetes.md creates no secret {each['name']} with {each['key']}", each["key"]
                )
        for each in given.values():
            yield from _secret_faults(manifest, each, made)


def _image_faults(found: Sequence[Pod]) -> Iterator[Fault]:
    """Ours are the four that Terraform's files run as well, all of one tag."""
    ours = [(pod, image) for pod in found for image in _images(pod) if OURS.fullmatch(image)]
    tags = sorted({image.rpartition(":")[2] for _, image in ours})
    if len(tags) > 1:
        yield ours[0][0].fault(f"the images have several tags: {', '.join(tags)}", "image:")
    for pod in found:
        for image in _images(pod):
            if "/" not in image and ":" not in image:
                yield pod.fault(f"no overlay says which image {image} is", "image:")
            elif "warmboard/" in image and not OURS.fullmatch(image):
                yield pod.fault(f"{image} is none of our four images", "image:")


def _images(pod: Pod) -> list[str]:
    return [given["image"] for given in pod.given()]


def _selector_faults(manifest: Manifest, found: Sequence[Pod]) -> Iterator[Fault]:
    if manifest.kind in ("Service", "PodDisruptionBudget", "PodMonitor", "PodMonitoring"):
        chosen = [pod for pod in found if selects(_selector(manifest), pod.labels)]
        if not chosen:
            yield manifest.fault("its selector finds no pods", "selector")
        for pod in chosen:
            yield from _port_faults(manifest, pod)
    elif manifest.kind == "ScaledObject":
        yield from _target_faults(manifest, manifest.spec["scaleTargetRef"]["name"], found)


def _target_faults(manifest: Manifest, name: str, found: Sequence[Pod]) -> Iterator[Fault]:
    targets = [pod for pod in found if (pod.manifest.kind, pod.name) == ("Deployment", name)]
    if not targets:
        yield manifest.fault(f"there is no Deployment {name}", "scaleTargetRef")
    for pod in targets:
        if "replicas" in pod.manifest.spec:
            yield pod.fault("replicas: the scaler sets how many there are, and an apply would undo it", "replicas")


def _selector(manifest: Manifest) -> Given:
    selector: Given = manifest.spec["selector"]
    return {"matchLabels": selector} if manifest.kind == "Service" else selector


def selects(selector: Given, labels: Mapping[str, str]) -> bool:
    """Whether a selector of ours chooses a pod. Raises NotImplementedError for one that is more than labels."""
    if selector.keys() - {"matchLabels"}:
        raise NotImplementedError(f"only matchLabels is used here: {selector}")
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def _port_faults(manifest: Manifest, pod: Pod) -> Iterator[Fault]:
    ports = {port.get("name") for given in pod.given() for port in given.get("ports", [])}
    for wanted in _wanted(manifest):
        if wanted not in ports:
            yield manifest.fault(f"{pod.name} has no port {wanted}", "port")
    for endpoint in _endpoints(manifest):
        if endpoint.get("path", METRICS) != METRICS:
            yield manifest.fault(f"metrics are not at {endpoint['path']}, but at {METRICS}", "path")


def _wanted(manifest: Manifest) -> list[Any]:
    if manifest.kind == "Service":
        return [port["targetPort"] for port in manifest.spec["ports"]]
    return [endpoint["port"] for endpoint in _endpoints(manifest)]


def _endpoints(manifest: Manifest) -> list[Given]:
    return manifest.spec.get("podMetricsEndpoints") or manifest.spec.get("endpoints") or []


def _names(manifests: Sequence[Manifest], kind: str) -> set[str]:
    return {manifest.name for manifest in manifests if manifest.kind == kind}
