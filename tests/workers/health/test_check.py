"""The check of a process: its exit status, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.process import free_port
from tests.environment import GIVEN
from tests.workers.fetch.small_server import serving
from workers.__main__ import parser
from workers.health.check import HEARTBEATS, PROCESSES, main
from workers.heartbeat import touch

HEAVY = {"argparse", "asyncio", "celery", "dataclasses", "django", "http.client", "logging", "numpy", "redis", "ssl"}
RUNS = """
import runpy, sys
sys.argv = ["workers", "check", {process!r}]
try:
    runpy.run_module("workers", run_name="__main__")
except SystemExit as end:
    print(*sorted(sys.modules), end.code)
"""


@pytest.mark.parametrize("process", HEARTBEATS)
def test_a_heartbeat_decides(
    process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heartbeat = tmp_path / "heartbeat"
    monkeypatch.setenv(HEARTBEATS[process].name, str(heartbeat))
    assert main([process]) == 1
    assert f"there is no heartbeat at {heartbeat}" in capsys.readouterr().err
    touch(heartbeat)
    assert main([process]) == 0
    os.utime(heartbeat, (time.time() - 40,) * 2)
    assert main([process]) == 1
    assert "40 s old" in capsys.readouterr().err
    monkeypatch.setenv("HEARTBEAT_AGE_SECONDS", "60")
    assert main([process]) == 0
    monkeypatch.setenv("HEARTBEAT_AGE_SECONDS", "soon")
    assert main([process]) == 2
    assert "HEARTBEAT_AGE_SECONDS: 'soon' is not a whole number" in capsys.readouterr().err


def test_flower_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FLOWER_PORT", str(free_port()))
    assert main(["flower"]) == 1
    assert "Flower does not answer at FLOWER_PORT" in capsys.readouterr().err
    statuses = {"/healthcheck": [503, 200]}
    with serving(lambda path, *_: (statuses[path].pop(), b"", {})) as server:
        monkeypatch.setenv("FLOWER_PORT", str(server.server_port))
        assert main(["flower"]) == 0
        assert main(["flower"]) == 1
    assert "503" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["mlflow"], ["beat", "worker"], ["--help"]])
def test_wrong_usage_is_left_to_the_parser(arguments: list[str]) -> None:
    assert main(arguments) is None


@pytest.mark.parametrize("process", PROCESSES)
def test_the_full_parser_knows_the_same_processes(process: str) -> None:
    assert parser().parse_args(["check", process]).process == process


@pytest.mark.parametrize("process", ["beat", "flower"])
def test_it_imports_nothing_heavy(process: str, tmp_path: Path) -> None:
    given = {**GIVEN, "BEAT_HEARTBEAT": str(tmp_path / "none"), "FLOWER_PORT": str(free_port())}
    # Without the site-packages, whose own start imports much.
    line = [sys.executable, "-S", "-c", RUNS.format(process=process)]
    done = subprocess.run(line, env=given, capture_output=True, text=True, check=True)
    *modules, status = done.stdout.split()
    assert status == "1"
    assert "workers.health.check" in modules
    assert HEAVY.isdisjoint(modules)
