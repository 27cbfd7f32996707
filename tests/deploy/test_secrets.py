"""No program writes a secret of its settings into its log: at level DEBUG, while all that it needs is down."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from deploy.local.process import Part, Process, free_port
from deploy.local.stack import ROOT
from tests.environment import GIVEN
from tests.waiting import wait
from warmboard.contract.settings import SETTINGS

PYTHON = [sys.executable, "-m"]
TRAINING = """
import logging, warmboard
logging.basicConfig(level=logging.DEBUG)
with warmboard.start_run(quick_test_id=7) as run:
    run.log_metrics({"loss": 1.0}, step=0)
"""
# Program → its command, and what its log says of something that is down.
PROGRAMS = {
    "webapp": ([*PYTHON, "webapp", "serve"], "Listening at"),
    "subscriber": ([*PYTHON, "workers", "subscribe"], "trying again"),
    "worker": ([*PYTHON, "workers", "worker"], "Cannot connect to redis://:**@"),
    "beat": ([*PYTHON, "workers", "beat", "--schedule=celerybeat"], "Connection refused"),
    "flower": ([*PYTHON, "workers", "flower"], "Connection refused"),
    "doctor": ([*PYTHON, "workers", "doctor"], "failures."),
    "warm": ([*PYTHON, "workers", "warm", "--server=other", "0" * 32], "1 failed"),
    "trainer": ([sys.executable, "-c", TRAINING], "Connection refused"),
    "mlflow": (["sh", str(ROOT / "mlflow_server" / "entrypoint.sh")], "engine could not be created"),
}


def secrets(down: str) -> dict[str, str]:
    """Every secret that a setting may have, as a word that is easy to find; every server is at ``down``."""
    return {
        "DATABASE_URL": f"postgresql://warmboard:SECRET-database@{down}/warmboard",
        "WEBAPP_DATABASE_URL": f"postgresql://webapp:SECRET-role@{down}/warmboard",
        "MLFLOW_BACKEND_STORE_URI": f"postgresql://mlflow:SECRET-backend@{down}/mlflow",
        "REDIS_URL": f"redis://:SECRET-redis@{down}/0",
        "MLFLOW_TRACKING_SERVERS": f"other=http://ada:SECRET-other@{down},third=http://SECRET-token@{down}",
        "MLFLOW_TRACKING_DATABASES": f"default=postgresql://reader:SECRET-reader@{down}/mlflow",
        "MLFLOW_TRACKING_PASSWORD": "SECRET-password",
        "MLFLOW_TRACKING_TOKEN": "SECRET-bearer",
        "WEBAPP_SECRET_KEY": "SECRET-key" * 5,
        "WEBAPP_GOOGLE_CLIENT_SECRET": "SECRET-google",
        "FLOWER_BASIC_AUTH": "ada:SECRET-flower",
    }


def environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    (folder / "staticfiles.json").write_text("{}")
    down = f"127.0.0.1:{ports['down']}"
    return {
        **GIVEN,
        **secrets(down),
        "MLFLOW_TRACKING_URI": f"http://{down}",
        "MLFLOW_TRACKING_USERNAME": "ada",
        "MLFLOW_READY_SECONDS": "0",
        "WEBAPP_GOOGLE_CLIENT_ID": "id.apps.googleusercontent.com",
        "WEBAPP_GOOGLE_DOMAINS": "example.com",
        "PUBSUB_EMULATOR_HOST": down,
        "STORAGE_EMULATOR_HOST": f"http://{down}",
        "LOG_LEVEL": "DEBUG",
        "WEBAPP_PROCESSES": "1",
        "MLFLOW_WORKERS": "1",
        **{f"{name.upper()}_PORT": str(ports[name]) for name in ("webapp", "flower", "mlflow")},
        **{name: str(folder) for name in ("OUTPUT_URI", "SPOOL_DIR", "MLFLOW_ARTIFACT_ROOT", "WEBAPP_STATIC_ROOT")},
        **{name: str(folder / name) for name in SETTINGS if name.endswith(("_HEARTBEAT", "FLOWER_DB"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{GIVEN['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


def says(log: Path, what: str) -> bool:
    return what in log.read_text()


def ask(address: str) -> bool:
    """Whether the webapp has tried its database."""
    with suppress(urllib.error.URLError, ConnectionError):
        try:
            urllib.request.urlopen(address, timeout=10)
        except urllib.error.HTTPError as error:
            return error.code == 503
    return False


def test_every_secret_of_a_setting_is_among_them() -> None:
    assert {name for name, setting in SETTINGS.items() if setting.secret} <= secrets("").keys()


@pytest.mark.integration
def test_no_program_logs_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ports: dict[str, int] = {}
    for name in ("down", "webapp", "flower", "mlflow"):
        ports[name] = free_port(0, set(ports.values()))
    environ = environment(tmp_path, ports)
    with ExitStack() as started:
        logs = {name: tmp_path / f"{name}.log" for name in PROGRAMS}
        for name, (command, _) in PROGRAMS.items():
            started.callback(Process(Part(name, command, lambda: True), environ, logs[name]).kill)
        wait(lambda: ask(f"http://127.0.0.1:{ports['webapp']}/readyz"), "the webapp to have no database")
        for name, (_, said) in PROGRAMS.items():
            wait(partial(says, logs[name], said), f"{name} to say {said!r}", logs[name].read_text)
    assert {name: line for name, log in logs.items() for line in log.read_text().splitlines() if "SECRET" in line} == {}
