"""Schemathesis makes up valid and invalid requests from the schema, and checks the real webapp against it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.browser.conftest import Site
from tests.browser.test_api_tokens import ELSEWHERE
from tests.waiting import PATIENCE

VALUES: dict[str, list[str] | list[int]] = {
    "run_id": ["abc123def456", "wide", "cold"],
    "quick_test_id": [7, 9, 404],
    "chunk": [0, 1],
}
# The schema can't say which metrics a run has, whether runs differ, whether a query can be parsed, or how long it is.
SETTINGS = """
[[operations]]
include-path-regex = "/export[.]|/compare|/complete|/runs/$|/annotation/"
checks.positive_data_acceptance.enabled = false
"""
EXAMPLES, SECONDS = 12, 200


@pytest.fixture
def schema(site: Site, tmp_path: Path) -> Path:
    """The webapp's schema, with existing runs and tests as examples."""
    site.seed("warm", {"quick_test": 9}, kind="Framework", run_id="wide", logged="many", size=100)
    site.seed("announce", {"state": "failed", "reason": "MLflow is down"}, run_id="cold")
    document: dict[str, Any] = requests.get(f"{site.address}/api/openapi.json", timeout=PATIENCE).json()
    for item in document["paths"].values():
        for part in item.get("parameters", []):
            part["examples"] = {str(value): {"value": value} for value in VALUES[part["name"]]}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("reader", ["token", "anonymous"])
def test_the_webapp_keeps_to_its_schema(site: Site, token: str, schema: Path, tmp_path: Path, reader: str) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    headers = ELSEWHERE | ({"Authorization": f"Bearer {token}"} if reader == "token" else {})
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={settings}", "run", str(schema)]
    command += [f"--url={site.address}", f"--max-examples={EXAMPLES}", "--seed=1"]
    command += ["--continue-on-failure", "--no-color", "--warnings=off"]
    command += [f"--header={name}: {value}" for name, value in headers.items()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
