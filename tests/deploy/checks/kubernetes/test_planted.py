"""Each check of the manifests finds the mistake that it is for, and names its file and line; ours have none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.checks.kubernetes.__main__ import faults, main
from tests.deploy.checks.kubernetes.tree import Manifests
from tests.paths import ROOT

BASE, WEBAPP, WORKER, BEAT, FLOWER, MIGRATE, POLICIES = (
    f"base/{name}.yaml" for name in ("kustomization", "webapp", "worker", "beat", "flower", "migrate", "network")
)
KIND, GKE = "overlays/kind/kustomization.yaml", "overlays/gke/kustomization.yaml"
SCALER, MONITOR = "components/scaling/worker.yaml", "components/monitoring/pods.yaml"
READY = (
    "readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}"
)
SIGNING = "{name: WEBAPP_SECRET_KEY, valueFrom: {secretKeyRef: {name: webapp, key: WEBAPP_SECRET_KEY}}}"
EXEC = "startupProbe: {exec: {command: [python, -m, workers, check, worker]}"
# Name → file, the text to be replaced, its replacement, what is said of it, and where. No place: where the text is.
PLANTED = {
    "a misspelt field": (WEBAPP, "readinessProbe:", "readynessProbe:", "'readynessProbe' was unexpected"),
    "a misspelt field of KEDA's": (SCALER, "pollingInterval:", "pollInterval:", "'pollInterval' was unexpected"),
    "a misspelt field of a monitor": (
        MONITOR, "podTargetLabels:", "podTargetLabel:", "'podTargetLabel' was unexpected",
    ),
    "a misspelt field of Google's monitor": (
        "overlays/gke/monitoring.yaml", "interval: 30s", "every: 30s", "'every' was unexpected",
    ),
    "a field that is missing": (
        WEBAPP, "  selector: {matchLabels: {app.kubernetes.io/name: webapp}}\n  template", "  template",
        "'selector' is a required property",
    ),
    "a value of another type": (WEBAPP, "containerPort: 8000", 'containerPort: "8000"', "'8000' is not of type"),
    "a kind that there is not": (
        WORKER, "kind: PodDisruptionBudget", "kind: DisruptionBudget", "has no policy/v1 DisruptionBudget",
    ),
    "what Kustomize refuses": (KIND, "  - storage.yaml", "  - stores.yaml", "stores.yaml"),
    "a variable that no program reads": (
        BASE, "WEBAPP_PROCESSES=2", "WEBAPP_WORKERS=2", "WEBAPP_WORKERS is a variable that webapp does not read",
    ),
    "a variable of another program": (
        BASE, "MLFLOW_WORKERS=2", "WEBAPP_PROCESSES=2",
        "WEBAPP_PROCESSES is a variable that mlflow_server does not read",
    ),
    "a variable that is given twice": (
        BASE, "METRICS_PORT=9100]", "METRICS_PORT=9100, LOG_LEVEL=INFO]", "LOG_LEVEL is given twice",
    ),
    "a value that its program refuses": (BASE, "LOG_FORMAT=json", "LOG_FORMAT=yaml", "LOG_FORMAT: 'yaml'"),
    "a required variable that is missing": (
        KIND, '"MLFLOW_ARTIFACT_ROOT=gs://warmboard/mlflow", ', "", "MLFLOW_ARTIFACT_ROOT is missing",
    ),
    "a secret in the open": (
        WEBAPP, SIGNING, "{name: WEBAPP_SECRET_KEY, value: abc}",
        "WEBAPP_SECRET_KEY is a secret and stands in the open",
    ),
    "a secret of Flower's in the open": (
        BASE, "FLOWER_PORT=5555", "FLOWER_PORT=5555, FLOWER_BASIC_AUTH=a:b", "FLOWER_BASIC_AUTH is a secret and stands",
    ),
    "a secret in the files": (
        "base/namespace.yaml", "apiVersion", "apiVersion: v1\nkind: Secret\nmetadata: {name: store}\n---\napiVersion",
        "a secret is in the files",
    ),
    "a secret that no one creates": (
        FLOWER, "key: FLOWER_BASIC_AUTH", "key: AUTH", "creates no secret flower with AUTH",
    ),
    "a secret of the scaler's that no one creates": (
        SCALER, "name: webapp, key", "name: keda, key", "creates no secret keda",
    ),
    "a port that nothing listens on": (
        WEBAPP, "containerPort: 8000", "containerPort: 8080", "nothing listens on its port 8080",
    ),
    "a health port that nothing listens on": (
        WORKER, "containerPort: 8081", "containerPort: 8082", "startupProbe: nothing listens on port 8082",
    ),
    "metrics for the container alone": (
        BASE, "METRICS_HOST=0.0.0.0", "METRICS_HOST=127.0.0.1", "nothing listens on its port 9100",
    ),
    "an address that no one reaches": (
        BASE, "WEBAPP_HOST=0.0.0.0", "WEBAPP_HOST=127.0.0.1", "WEBAPP_HOST is not 0.0.0.0",
    ),
    "a probe of a path that there is not": (WEBAPP, "/readyz", "/ready", "readinessProbe: there is no /ready"),
    "a probe inside of the container": (
        WORKER, "startupProbe: {httpGet: {path: /healthz, port: health}", EXEC, "startupProbe asks by exec",
    ),
    "a probe that takes longer than its period": (
        WORKER, "timeoutSeconds: 4", "timeoutSeconds: 9", "its timeout is longer",
    ),
    "no readiness": (WEBAPP, READY, "workingDir: /app", "there is no readinessProbe"),
    "a command that there is not": (WORKER, "args: [worker]", "args: [work]", "workers has no such command"),
    "a command of its own": (WORKER, "args: [worker]", "command: [sh]", "it has a command of its own"),
    "a management command that there is not": (
        MIGRATE, "database_role", "database_roles", "`manage` has no command database_roles",
    ),
    "a flow that is missing": (
        WORKER, "        to/mlflow: allowed\n", "",
        "MLFLOW_TRACKING_URI: no NetworkPolicy lets it out to mlflow, port 5000",
    ),
    "a flow that is missing on its other side": (
        POLICIES, "from: [{podSelector: {matchLabels: {to/mlflow", "from: [{podSelector: {matchLabels: {to/redis",
        "MLFLOW_TRACKING_URI: no NetworkPolicy lets it in to mlflow, port 5000",
    ),
    "a flow to the database that is missing": (
        MIGRATE, ", to/postgres: allowed", "", "DATABASE_URL: no NetworkPolicy lets it out to postgres, port 5432",
    ),
    "a flow of the scaler's that is missing": (
        SCALER, "metadata.name: keda", "metadata.name: default", "its query: no NetworkPolicy lets it in to postgres",
    ),
    "a flow of Prometheus' that is missing": (
        MONITOR, "metadata.name: monitoring", "metadata.name: default",
        "scraping: no NetworkPolicy lets it in to webapp",
    ),
    "a flow of the load balancer's that is missing": (
        "overlays/gke/network.yaml", "35.191.0.0/16", "35.192.0.0/16",
        "requests: no NetworkPolicy lets it in to webapp",
    ),
    "a flow to Google that is missing": (
        "overlays/gke/network.yaml", "port: 443", "port: 80",
        "PUBSUB_TOPIC: no NetworkPolicy lets it out to 142.250.0.1",
    ),
    "a flow to Valkey that is missing": (
        GKE, "10.10.1.2", "10.10.2.2", "REDIS_URL: no NetworkPolicy lets it out to 10.10.2.2, port 6379",
    ),
    "names that do not resolve": (
        POLICIES, "k8s-app: kube-dns", "k8s-app: dns", "names: no NetworkPolicy lets it out to kube-system",
    ),
    "a flow too many": (
        FLOWER, "to/redis: allowed", "to/redis: allowed, to/postgres: allowed",
        "let it through the NetworkPolicy to-postgres, and nothing of it connects there",
    ),
    "a rule that nothing needs": (
        "overlays/kind/network.yaml", "      ports: [{port: 8085}]",
        "      ports: [{port: 8085}]\n    - ports: [{port: 22}]",
        "it lets through what nothing needs",
    ),
    "no denial": (POLICIES, "[Ingress, Egress]", "[Ingress]", "no NetworkPolicy denies everything"),
    "requests to what there is not": (
        "overlays/gke/ingress.yaml", "{name: webapp, port", "{name: web, port", "requests: there is no Service web",
    ),
    "a port that a Service does not have": (
        BASE, "http://mlflow:5000", "http://mlflow:5001", "there is no Service mlflow with a port 5001",
    ),
    "a host that there is not": (BASE, "http://mlflow:5000", "http://tracking:5000", "there is no Service tracking"),
    "a container that may be root": (BEAT, "runAsNonRoot: true", "runAsNonRoot: false", "it may be root"),
    "a container that is root": (BEAT, "runAsUser: 10001", "runAsUser: 0", "it may be root: runAsUser is missing or 0"),
    "a container of others that is root": (
        "overlays/kind/redis.yaml", "runAsUser: 999", "runAsUser: 0", "it may be root",
    ),
    "an init container that may be root": (
        MIGRATE, "{readOnlyRootFilesystem: true", "{runAsUser: 0, readOnlyRootFilesystem: true",
        "migrate: it may be root",
    ),
    "a file system to write": (
        BEAT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem is wrong",
    ),
    "a privilege to gain": (
        BEAT, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation is wrong",
    ),
    "a capability": (BEAT, "drop: [ALL]", "drop: [NET_RAW]", "capabilities are not dropped"),
    "any system call": (BEAT, "type: RuntimeDefault", "type: Unconfined", "seccompProfile is not RuntimeDefault"),
    "no limit of memory": (BEAT, ", limits: {memory: 1Gi}", "", "resources.limits.memory is missing"),
    "a folder of any size": (BEAT, "emptyDir: {sizeLimit: 16Mi}", "emptyDir: {}", "warmboard has no sizeLimit"),
    "a folder of the node": (
        BEAT, "emptyDir: {sizeLimit: 16Mi}", "hostPath: {path: /var/lib}", "is a folder of the node",
    ),
    "a token of Kubernetes'": (
        BEAT, "      automountServiceAccountToken: false\n", "", "automountServiceAccountToken is not false",
    ),
    "ports that become addresses": (
        BEAT, "enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks is not",
    ),
    "too little time to end": (
        WEBAPP, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 20",
        "5 s after SIGTERM are too few",
    ),
    "an authority that is not mounted": (
        GKE, "mountPath: /secrets/valkey", "mountPath: /secrets/redis",
        "REDIS_URL names /secrets/valkey/ca.pem, which is not",
    ),
    "an image that no overlay names": (KIND, "{name: webapp,", "{name: web,", "no overlay says which image webapp is"),
    "an image that is none of ours": (
        KIND, "warmboard/webapp", "warmboard/website", "warmboard/website:local is none of our",
    ),
    "images of several versions": (
        KIND, "newTag: local", "newTag: other", "the images have several tags: local, other",
    ),
    "an image of any version": (
        "overlays/kind/redis.yaml", "valkey/valkey:9.1.2", "valkey/valkey:latest", "has no tag that names one version",
    ),
    "a selector without pods": (
        "overlays/kind/redis.yaml", "selector: {app.kubernetes.io/name: redis}", "selector: {app: redis}",
        "its selector finds no",
    ),
    "a port of a Service that no pod has": (WEBAPP, "targetPort: http", "targetPort: web", "webapp has no port web"),
    "metrics at another path": (MONITOR, "path: /metrics", "path: /prometheus", "metrics are not at /prometheus"),
    "an account that there is not": (
        BEAT, "serviceAccountName: beat", "serviceAccountName: beats", "no ServiceAccount beats",
    ),
    "a map that there is not": (FLOWER, "{name: logs}", "{name: log}", "there is no ConfigMap log"),
    "a scaler of nothing": (
        SCALER, "scaleTargetRef: {name: worker}", "scaleTargetRef: {name: pool}", "no Deployment pool",
    ),
    "a number that the scaler sets": (WORKER, "  selector:", "  replicas: 2\n  selector:", "the scaler sets how many"),
}  # fmt: skip


def test_our_manifests_have_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", PLANTED)
def test_it_is_found(name: str, tmp_path: Path) -> None:
    file, old, new, said = PLANTED[name]
    copy = Manifests(tmp_path, "gke" if "gke" in file else "kind")

    copy.edit(file, old, new)

    found = copy.faults()
    assert [line for line in found if said in line], "\n".join(found) or "nothing was found"


@pytest.mark.parametrize(
    ("name", "place", "has"),
    [
        ("a misspelt field", WEBAPP, "readynessProbe:"),
        ("a variable that no program reads", BASE, "WEBAPP_WORKERS=2"),
        ("a required variable that is missing", "base/mlflow.yaml", "apiVersion: apps/v1"),
        ("a secret in the open", WEBAPP, "WEBAPP_SECRET_KEY, value: abc"),
        ("a flow that is missing", WORKER, "labels:"),
        ("a container that may be root", BEAT, "runAsNonRoot: false"),
        ("what Kustomize refuses", KIND, "# Everything on your machine"),
    ],
)
def test_file_and_line_are_named(name: str, place: str, has: str, tmp_path: Path) -> None:
    file, old, new, said = PLANTED[name]
    copy = Manifests(tmp_path, "kind")
    copy.edit(file, old, new)

    [found] = {(fault.file, fault.line) for fault in faults(copy.folder) if said in fault.text}

    assert found[0] == copy.folder / place
    assert has in found[0].read_text().splitlines()[found[1] - 1]


def test_a_fault_fails_the_command(tmp_path: Path) -> None:
    copy = Manifests(tmp_path, "kind")
    copy.edit(WEBAPP, "/readyz", "/ready")

    done = subprocess.run(
        [sys.executable, "-m", "deploy.checks.kubernetes", str(copy.folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert "readinessProbe: there is no /ready, but /healthz, /readyz" in done.stdout
