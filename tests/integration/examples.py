"""Runs the examples of a how-to page as a user does: a script in another folder, with the addresses of what is up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Running
from tests.paths import ROOT
from tests.waiting import PATIENCE

ANY_FRAMEWORK = ROOT / "docs" / "how-to" / "any-framework.md"


def examples(page: Path) -> dict[str, str]:
    """The first script of each section of a page that has one, by its heading."""
    sections = [section.partition("\n") for section in re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)]
    scripts = {heading: re.search(r"^```python\n(.*?)^```", text, re.S | re.M) for heading, _, text in sections}
    return {heading: script[1] for heading, script in scripts.items() if script}


def run_id_of(script: str, running: Running, folder: Path, python: Path | None = None) -> str:
    """Run the script and return the ID of its run, which it prints. ``python`` is that of another environment, with the
    library installed.
    """
    (folder / "script.py").write_text(script)
    environ = {**running.stack.environ, "GIT_PYTHON_REFRESH": "quiet", "SPOOL_DIR": str(folder / "spool")}
    environ.pop("PYTHONPATH", None)
    if python is None:
        environ["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [python or sys.executable, "script.py"],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = re.search(r"^run (\w+)$", done.stdout, re.MULTILINE)
    assert said, done.stdout + done.stderr
    return said[1]
