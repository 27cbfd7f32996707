"""Commands of docs/how-to/kubernetes.md that need no cluster, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from deploy.checks.kubernetes.__main__ import faults
from deploy.checks.plan import plan
from deploy.checks.terraform import FOLDER as TERRAFORM
from tests.deploy.checks.kubernetes.tree import Manifests
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
PLACEHOLDER = re.compile(r"my-project|example\.org|0000000|10\.10\.1\.2\b")


def lines(begin: str) -> list[str]:
    """The commands that begin so, without their continuations."""
    return [line.strip() for line in PAGE.splitlines() if line.strip().startswith(begin)]


def sh(script: str, **environ: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_values_of_a_project_are_filled_in(tmp_path: Path) -> None:
    copy = Manifests(tmp_path, "gke")
    overlay = copy.folder / "overlays" / "gke"
    environ = {
        "OVERLAY": str(overlay), "PROJECT": "acme-prod", "REGION": "europe-west1", "HOST": "runs.acme.test",
        "TAG": "abc1234", "REDIS": "rediss://10.10.1.5:6379/0?ssl_ca_certs=/secrets/valkey/ca.pem",
    }  # fmt: skip
    assert PLACEHOLDER.search((overlay / "kustomization.yaml").read_text())
    fill, roll_out = lines('sed -i "s|')

    sh(fill, **environ)

    texts = {file.name: file.read_text() for file in overlay.glob("*.yaml")}
    assert [name for name, text in texts.items() if PLACEHOLDER.search(text)] == []
    assert "europe-central2" not in str(texts)
    assert faults(copy.folder) == []

    sh(roll_out, **{**environ, "TAG": "def5678"})

    assert re.findall(r'newTag: "?(\w+)', (overlay / "kustomization.yaml").read_text()) == ["def5678"] * 4
    assert faults(copy.folder) == []


def test_addresses_of_the_database_lead_to_the_proxy() -> None:
    [function] = lines("address() {")
    secrets = {
        str(each.key): str(each.arguments["secret_data_wo"])
        for each in plan(TERRAFORM / "envs" / "prod")
        if each.type == "google_secret_manager_secret_version" and "secret_data_wo" in each.arguments
    }
    for name, database in {"store-database-url": "warmboard", "mlflow-database-url": "mlflow"}.items():
        made = sh(f'secret() {{ printf %s "$GIVEN"; }}; {function}; address {name}', GIVEN=secrets[name])
        assert re.fullmatch(rf"postgresql://{database}:.+@postgres\.warmboard\.svc:5432/{database}", made)


def test_every_account_at_google_may_be_used_by_its_pods() -> None:
    [names] = re.findall(r"for program in ([\w ]+); do\n\s+gcloud iam service-accounts", PAGE)
    accounts = (ROOT / "deploy" / "kubernetes" / "overlays" / "gke").glob("*.yaml")

    annotated = {name for file in accounts for name in re.findall(r"warmboard-(\w+)@my-project", file.read_text())}
    assert set(names.split()) == annotated
