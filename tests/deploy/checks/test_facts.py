"""What the checks take for granted, against where it comes from."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.urls import resolve

from deploy.checks import bindings, identities, metrics, programs, reference, schema
from deploy.checks.cloud_run import containers
from deploy.checks.plan import Module, Resource, example, plan
from deploy.checks.terraform import FOLDER, SCHEMA, environments
from tests.conftest import NOT_RUN
from tests.deploy import test_vertex
from tests.paths import ROOT
from warmboard.contract.settings import SETTINGS
from warmboard.settings import Settings
from webapp.serving import gateway
from workers import flower
from workers.health import server

ENVIRONMENTS = pytest.mark.parametrize("environment", environments(), ids=lambda path: path.name)
THREADS, BEAT, SUBSCRIBER, JOBS = 11, 4, 3, 2
"""Connections of the database at most: of one process of the webapp, of beat, of the subscriber, of the jobs."""
KEPT = 6
"""Connections that PostgreSQL and Cloud SQL keep for themselves."""
BINDINGS = ROOT / "build" / "bindings"


def test_the_schema_is_that_of_the_bindings() -> None:
    wheels = list(BINDINGS.glob("*.whl"))
    if not wheels:
        pytest.skip(f"{NOT_RUN}the provider's schema against its bindings (make terraform-schema brings them)")

    assert bindings.dumped(bindings.schema(wheels[0])) == SCHEMA.read_text()


def test_the_schema_has_the_types_of_our_files_and_no_others() -> None:
    assert set(schema.provider()["types"]) == bindings.used()


def test_the_makefile_has_the_version_of_the_schema() -> None:
    [pin] = re.findall(r"^BINDINGS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert pin.replace("==", "-").replace("-", "_") == schema.provider()["package"].replace("-", "_")


def test_the_webapp_serves_these_paths() -> None:
    for path in programs.SERVING["webapp", "serve"].paths:
        resolve(path)


def test_the_workers_serve_these_paths() -> None:
    assert programs.SERVING["workers", "flower"].paths == (flower.HEALTH_CHECK,)
    text = Path(server.__file__).read_text()
    for command in ("subscribe", "worker", "beat"):
        assert all(f'"{path}"' in text for path in programs.SERVING["workers", command].paths)


def test_mlflow_serves_these_paths() -> None:
    routes = text_of("mlflow/server/security_utils.py")

    assert all(f'"{path}"' in routes for path in programs.SERVING["mlflow_server", ""].paths)


def test_libraries_read_these_variables() -> None:
    mlflow, flower = text_of("mlflow/environment_variables.py"), text_of("flower/options.py")
    read = {
        **{name: f"\n{name} = " in mlflow for name in programs.THIRD_PARTY if name.startswith("MLFLOW_")},
        "FLOWER_BASIC_AUTH": 'define("basic_auth"' in flower and "'FLOWER_'" in text_of("flower/command.py"),
        "STORAGE_EMULATOR_HOST": '"STORAGE_EMULATOR_HOST"' in text_of("google/cloud/storage/_helpers.py"),
    }

    assert read == dict.fromkeys(programs.THIRD_PARTY, True)


def text_of(file: str) -> str:
    """A file of an installed package."""
    package = {"mlflow": "mlflow", "flower": "flower", "google": "google-cloud-storage"}[file.split("/")[0]]
    [found] = [each for each in files(package) or [] if str(each) == file]
    return Path(str(found.locate())).read_text()


def test_the_settings_of_ports_and_addresses_are_read_by_these_programs() -> None:
    for (program, _), serving in programs.SERVING.items():
        for name in (*serving.ports, *([serving.host] if serving.host else [])):
            assert program in SETTINGS[name].programs


def test_the_reference_page_is_what_is_printed() -> None:
    assert (ROOT / "docs" / "reference" / "google-cloud.md").read_text() == reference.page()


def test_each_reason_in_the_table_of_roles_is_for_one_role() -> None:
    rows = json.loads(identities.TABLE.read_text())

    assert len(rows) == len(identities.table())


@ENVIRONMENTS
def test_a_training_gets_a_job_that_the_trainer_takes(environment: Path) -> None:
    module = Module(environment, example(environment))
    known = {"workerPoolSpecs", "serviceAccount", "scheduling"}

    for name, text in module.output("trainer_jobs").items():
        job: dict[str, Any] = yaml.safe_load(text)
        [pool] = job["workerPoolSpecs"]
        variables = {each["name"]: each["value"] for each in pool["containerSpec"]["env"]}
        assert set(job) == known
        assert test_vertex.unknown(job, test_vertex.JOB_SPEC) == []
        assert not re.search("MY-|example.com", yaml.safe_dump(job))
        assert pool["containerSpec"]["imageUri"].endswith("trainer-gpu:0000000" if "gpu" in name else "trainer:0000000")
        assert (
            Settings.read({**variables, "MLFLOW_TRACKING_URI": "https://mlflow.test"}).pubsub_topic == "warmboard-runs"
        )


@ENVIRONMENTS
def test_trainer_workers_and_webapp_name_the_same_topic_and_bucket(environment: Path) -> None:
    planned = plan(environment)
    [topic] = [each.arguments["name"] for each in planned if each.key == "topic"]
    [bucket] = [each.arguments["name"] for each in planned if each.type == "google_storage_bucket"]
    text = str(Module(environment, example(environment)).output("trainer_jobs"))

    for container in containers(planned):
        assert container.environment.get("PUBSUB_TOPIC", topic) == topic
        assert container.environment.get("OUTPUT_URI", f"gs://{bucket}/runs") == f"gs://{bucket}/runs"
    assert f"value: {topic}" in text
    assert f"gs://{bucket}/runs" in text


def connections(planned: list[Resource]) -> dict[str, int]:
    """How many connections of the database the services may take, and how many all other processes."""
    services = {"webapp": 0, "mlflow": 0}
    for container in containers(planned):
        name, environment = container.name, container.environment
        if name in services:
            [scaling] = container.resource.arguments["template"][0]["scaling"]
            pool = [int(environment.get(f"MLFLOW_SQLALCHEMYSTORE_{part}", 0)) for part in ("POOL_SIZE", "MAX_OVERFLOW")]
            processes = int(environment["WEBAPP_PROCESSES" if name == "webapp" else "MLFLOW_WORKERS"])
            services[name] = scaling["max_instance_count"] * processes * (sum(pool) or THREADS)
    workers = [each["maxReplicaCount"] for each in scaled(planned)] or [1]
    # Of a worker's main process, of its two children, and of the thread that renews claims.
    return {**services, "others": 4 * workers[0] + BEAT + SUBSCRIBER + JOBS}


@ENVIRONMENTS
def test_the_database_takes_the_connections_of_all_also_during_a_roll_out(environment: Path) -> None:
    planned = plan(environment)
    [database] = [each.arguments["settings"][0] for each in planned if each.type == "google_sql_database_instance"]
    flags = {flag["name"]: flag["value"] for flag in database["database_flags"]}
    taken = connections(planned)

    # The old revision of a service and the new one run side by side for a while.
    most = 2 * (taken["webapp"] + taken["mlflow"]) + taken["others"]
    assert most <= int(flags["max_connections"]) - KEPT


def test_a_process_of_the_webapp_has_so_many_threads() -> None:
    lanes = re.findall(r"threads=(\w+)", Path(gateway.__file__).read_text())

    assert sum(gateway.THREADS if number == "THREADS" else int(number) for number in lanes) == THREADS


def scaled(planned: list[Resource]) -> list[dict[str, Any]]:
    """What the scaler scales."""
    texts = [
        str(each.arguments["parameter_data"])
        for each in planned
        if each.type == "google_parameter_manager_parameter_version"
    ]
    return [each["spec"] for text in texts for each in yaml.safe_load(text)["spec"]["scaledObjects"]]


def test_the_scaler_asks_for_a_metric_of_ours_and_names_the_pool() -> None:
    planned = plan(FOLDER / "envs" / "prod")
    [workers] = scaled(planned)
    [trigger] = workers["triggers"]
    [pool] = [
        each.arguments for each in planned if each.type == "google_cloud_run_v2_worker_pool" and each.key == "worker"
    ]

    assert workers["scaleTargetRef"]["name"].endswith(f"/{pool['location']}/workerpools/{pool['name']}")
    assert metrics.NAME.findall(trigger["metadata"]["query"]) == ["warmboard_inbox_rows"]
    assert workers["minReplicaCount"] == pool["scaling"][0]["manual_instance_count"]


def test_the_files_are_formatted() -> None:
    if not shutil.which("terraform"):
        pytest.skip(f"{NOT_RUN}terraform fmt (it is not installed)")

    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", str(FOLDER)], capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
