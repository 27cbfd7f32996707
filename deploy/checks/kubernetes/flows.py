"""Who connects to what: from what the programs are told, and from what scales, scrapes and publishes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.checks.kubernetes.references import selects
from deploy.checks.kubernetes.rendered import Manifest
from deploy.checks.kubernetes.workloads import Ours, Pod, containers, pods

NAMESPACE = "warmboard"
ADDRESSES = ("REDIS_URL", "MLFLOW_TRACKING_URI", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")
"""Settings that name a server: an address, or HOST:PORT."""
DATABASES = ("DATABASE_URL", "WEBAPP_DATABASE_URL", "MLFLOW_BACKEND_STORE_URI")
"""Settings that name PostgreSQL. They are secrets, so their values are in no file: the how-to has them created."""
GOOGLE = {
    "PUBSUB_TOPIC": "PUBSUB_EMULATOR_HOST",
    "OUTPUT_URI": "STORAGE_EMULATOR_HOST",
    "MLFLOW_ARTIFACT_ROOT": "STORAGE_EMULATOR_HOST",
}
"""Settings that name something of Google's, and the one that puts an emulator in its place."""


@dataclass(frozen=True)
class End:
    """Where a flow begins or ends: our pods, those of another namespace, or an address."""

    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace: str = ""
    address: str = ""


@dataclass(frozen=True)
class Flow:
    """A connection that is needed, for a reason: a setting's name, or what makes it."""

    source: End
    target: End
    port: int
    why: str
    of: Manifest
    protocol: str = "TCP"


# Any of Google's APIs, and who says which account a pod is.
API, METADATA = End(address="142.250.0.1"), End(address="169.254.169.254")
# Any that Google gives to Cloud SQL.
CLOUD_SQL, CLOUD_SQL_PORT = End(address="10.20.0.3"), 3307
DNS = End({"k8s-app": "kube-dns"}, "kube-system")
LOAD_BALANCER = (End(address="35.191.0.1"), End(address="130.211.0.1"))
SCRAPERS = {"PodMonitor": "monitoring", "PodMonitoring": "gke-gmp-system"}


class UnknownHostError(Exception):
    """A name that is no Service's, or a port that it does not have."""

    def __init__(self, name: str, why: str, of: Manifest) -> None:
        super().__init__(f"{why}: there is no Service {name}")
        self.fault = of.fault(str(self), why, "service:")


def needed(manifests: Sequence[Manifest]) -> Iterator[Flow]:
    """All connections that the manifests need. Raises UnknownHostError."""
    on_google = any(manifest.kind == "PodMonitoring" for manifest in manifests)
    for pod in pods(manifests):
        yield from _names(pod, on_google=on_google)
        yield from _of_proxy(pod)
    for container in containers(manifests):
        yield from _of_settings(container, manifests)
    for manifest in manifests:
        yield from _of_others(manifest, manifests)


def end_of(pod: Pod) -> End:
    return End(pod.labels, NAMESPACE)


def _names(pod: Pod, *, on_google: bool) -> Iterator[Flow]:
    for target in (DNS, METADATA) if on_google else (DNS,):
        yield Flow(end_of(pod), target, 53, "names", pod.manifest, "UDP")


def _of_settings(container: Ours, manifests: Sequence[Manifest]) -> Iterator[Flow]:
    pod, told = container.pod, container.environment
    named = {name: told[name] for name in ADDRESSES if name in told}
    named |= {name: "postgresql://postgres:5432" for name in DATABASES if name in container.secrets}
    for name, address in named.items():
        yield from _to_address(pod, name, address, manifests)
    for name, emulator in GOOGLE.items():
        if name in told and emulator not in told:
            yield Flow(end_of(pod), API, 443, name, pod.manifest)
            yield Flow(end_of(pod), METADATA, 80, name, pod.manifest)


def _to_address(pod: Pod, name: str, address: str, manifests: Sequence[Manifest]) -> Iterator[Flow]:
    parts = urlsplit(address if "://" in address else f"//{address}")
    host, port = parts.hostname or "", parts.port or 0
    if re.fullmatch(r"[\d.]+", host):
        yield Flow(end_of(pod), End(address=host), port, name, pod.manifest)
        return
    for target, number in _behind(host, port, manifests, name, pod.manifest):
        yield Flow(end_of(pod), target, number, name, pod.manifest)


def _behind(
    host: str, port: object, manifests: Sequence[Manifest], why: str, of: Manifest
) -> Iterator[tuple[End, int]]:
    """The pods behind a port of a Service, and the port on which they listen. Raises UnknownHostError."""
    services = [each for each in manifests if (each.kind, each.name) == ("Service", host)]
    ports = [(each, port_of) for each in services for port_of in each.spec["ports"]]
    wanted = [(each, given["targetPort"]) for each, given in ports if port in (given["port"], given["name"])]
    if not wanted:
        raise UnknownHostError(f"{host} with a port {port}", why, of)
    [(service, target)] = wanted
    for pod in pods(manifests):
        if selects({"matchLabels": service.spec["selector"]}, pod.labels):
            yield end_of(pod), _number(pod, target)


def _number(pod: Pod, name: object) -> int:
    ports: list[Mapping[str, Any]] = [port for given in pod.given() for port in given.get("ports", [])]
    return next((int(port["containerPort"]) for port in ports if port["name"] == name), 0)


def _of_proxy(pod: Pod) -> Iterator[Flow]:
    """Of Google's connector for Cloud SQL."""
    if any("cloud-sql-proxy" in given["image"] for given in pod.given()):
        for target, port in ((API, 443), (METADATA, 80), (CLOUD_SQL, CLOUD_SQL_PORT)):
            yield Flow(end_of(pod), target, port, "its instance", pod.manifest)


def _of_others(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[Flow]:
    """From who scales, scrapes or publishes our pods."""
    if manifest.kind == "ScaledObject":
        for target, port in _behind("postgres", "postgres", manifests, "its query", manifest):
            yield Flow(End(namespace="keda"), target, port, "its query", manifest)
    elif manifest.kind in SCRAPERS:
        [endpoint] = manifest.spec.get("podMetricsEndpoints") or manifest.spec["endpoints"]
        for pod in pods(manifests):
            if selects(manifest.spec["selector"], pod.labels):
                source = End(namespace=SCRAPERS[manifest.kind])
                yield Flow(source, end_of(pod), _number(pod, endpoint["port"]), "scraping", manifest)
    elif manifest.kind == "Ingress":
        backend = manifest.spec["defaultBackend"]["service"]
        for target, port in _behind(backend["name"], backend["port"]["name"], manifests, "requests", manifest):
            for source in LOAD_BALANCER:
                yield Flow(source, target, port, "requests", manifest)
