"""``python -m tests.compose [--keep] [STEP …]``: what `make compose-test` runs, on whatever container engine there is.

Steps come one after another, on one stack with a name and an image tag of its own; without words all of them.
Afterwards its containers and data are deleted, unless ``--keep``. Exits with 1 if a step failed, with 0 if there is no
engine.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.compose.project import CommandError, Project, missing, secret_variables
from tests.compose.steps import NotRunError, Steps
from tests.paths import ROOT

BEFORE = "0c7ef50"
"""The version to upgrade from: the last commit before the library was called warmboard, as in tests/upgrade/."""
STEPS = ("upgrade", "start", "training", "stopping", "killing", "metrics", "grafana", "tls", "restarting")
PORTS = (8000, 5000, 5555, 8085, 8443, 9090, 3000)
OURS = Path(__file__).parent
NOT_RUN = "not run: "


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"some of: {', '.join(STEPS)}")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    options = parser.parse_args(words)
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"no step {', '.join(sorted(unknown))}")
    if reason := missing():
        print(f"{NOT_RUN}docker-compose.yml in containers ({reason})")
        return 0
    variables = secret_variables() | {"RECORDER": str(OURS / "recorder.py")}
    project = Project(ROOT, (OURS / "override.yml",), variables=variables)
    # What an earlier one left, that was interrupted.
    project.delete()
    if taken := [port for port in PORTS if _listens(port)]:
        print(
            f"compose-test: something else listens on port {', '.join(map(str, taken))}; stop it first", file=sys.stderr
        )
        return 1
    with _older(variables) as old:
        try:
            return _run(Steps(project, old), [step for step in STEPS if not options.steps or step in options.steps])
        finally:
            if not options.keep:
                project.delete()


def _run(steps: Steps, chosen: list[str]) -> int:
    passed, not_run = 0, []
    unnamed = steps.unnamed()
    for name in chosen:
        began = time.monotonic()
        print(f"{name:<11} …", flush=True)
        try:
            seen = getattr(steps, name)()
        except NotRunError as error:
            not_run.append(f"{name}: {error}")
            print(f"{name:<11} {NOT_RUN}{error}", flush=True)
            continue
        except (AssertionError, CommandError, subprocess.TimeoutExpired, OSError) as error:
            print(f"{name:<11} FAILED after {time.monotonic() - began:.0f} s: {error}", flush=True)
            with suppress(CommandError):
                print(steps.project.compose("ps", "--all"), steps.project.compose("logs", "--tail=8"), flush=True)
            print(f"{passed} passed, 1 failed")
            return 1
        passed += 1
        print(f"{name:<11} ok after {time.monotonic() - began:.0f} s: {seen}", flush=True)
    if left := steps.unnamed() - unnamed:
        print(f"volumes without a name are left behind: {', '.join(left)}\n{passed} passed, 1 failed")
        return 1
    print(f"{passed} passed, 0 failed\n\nNot run here: {'; '.join(not_run) or 'nothing'}")
    return 0


@contextmanager
def _older(variables: dict[str, str]) -> Iterator[Project | None]:
    """A project of the version before, from this clone's history; None if that lacks it."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        yield None
        return
    # In the checkout: an engine in a virtual machine sees only some folders, and this one for sure.
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compose-test-", dir=ROOT / "build") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(folder, filter="data")
        yield Project(Path(folder), variables=variables)


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        asked.settimeout(1)
        return asked.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
