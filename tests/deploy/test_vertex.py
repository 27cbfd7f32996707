"""The Vertex AI jobs, checked against the trainer's options, settings and image, and against the API's fields."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer.__main__
from tests.deploy.files import Dockerfile
from tests.paths import ROOT
from warmboard.contract.settings import SETTINGS
from warmboard.settings import Settings

REGION = "europe-central2"
FOLDER = ROOT / "deploy" / "gcp"
JOBS = ("vertex-job.yaml", "vertex-job-gpu.yaml")
GUIDE = (ROOT / "docs" / "how-to" / "vertex-ai.md").read_text()
ROLES = {"run.invoker", "pubsub.publisher", "storage.objectAdmin"}
IMAGE = Dockerfile.of("trainer/Dockerfile")
every_job = pytest.mark.parametrize("name", JOBS)

# The fields of google.cloud.aiplatform.v1, as its JSON has them: gcloud accepts no others. Messages that no job here
# uses have only a name. None is a value; a list is a list of such.
MACHINE = dict.fromkeys(
    ["machineType", "acceleratorType", "acceleratorCount", "tpuTopology", "reservationAffinity", "gpuPartitionSize"]
)
CONTAINER = {"imageUri": None, "command": [None], "args": [None], "env": [{"name": None, "value": None}]}
WORKER_POOL: dict[str, Any] = {
    "containerSpec": CONTAINER,
    "machineSpec": MACHINE,
    "replicaCount": None,
    "diskSpec": {"bootDiskType": None, "bootDiskSizeGb": None},
    "pythonPackageSpec": {},
    "nfsMounts": [{}],
    "lustreMounts": [{}],
}
SCHEDULING = dict.fromkeys(["timeout", "restartJobOnWorkerRestart", "strategy", "disableRetries", "maxWaitDuration"])
JOB_SPEC: dict[str, Any] = {
    "workerPoolSpecs": [WORKER_POOL],
    "scheduling": SCHEDULING,
    "baseOutputDirectory": {"outputUriPrefix": None},
    "reservedIpRanges": [None],
    "models": [None],
    "pscInterfaceConfig": {},
    **dict.fromkeys(
        ["serviceAccount", "network", "persistentResourceId", "protectedArtifactLocationId", "tensorboard"]
    ),
    **dict.fromkeys(["enableWebAccess", "enableDashboardAccess", "experiment", "experimentRun"]),
}


def job(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def pool(name: str) -> dict[str, Any]:
    [found] = job(name)["workerPoolSpecs"]
    return dict(found)


def environment(name: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in pool(name)["containerSpec"]["env"]}


def unknown(document: Any, fields: Any, path: str = "") -> list[str]:
    """The paths of everything that is not among the fields."""
    if isinstance(document, dict) and isinstance(fields, dict):
        within = [unknown(value, fields.get(key, key), f"{path}.{key}") for key, value in document.items()]
        return [found for each in within for found in each]
    if isinstance(document, list) and isinstance(fields, list):
        return [found for each in document for found in unknown(each, fields[0], path)]
    return [] if fields is None and isinstance(document, str | int | bool) else [path]


@every_job
def test_it_has_fields_that_the_api_knows(name: str) -> None:
    assert unknown(job(name), JOB_SPEC) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("service_account", "x"),
        ("scheduling.retries", 1),
        ("serviceAccount", ["x"]),
        ("workerPoolSpecs", {}),
        ("scheduling", "x"),
    ],
)
def test_other_fields_would_be_noticed(path: str, value: object) -> None:
    document = copy.deepcopy(job(JOBS[0]))
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value

    assert unknown(document, JOB_SPEC) == [f".{path}"]


@every_job
def test_its_variables_are_settings_of_the_trainer_with_values_that_it_takes(name: str) -> None:
    variables = environment(name)

    assert len(variables) == len(pool(name)["containerSpec"]["env"])
    assert all("trainer" in SETTINGS[variable].programs for variable in variables)
    assert all(isinstance(value, str) for value in variables.values())
    assert not [variable for variable in variables if SETTINGS[variable].secret]
    settings = Settings.read(variables)
    assert settings.output_uri.startswith("gs://MY-BUCKET/")
    assert settings.google_cloud_project == "MY-PROJECT"
    assert settings.mlflow_tracking_uri.startswith("https://")


@every_job
def test_no_emulator_is_named(name: str) -> None:
    assert not [variable for variable in environment(name) if "EMULATOR" in variable]


@every_job
def test_its_arguments_are_options_of_the_trainer(name: str) -> None:
    container = pool(name)["containerSpec"]
    options = trainer.__main__.parser().parse_args(container["args"])

    # The image's entry point is kept, and the demo's data are not in the image.
    assert "command" not in container
    assert IMAGE.exec_form("ENTRYPOINT") == ["python", "-m", "trainer"]
    assert options.data.startswith("gs://MY-BUCKET/")


@every_job
def test_a_training_is_one_replica_that_is_not_started_again(name: str) -> None:
    assert pool(name)["replicaCount"] == 1
    assert job(name)["scheduling"]["disableRetries"] is True
    assert re.fullmatch(r"\d+s", job(name)["scheduling"]["timeout"])


@every_job
def test_image_and_account_are_those_that_the_guide_makes(name: str) -> None:
    image = pool(name)["containerSpec"]["imageUri"]
    account, _, host = job(name)["serviceAccount"].partition("@")

    assert (
        image.removesuffix("-gpu:MY-TAG").removesuffix(":MY-TAG")
        == f"{REGION}-docker.pkg.dev/MY-PROJECT/warmboard/trainer"
    )
    assert "$REGION-docker.pkg.dev/$PROJECT/warmboard/trainer\n" in GUIDE
    assert f"REGION={REGION}\n" in GUIDE
    assert f"service-accounts create {account} " in GUIDE
    assert host == "MY-PROJECT.iam.gserviceaccount.com"
    assert f"--region={REGION} " in (FOLDER / name).read_text()


def test_the_gpu_job_differs_only_in_machine_and_image() -> None:
    plain, gpu = map(job, JOBS)
    machine = gpu["workerPoolSpecs"][0]["machineSpec"]

    assert machine.pop("acceleratorCount") >= 1
    assert machine.pop("acceleratorType").startswith("NVIDIA_")
    container = gpu["workerPoolSpecs"][0]["containerSpec"]
    container["imageUri"] = container["imageUri"].replace("trainer-gpu:", "trainer:")
    assert gpu == plain


def test_the_guide_gives_the_job_these_roles_and_no_others() -> None:
    given = re.findall(r"--member=\$ACCOUNT --role=roles/([\w.]+)", GUIDE)

    assert set(given) == ROLES
    assert len(given) == GUIDE.count("--member=$ACCOUNT")


def test_the_guides_replacements_leave_nothing_to_fill_in(tmp_path: Path) -> None:
    [command] = re.findall(r"^sed .*? > job\.yaml$", GUIDE, re.MULTILINE | re.DOTALL)
    given = {"PROJECT": "p-1", "BUCKET": "b-1", "TAG": "t-1", "MLFLOW_TRACKING_URI": "https://mlflow.test"}

    line = command.replace("deploy/gcp", shlex.quote(str(FOLDER)))
    subprocess.run(["sh", "-ec", line], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", **given}, check=True)

    filled = yaml.safe_load((tmp_path / "job.yaml").read_text())
    assert not re.search("MY-|example", yaml.safe_dump(filled))
    variables = {
        variable["name"]: variable["value"] for variable in filled["workerPoolSpecs"][0]["containerSpec"]["env"]
    }
    assert variables["GOOGLE_CLOUD_PROJECT"] == "p-1"
    assert variables["MLFLOW_TRACKING_URI"] == "https://mlflow.test"
    assert filled["workerPoolSpecs"][0]["containerSpec"]["imageUri"].endswith("/p-1/warmboard/trainer:t-1")


def test_the_image_for_gpus_has_the_same_packages_but_another_tensorflow() -> None:
    plain, gpu = (pins(f"trainer{suffix}.txt") for suffix in ("", "_gpu"))
    shared = plain.keys() & gpu.keys()

    assert plain.keys() - shared == {"tensorflow-cpu"}
    added = gpu.keys() - shared
    assert gpu["tensorflow"] == plain["tensorflow-cpu"]
    assert all(name == "tensorflow" or name.startswith("nvidia-") for name in added)
    assert any(name.startswith("nvidia-cudnn") for name in added)
    assert {name: gpu[name] for name in shared} == {name: plain[name] for name in shared}


@pytest.mark.parametrize(("gpu", "kept"), [("0", "processors"), ("1", "GPUs")])
def test_the_build_argument_chooses_the_requirements(gpu: str, kept: str, tmp_path: Path) -> None:
    [line] = [line for line in IMAGE.all("RUN") if "$GPU" in line]
    choose, _, install = line.partition("&&")
    (tmp_path / "trainer.txt").write_text("processors")
    (tmp_path / "trainer_gpu.txt").write_text("GPUs")

    subprocess.run(["sh", "-ec", choose], cwd=tmp_path, env={"GPU": gpu, "PATH": "/usr/bin:/bin"}, check=True)

    assert (tmp_path / "trainer.txt").read_text() == kept
    assert "--requirement trainer.txt" in install
    assert "GPU=0" in IMAGE.all("ARG")
    assert "--build-arg GPU=1 " in GUIDE


def pins(name: str) -> dict[str, str]:
    """Package → version and marker of a requirements file."""
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(.+?) \\$", text, re.MULTILINE))
