"""The tutorial of a stock MLflow, followed word by word: in environments that it makes, from the wheels."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.local.process import free_port
from tests.conftest import NOT_RUN
from tests.deploy.server.conftest import EXTRA
from tests.paths import ROOT
from tests.tutorial import reader
from tests.waiting import PATIENCE, wait

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not EXTRA, reason=f"{NOT_RUN}the tutorial of a stock MLflow (make test-all)"),
    # It installs MLflow, and waits for a sweep.
    pytest.mark.timeout(1800),
]
PAGE = ROOT / "docs" / "tutorials" / "your-mlflow.md"


def test_its_reader_gets_there(wheels: Path, tmp_path: Path) -> None:
    for wheel in wheels.glob("*.whl"):
        shutil.copy(wheel, tmp_path)
    mlflow, web = str(free_port()), str(free_port())
    with reader(tmp_path, {"5000": mlflow, "8000": web}, WEBAPP_PORT=web) as following:
        following.follow(PAGE)

        def runs(query: str = "") -> list[dict[str, Any]]:
            asked = {"q": f"experiment = tutorial {query}"}
            answer = requests.get(f"http://127.0.0.1:{web}/api/runs/", params=asked, timeout=PATIENCE)
            found: list[dict[str, Any]] = answer.json()["runs"]
            return [run for run in found if run["state"] == "warm"]

        wait(lambda: len(runs()) == 6, "the second three runs", following.terminal.splitlines)
        assert {run["name"] for run in runs()} == {"lr 0.001", "lr 0.003", "lr 0.01"}
        assert 1 <= len(runs("metric.val/loss < 1")) // 2 <= 2, "as the page says"
        assert '"runs"' in following.printed[-2], "what curl shows"
