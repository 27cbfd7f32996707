"""The examples of docs/how-to/any-framework.md, unchanged, in an environment with the frameworks and the installed
library: each run is warm without a command. Only `make test-all` runs them; scikit-learn's is also in `make test`
(test_other_frameworks.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from deploy.local import isolated
from tests.integration.conftest import Running
from tests.integration.examples import ANY_FRAMEWORK, examples, run_id_of
from tests.paths import ROOT

pytestmark = pytest.mark.integration

EXAMPLES = examples(ANY_FRAMEWORK)
NEEDS = {"PyTorch": "torch", "Lightning": "lightning", "Hugging Face": "transformers"}
LOGGED = {
    "Track any framework": ("loss", 1),
    "scikit-learn": ("training_accuracy_score", 1),
    "XGBoost": ("train-logloss", 20),
    "PyTorch": ("loss", 3),
    "Lightning": ("loss", 30),
    "Hugging Face": ("loss", 7),
}
"""Of each example one metric, and how many values of it."""


@pytest.fixture(scope="module")
def python() -> Path:
    """The environment's Python. The project is installed into it again each time, as a user installs it."""
    try:
        python = isolated.binaries("frameworks") / "python"
        options = ["--no-deps", "--reinstall-package", "warmboard", str(ROOT)]
        uv = str(Path(sys.executable).with_name("uv"))
        command = [uv, "pip", "install", "--python", str(python), *options]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (isolated.NotInstalledError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"not run: the examples of other frameworks, which can't be installed ({said.strip()[-200:]})")
    return python


def test_every_section_with_a_script_is_run() -> None:
    assert EXAMPLES.keys() == LOGGED.keys()


@pytest.mark.skipif(
    not os.environ.get("TEST_FRAMEWORKS"),
    reason="not run: the examples of other frameworks (make test-all runs them)",
)
@pytest.mark.parametrize("section", EXAMPLES)
def test_an_example(section: str, running: Running, python: Path, tmp_path: Path) -> None:
    if module := NEEDS.get(section):
        there = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        if there.returncode:
            pytest.skip(f"not run: the example of {section} ({module} is not in build/frameworks, see CONTRIBUTING.md)")
    run_id = run_id_of(EXAMPLES[section], running, tmp_path, python)
    assert running.wait_state(run_id, "warm")["status"] == "FINISHED"

    told = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"]).get_run(run_id).data
    shown = running.get(f"/api/runs/{run_id}/summaries/")["metrics"]
    assert {key: metric["last"]["value"] for key, metric in shown.items()} == told.metrics
    key, count = LOGGED[section]
    assert shown[key]["count"] == count
    assert running.get(f"/api/runs/{run_id}/training-history/")["params"] == told.params
