"""Each pod as little as it needs: never root, no privilege to gain, no file system to write, no token, no more memory
than it is given. And each of ours is asked whether it works, and has time to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.checks.fault import Fault
from deploy.checks.kubernetes.rendered import Manifest
from deploy.checks.kubernetes.workloads import Ours, Pod, containers, pods
from deploy.checks.programs import serving

END_SECONDS = 8
"""How long our programs take to end after SIGTERM: ``workers/processes.py``, whose import needs Django."""
GRACE_SECONDS = 30
"""What Kubernetes gives a pod unless it says otherwise."""
Given = Mapping[str, Any]


def faults(manifests: Sequence[Manifest]) -> Iterator[Fault]:
    for manifest in manifests:
        if manifest.kind == "Secret":
            yield manifest.fault("a secret is in the files: `kubectl create secret` makes it")
    for pod in pods(manifests):
        yield from _pod_faults(pod)
        for given in pod.given():
            yield from _container_faults(pod, given)
    for container in containers(manifests):
        yield from _end_faults(container)
        yield from _asked_faults(container)


def _pod_faults(pod: Pod) -> Iterator[Fault]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(name):
            yield pod.fault(f"{name}: a pod has nothing of its node", name)
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield pod.fault("automountServiceAccountToken is not false: none of our programs asks Kubernetes")
    if pod.spec.get("enableServiceLinks") is not False:
        yield pod.fault(
            "enableServiceLinks is not false: Kubernetes would set FLOWER_PORT, MLFLOW_PORT and the like to addresses"
        )
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield pod.fault(f"the volume {volume['name']} is a folder of the node", "hostPath")
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit"):
            yield pod.fault(f"the volume {volume['name']} has no sizeLimit", f"name: {volume['name']}")


def _container_faults(pod: Pod, given: Given) -> Iterator[Fault]:
    name = given["name"]
    of_pod, own = pod.spec.get("securityContext", {}), given.get("securityContext", {})
    both = {**of_pod, **own}
    wanted = {
        "runAsNonRoot": both.get("runAsNonRoot") is True,
        "runAsUser": bool(both.get("runAsUser")),
        "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
        "seccompProfile": both.get("seccompProfile") == {"type": "RuntimeDefault"},
        "privileged": not own.get("privileged"),
    }
    said = {
        "runAsNonRoot": "it may be root: runAsNonRoot is not true",
        "runAsUser": "it may be root: runAsUser is missing or 0",
        "capabilities": "capabilities are not dropped: {drop: [ALL]}",
        "seccompProfile": "seccompProfile is not RuntimeDefault",
    }
    for field, right in wanted.items():
        if not right:
            yield pod.fault(f"{name}: {said.get(field, f'{field} is wrong')}", field, "securityContext")
    resources = given.get("resources", {})
    for kind, resource in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if resource not in resources.get(kind, {}):
            yield pod.fault(f"{name}: resources.{kind}.{resource} is missing", "resources:")
    image = given["image"]
    if "@sha256:" not in image and image.rpartition(":")[2] in ("", "latest", image):
        yield pod.fault(f"{name}: {image} has no tag that names one version", "image:")


def _end_faults(container: Ours) -> Iterator[Fault]:
    """Our programs end within END_SECONDS after SIGTERM, which comes once preStop is over."""
    pod = container.pod
    given = next(each for each in pod.given() if each["name"] == container.name)
    before = given.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace = pod.spec.get("terminationGracePeriodSeconds", GRACE_SECONDS)
    if grace - before <= END_SECONDS:
        yield pod.fault(
            f"{container.name}: {grace - before} s after SIGTERM are too few: a program takes {END_SECONDS} s",
            "terminationGracePeriodSeconds",
        )


def _asked_faults(container: Ours) -> Iterator[Fault]:
    paths = serving(container).paths
    asked = {probe.name for probe in container.probes}
    wanted = {"startupProbe", "livenessProbe"} if paths else set()
    if "/readyz" in paths:
        wanted.add("readinessProbe")
    for name in sorted(wanted - asked):
        yield container.fault(f"there is no {name}")
