"""The command ``warmboard``, which is also ``python -m warmboard``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.environment import GIVEN
from tests.paths import ROOT
from warmboard.__main__ import main

HEAVY = ("numpy", "requests", "google", "keras", "tensorflow", "django", "celery")


def test_help_has_commands_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert said.startswith("usage: warmboard ")
    assert "examples:" in said
    for command in ("flush", "publish"):
        assert f"  warmboard {command} " in said


@pytest.mark.parametrize("command", ["flush", "publish"])
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: warmboard {command} ")
    assert f"  warmboard {command} " in said


@pytest.mark.parametrize("words", [[], ["flsh"], ["flush", "--lost"], ["publish"], ["--list"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "usage: warmboard" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    environ = {**GIVEN, "PYTHONPATH": str(ROOT), "SPOOL_DIR": str(tmp_path / "spool")}
    done = subprocess.run(
        [sys.executable, "-m", "warmboard", "flush", "--list"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No spools in ")


def test_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        f"for name in {HEAVY}: sys.modules[name] = None\n"
        "from warmboard.__main__ import main\n"
        "main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
