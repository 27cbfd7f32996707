"""The scripts of the how-to and the tutorial, run as the pages say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Running
from tests.paths import ROOT
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration
DOCS = ROOT / "docs"


@pytest.mark.parametrize(("page", "epochs"), [("how-to/your-keras-script.md", 3), ("tutorials/keras.md", 20)])
def test_the_script_becomes_a_warm_page(page: str, epochs: int, running: Running, tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    path = tmp_path / "your_script.py"
    path.write_text(script)
    command = [sys.executable, "-m", "deploy.local", f"--data={running.stack.data}", "run", sys.executable, str(path)]
    done = subprocess.run(
        command,
        # From another folder, as the page says: the checkout is on the path.
        cwd=tmp_path,
        env={**running.stack.given, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    running.wait_state(run_id, "warm")
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    assert history["epochs"] == list(range(epochs))
    assert None not in history["loss"]["train"] + history["loss"]["val"] + history["weight_norm"]["query"]
    for tower in ("query", "candidate"):
        gradients = running.get(f"/api/runs/{run_id}/histogram-data/?type=gradients&tower={tower}")
        assert all(sum(counts) > 0 for counts in gradients["counts"])
