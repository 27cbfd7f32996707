"""Each check finds the mistake that it is for, and names file and mistake; our own files have none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.checks.__main__ import faults, main
from tests.deploy.checks.tree import Copy
from tests.paths import ROOT

POOLS, WEBAPP, MLFLOW = (f"modules/services/{name}.tf" for name in ("pools", "webapp", "mlflow"))
ENVIRONMENT = "modules/services/environment.tf"
NEVER = 'ttl = lookup(each.value.expiration_policy, "ttl", "")'
ASKED = """http_get {
          path = "/healthz"
          port = 8081
        }"""
PROBE = f"""startup_probe {{
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 24
        {ASKED}"""
# Name → file, the text to be replaced, its replacement, and what is said of it.
PLANTED = {
    "a misspelt argument": (
        "modules/data/bucket.tf", "uniform_bucket_level_access", "uniform_bucket_access",
        "google_storage_bucket has no argument uniform_bucket_access",
    ),
    "a misspelt argument in a nested block": (
        "modules/data/database.tf", "ipv4_enabled ", "ip4_enabled ",
        "google_sql_database_instance.settings.ip_configuration has no argument ip4_enabled",
    ),
    "a required argument that is missing": (
        "modules/data/database.tf", 'tier                        = var.database.tier\n', "",
        "google_sql_database_instance.settings requires tier",
    ),
    "an argument for a block": (
        "modules/data/bucket.tf", "versioning {\n    enabled = true\n  }", "versioning = true",
        "google_storage_bucket: versioning is a block",
    ),
    "a type that there is not": (
        "modules/network/main.tf", 'resource "google_compute_network"', 'resource "google_compute_net"',
        "google_compute_net: no such type",
    ),
    "another version of the provider": (
        "modules/warmboard/versions.tf", '"~> 8.7"', '"~> 7.0"', "the schema is of version 8.7.0, not of ['7.0']",
    ),
    "an attribute that there is not": (
        "modules/identities/outputs.tf", "account.member", "account.members",
        "google_service_account has no attribute members",
    ),
    "an attribute of a resource that there is not": (
        "modules/service/outputs.tf", "v2_service.this.uri", "v2_service.this.url",
        "google_cloud_run_v2_service has no attribute url",
    ),
    "a variable that is not declared": (
        "modules/data/bucket.tf", "var.bucket", "var.buckets", "var.buckets is not declared",
    ),
    "a local that is not declared": (POOLS, "local.pools", "local.pool", "local.pool is not declared"),
    "an output that there is not": (
        "modules/warmboard/main.tf", "module.data.redis_url", "module.data.valkey_url",
        "module.data has no output valkey_url",
    ),
    "a resource that there is not": (
        "modules/data/outputs.tf", "google_storage_bucket.this", "google_storage_bucket.that",
        "google_storage_bucket.that is not declared",
    ),
    "a variable that nothing uses": (
        "modules/trainer/variables.tf", 'variable "project"', 'variable "unused" {}\n\nvariable "project"',
        "var.unused is declared and not used",
    ),
    "a module without an input that it requires": (
        "modules/warmboard/main.tf", "  topic          = \"warmboard-runs\"\n", "",
        "module.messaging is not given topic, which it requires",
    ),
    "an input that a module doesn't have": (
        "envs/dev/main.tf", "  protected       = false", "  protect         = false",
        "module.warmboard has no variable protect",
    ),
    "an example without a variable": (
        "envs/prod/terraform.tfvars.example", 'image_tag    = "0000000"\n', "",
        "image_tag has no default and is missing",
    ),
    "an object without a field": ("envs/prod/main.tf", ", rows_each = 4 }", " }", "rows_each is not there"),
    "no Terraform": ("modules/data/bucket.tf", "locals {", "locals {{", "no Terraform"),
    "a role that is missing": (
        "modules/messaging/access.tf", '["trainer", "webapp"]', '["trainer"]',
        "webapp: pubsub.publisher on topic warmboard-runs: no Terraform file grants this role",
    ),
    "a role too many": (
        "modules/data/bucket.tf", 'beat    = "roles/storage.objectViewer"', 'beat    = "roles/storage.objectUser"',
        "beat: storage.objectUser on bucket: this role is not in identities.json",
    ),
    "an account too many": (
        "modules/secrets/main.tf", '["mlflow"]', '["mlflow", "flower"]',
        "flower: secretmanager.secretAccessor on secret mlflow-database-url: this role is not in",
    ),
    "an owner": (
        "modules/identities/main.tf", "roles/monitoring.metricWriter", "roles/owner", "roles/owner is a basic role",
    ),
    "a role for everyone": (
        MLFLOW, "member   = var.people.mlflow", 'member   = "allUsers"', "roles/run.invoker for allUsers",
    ),
    "a condition on another instance": (
        "modules/identities/main.tf", "instances/${var.database_instance}\"\n", "instances/other\"\n",
        "roles/cloudsql.client needs a condition on the instance",
    ),
    "no condition": (
        "modules/identities/main.tf", 'sqladmin.googleapis.com/Instance', 'sqladmin.googleapis.com/Backup',
        "roles/cloudsql.client needs a condition on the instance",
    ),
    "a variable that no program reads": (
        ENVIRONMENT, "WEBAPP_PROCESSES ", "WEBAPP_WORKERS ",
        "webapp: WEBAPP_WORKERS is a variable that webapp does not read",
    ),
    "a variable of another program": (
        ENVIRONMENT, "MLFLOW_WORKERS ", "WEBAPP_PROCESSES ",
        "mlflow: WEBAPP_PROCESSES is a variable that mlflow_server does not read",
    ),
    "a value that its program refuses": (
        ENVIRONMENT, 'WEBAPP_HTTPS = "true"', 'WEBAPP_HTTPS = "on"', "'on' is neither true nor false",
    ),
    "a required variable that is missing": (
        ENVIRONMENT, "MLFLOW_ARTIFACT_ROOT", "MLFLOW_BASIC_AUTH", "MLFLOW_ARTIFACT_ROOT is missing",
    ),
    "a secret in the open": (
        ENVIRONMENT, 'GOOGLE_CLOUD_PROJECT = var.project', 'WEBAPP_SECRET_KEY = var.project',
        "WEBAPP_SECRET_KEY is a secret and stands in the open",
    ),
    "a secret that the account may not read": (
        POOLS, 'var.secrets["store-database-url"]', 'var.secrets["mlflow-database-url"]',
        "worker may not read the secret mlflow-database-url",
    ),
    "an authority that is not mounted": (
        "modules/data/outputs.tf", "/secrets/valkey/ca.pem", "/secrets/redis/ca.pem",
        "REDIS_URL names /secrets/redis/ca.pem, which is not mounted",
    ),
    "a port that nothing listens on": (
        WEBAPP, "= 8000", "= 8080",
        "nothing listens on its port 8080; it listens on 8000",
    ),
    "a probe of a port that nothing listens on": (
        POOLS, "port = 8081", "port = 8080", "startup_probe: nothing listens on port 8080; it listens on 8081",
    ),
    "a probe of a path that there is not": (WEBAPP, '"/readyz"', '"/ready"', "readiness_probe: there is no /ready"),
    "an address that no one reaches": (
        ENVIRONMENT, 'MLFLOW_HOST          = "0.0.0.0"', 'MLFLOW_HOST          = "127.0.0.1"',
        "MLFLOW_HOST is not 0.0.0.0",
    ),
    "a command that there is not": (
        POOLS, '["subscribe"]', '["listen"]', "workers has no such command: python -m workers: error:",
    ),
    "an option that there is not": (POOLS, '["beat"]', '["beat", "--fast"]', "unrecognized arguments: --fast"),
    "a management command that there is not": (
        "modules/services/jobs.tf", '"database_role"', '"database_roles"', "`manage` has no command database_roles",
    ),
    "a start that takes too long": (
        "modules/service/main.tf", "failure_threshold = 48", "failure_threshold = 60",
        "startup_probe takes more than 240 s",
    ),
    "an exec probe on a worker pool": (
        POOLS, PROBE, PROBE.replace(ASKED, 'exec {\n          command = ["true"]\n        }'),
        "google_cloud_run_v2_worker_pool.template.containers.startup_probe has no argument exec",
    ),
    "a subscription that expires": (
        "modules/messaging/main.tf", NEVER, 'ttl = "2678400s"',
        "warmboard-workers expires",
    ),
    "a subscription without its policy": (
        "modules/messaging/main.tf", f"expiration_policy {{\n    {NEVER}\n  }}", "",
        "warmboard-workers expires",
    ),
    "a subscription that is not as declared": (
        "modules/messaging/main.tf", "each.value.ack_deadline_seconds", "600",
        "ack_deadline_seconds is 600, but declared as 10",
    ),
    "a metric that there is not": (
        "modules/operations/alerts.tf", "warmboard_inbox_queue_age_seconds", "warmboard_inbox_age_seconds",
        "warmboard_inbox_age_seconds is no metric",
    ),
}  # fmt: skip


def test_our_files_have_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", PLANTED)
def test_it_is_found(name: str, copy: Copy) -> None:
    file, old, new, said = PLANTED[name]

    copy.edit(file, old, new)

    found = copy.faults()
    assert [line for line in found if said in line], "\n".join(found) or "nothing was found"


@pytest.mark.parametrize("name", ["a misspelt argument", "a port that nothing listens on", "no Terraform"])
def test_file_and_line_are_named(name: str, copy: Copy) -> None:
    file, old, new, said = PLANTED[name]
    copy.edit(file, old, new)

    [found] = [fault for fault in faults(copy.folder) if said in fault.text]

    assert found.file == copy.folder / file
    assert 0 < found.line <= len(found.file.read_text().splitlines())


def test_a_fault_fails_the_command(copy: Copy) -> None:
    copy.edit("modules/data/bucket.tf", "uniform_bucket_level_access", "uniform_bucket_access")

    done = subprocess.run(
        [sys.executable, "-m", "deploy.checks", str(copy.folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "modules/data/bucket.tf:11: google_storage_bucket has no argument uniform_bucket_access" in done.stdout
