"""The examples of docs/how-to/any-framework.md and the script of docs/tutorials/pytorch.md, unchanged, in an
environment with the frameworks and the installed library: each run is warm without a command. Only `make test-all` runs
them; scikit-learn's is also in `make test` (test_other_frameworks.py).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests import frameworks
from tests.integration.conftest import Running
from tests.integration.examples import ANY_FRAMEWORK, examples, run_id_of
from tests.paths import ROOT

pytestmark = pytest.mark.integration

TUTORIAL = "Tutorial"
EXAMPLES = {
    **examples(ANY_FRAMEWORK),
    TUTORIAL: "".join(examples(ROOT / "docs" / "tutorials" / "pytorch.md").values()),
}
NEEDS = {TUTORIAL: "torch", "PyTorch": "torch", "Lightning": "lightning", "Hugging Face": "transformers"}
LOGGED = {
    "Track any framework": ("loss", 1),
    "scikit-learn": ("training_accuracy_score", 1),
    "XGBoost": ("train-logloss", 20),
    "PyTorch": ("loss", 3),
    "Lightning": ("loss", 30),
    "Hugging Face": ("loss", 7),
    TUTORIAL: ("val_accuracy", 60),
}
"""Of each example one metric, and how many values of it."""


@pytest.fixture(scope="module")
def python() -> Path:
    """The environment's Python. The project is installed into it again each time, as a user installs it."""
    python, uv = frameworks.python(), str(Path(sys.executable).with_name("uv"))
    options = ["--no-deps", "--reinstall-package", "warmboard", str(ROOT)]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *options], cwd=ROOT, check=True)
    return python


def test_every_section_with_a_script_is_run() -> None:
    assert EXAMPLES.keys() == LOGGED.keys()


@pytest.mark.skipif(not frameworks.WANTED, reason="not run: the examples of other frameworks (make test-all runs them)")
@pytest.mark.parametrize("section", EXAMPLES)
def test_an_example(section: str, running: Running, python: Path, tmp_path: Path) -> None:
    if (module := NEEDS.get(section)) and not frameworks.has(module):
        pytest.skip(f"not run: the example of {section} ({module} is not in build/frameworks, see CONTRIBUTING.md)")
    run_id = run_id_of(EXAMPLES[section], running, tmp_path, python)
    assert running.wait_state(run_id, "warm")["status"] == "FINISHED"

    told = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"]).get_run(run_id).data
    shown = running.get(f"/api/runs/{run_id}/summaries/")["metrics"]
    assert {key: metric["last"]["value"] for key, metric in shown.items()} == told.metrics
    key, count = LOGGED[section]
    assert shown[key]["count"] == count
    assert running.get(f"/api/runs/{run_id}/training-history/")["params"] == told.params
