"""`make wheels`, installed in an environment of their own and used: one command beside an MLflow that is there."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.conftest import NOT_RUN
from tests.deploy.server.conftest import EXTRA, UV, run
from tests.environment import GIVEN
from tests.mlflow_server.servers import Server, new_database
from tests.paths import ROOT
from tests.waiting import PATIENCE, wait

pytestmark = pytest.mark.integration
ENVIRONMENT = ROOT / "build" / "server"
PROGRAM = ENVIRONMENT / "bin" / "warmboard-server"


@pytest.fixture(scope="module")
def program(wheels: Path) -> Path:
    """The installed program."""
    digest = hashlib.sha256((ROOT / "deploy" / "server" / "pyproject.toml").read_bytes()).hexdigest()
    marker = ENVIRONMENT / "installed"
    extra = "[mlflow]" if EXTRA else ""
    if not marker.exists() or marker.read_text() != digest + extra:
        run(UV, "venv", "--clear", "--quiet", "--python", sys.executable, ENVIRONMENT)
    [library], [server] = wheels.glob("warmboard-*.whl"), wheels.glob("warmboard_server-*.whl")
    options = ["--quiet", "--python", ENVIRONMENT / "bin" / "python"]
    options += ["--reinstall-package", "warmboard", "--reinstall-package", "warmboard-server"]
    run(UV, "pip", "install", *options, library, f"warmboard-server{extra} @ {server.as_uri()}")
    marker.write_text(digest + extra)
    return PROGRAM


def log(client: MlflowClient, count: int) -> list[str]:
    """Runs that have ended, the oldest first."""
    found = []
    for number in range(count):
        start = 1_000_000 * (number + 1)
        run_id: str = client.create_run("0", start_time=start, run_name=f"earlier {number}").info.run_id
        points = [Metric(key, 1 / (step + 1), step, step) for step in range(3) for key in ("loss", "val_loss")]
        client.log_batch(run_id, points)
        client.set_terminated(run_id, end_time=start + 5)
        found.append(run_id)
    return found


class Up:
    """A running ``warmboard-server up``."""

    def __init__(self, program: Path, folder: Path, *arguments: str) -> None:
        self.program, self.data, self.output = program, folder / "data", folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [program, "--data", self.data, "up", *arguments],
                # Nothing of the checkout may help.
                cwd=folder, env=GIVEN, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.parts: set[psutil.Process] = set()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str) -> str:
        def there() -> str:
            assert self.process.poll() is None, self.said()
            return self.said() if text in self.said() else ""

        found: str = wait(there, text, self.said)
        self.parts.update(psutil.Process(self.process.pid).children(recursive=True))
        return found

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), "--data", str(self.data), *arguments]
        return subprocess.run(
            command, env=GIVEN, cwd=self.data, capture_output=True, text=True, check=False, timeout=PATIENCE
        )


@contextmanager
def up(program: Path, folder: Path, *arguments: str) -> Iterator[Up]:
    started = Up(program, folder, *arguments)
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGINT)
        started.process.wait(PATIENCE)
    assert started.process.returncode == 0, started.said()
    assert [part for part in started.parts if part.is_running()] == [], "Ctrl-C leaves nothing behind"


def addresses(said: str) -> str:
    """Where the pages are."""
    [web] = set(re.findall(r"Up\. Runs: (\S+/)", said))
    return str(web)


def assert_opens(web: str, run_id: str) -> None:
    page = requests.get(f"{web}runs/{run_id}/", timeout=PATIENCE)
    assert (page.status_code, "earlier " in page.text) == (200, True)
    history = requests.get(f"{web}api/runs/{run_id}/summaries/", timeout=PATIENCE)
    assert (history.status_code, "val_loss" in history.text) == (200, True)


def test_one_command_beside_a_server(program: Path, stock_mlflow: Server, tmp_path: Path) -> None:
    run_ids = log(stock_mlflow.client, 3)
    with up(program, tmp_path, "--mlflow", stock_mlflow.address) as started:
        said = started.wait_for("All earlier runs are done after")
        assert re.search(r"  \d+ runs in \d+ experiments?, warming the newest first\n", said)
        for run_id in run_ids:
            assert_opens(addresses(said), run_id)
        again = started.call("up", "--mlflow", stock_mlflow.address)
        assert f"Already up: {addresses(said)}" in again.stderr
        doctor = started.call("doctor")
        assert f"answers at {stock_mlflow.address}" in doctor.stdout
        kept = started.call("backup", "kept.backup")
        assert kept.returncode == 0, kept.stderr
        assert (started.data / "kept.backup").stat().st_size
    doctor = started.call("doctor")
    assert (doctor.returncode, "start it with `warmboard-server up`" in doctor.stderr) == (1, True)


@pytest.mark.skipif(not EXTRA, reason=f"{NOT_RUN}folders and files of runs without a server (make test-all)")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_one_command_without_a_server(
    program: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "folder":
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        uri, arguments = str(tmp_path / "mlruns"), ["--mlruns", "mlruns"]
    else:
        uri, arguments = new_database(tmp_path, "mlflow.db"), ["--mlflow", "sqlite:///mlflow.db"]
    run_ids = log(MlflowClient(uri), 3)
    with up(program, tmp_path, *arguments) as started:
        said = started.wait_for("All earlier runs are done after")
        assert "  3 runs in 1 experiment, warming the newest first\n" in said
        for run_id in run_ids:
            assert_opens(addresses(said), run_id)
