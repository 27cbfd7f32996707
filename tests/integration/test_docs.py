"""The script of the how-to, run as the page says."""

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
PAGE = ROOT / "docs" / "how-to" / "your-keras-script.md"


def test_the_script_of_the_how_to_becomes_a_warm_page(running: Running, tmp_path: Path) -> None:
    [script] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "your_script.py"
    path.write_text(script)
    command = [sys.executable, "-m", "deploy.local", f"--data={running.stack.data}", "run", sys.executable, str(path)]
    done = subprocess.run(
        command,
        # From another folder, as the page says: the checkout is on the path.
        cwd=tmp_path,
        env={**running.stack.given, "PYTHONPATH": str(PAGE.parents[2])},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    running.wait_state(run_id, "warm")
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    assert history["epochs"] == [0, 1, 2]
    assert None not in history["loss"]["train"] + history["loss"]["val"] + history["weight_norm"]["query"]
    for tower in ("query", "candidate"):
        gradients = running.get(f"/api/runs/{run_id}/histogram-data/?type=gradients&tower={tower}")
        assert all(sum(counts) > 0 for counts in gradients["counts"])
