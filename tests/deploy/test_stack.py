"""The parts of a stack before they start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.process import PartError, free_port
from deploy.local.stack import MEASURED, PORT_OF, ROOT, Stack


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of these tests and of their processes reserve ports among one another alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_each_program_has_a_metrics_port_of_its_own_if_there_is_to_be_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        stack = Stack(tmp_path, {"METRICS_PORT": str(taken.getsockname()[1])})
        ports = {part.name: part.environ["METRICS_PORT"] for part in stack.programs() if "METRICS_PORT" in part.environ}
        assert set(ports) == set(MEASURED)
        assert len({*ports.values(), str(taken.getsockname()[1])}) == len(MEASURED) + 1
    for part in stack.programs():
        assert (f":{ports.get(part.name)}/metrics" in part.address) == (part.name in MEASURED)
    assert stack.environ["METRICS_PORT"] == "0", "for what is started beside, such as commands"


def test_the_first_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    port = free_port()
    webapp = Stack(tmp_path, {"METRICS_PORT": str(port)}).programs()[0]
    assert webapp.environ == {"METRICS_PORT": str(port)}


def test_without_the_setting_none_has_one(tmp_path: Path) -> None:
    assert not any(part.environ for part in Stack(tmp_path, {}).programs())


def test_stacks_that_start_at_the_same_time_have_no_port_in_common(tmp_path: Path) -> None:
    given = {variable: str(free_port()) for variable in PORT_OF.values()}
    # Nothing listens yet: MLflow takes 15 s until it does.
    first, second = Stack(tmp_path / "first", given), Stack(tmp_path / "second", given)
    assert {name: first.ports[name] for name in PORT_OF} == {name: int(given[PORT_OF[name]]) for name in PORT_OF}
    assert not set(first.ports.values()) & set(second.ports.values())
    with pytest.raises(PartError, match="of MLFLOW_PORT is taken"):
        second.prepare()


def test_a_port_is_free_again_once_its_stack_has_ended(tmp_path: Path) -> None:
    given = {"MLFLOW_PORT": str(free_port())}
    script = (
        "from deploy.local.stack import Stack; from pathlib import Path; "
        f"stack = Stack(Path({str(tmp_path)!r})); print(stack.ports)"
    )
    environ = {**os.environ, **given}
    with subprocess.Popen(
        [sys.executable, "-i", "-c", script],
        env=environ,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as other:
        assert other.stdout
        assert f"'mlflow': {given['MLFLOW_PORT']}," in other.stdout.readline()
        assert Stack(tmp_path, given).ports["mlflow"] != int(given["MLFLOW_PORT"])
        other.kill()
    assert Stack(tmp_path, given).ports["mlflow"] == int(given["MLFLOW_PORT"])


def test_a_lock_that_another_user_keeps_unreadable_does_no_harm(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / f"warmboard-port-{port}.lock").symlink_to(tmp_path / "elsewhere")
    assert Stack(tmp_path, {"MLFLOW_PORT": str(port)}).ports["mlflow"] == port
    assert not (tmp_path / "elsewhere").exists(), "no file is created where a link of another user points"
