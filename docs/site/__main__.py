"""``make docs``: builds the site into ``build/docs/``, from the Markdown files as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.local import isolated

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Returns Sphinx's exit status: any warning is an error."""
    program = isolated.binaries("sphinx") / "sphinx-build"
    target = ROOT / "build" / "docs"
    done = subprocess.run(
        [program, "--quiet", "--fail-on-warning", "-c", ROOT / "docs" / "site", ROOT, target], check=False
    )
    if not done.returncode:
        print(f"{(target / 'index.html').relative_to(ROOT)}: open it in a browser, or serve the folder")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
