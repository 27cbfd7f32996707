"""`up` as a person uses it: started twice, with taken ports, ended with Ctrl-C, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy.local.stack import PORTS
from deploy.local.supervisor import live_state, read_state
from tests.environment import GIVEN
from tests.integration.conftest import Running
from tests.waiting import PATIENCE, wait

pytestmark = pytest.mark.integration


def environ(running: Running) -> dict[str, str]:
    """The environment of a person whose MLflow runs elsewhere: the quickest start."""
    return {**GIVEN, "MLFLOW_TRACKING_URI": running.stack.environ["MLFLOW_TRACKING_URI"]}


def local(running: Running, data: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local", f"--data={data}", *arguments],
        env={**environ(running), **more},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def up(running: Running, data: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`up`, from its last status line on; what is left of it afterwards is killed."""
    process = local(running, data, "up", **more)
    try:
        wait(lambda: live_state(data).get("up"), "every part to be up")
        yield process
    finally:
        process.kill()
        for group, _ in read_state(data).get("groups", {}).values():
            if psutil.pid_exists(group):
                os.killpg(group, signal.SIGKILL)


PROXIES = {**dict.fromkeys(("http_proxy", "HTTP_PROXY"), "http://127.0.0.1:9"), "no_proxy": ".corp.example"}


@pytest.fixture(scope="module")
def standing(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of an `up` for all tests that leave it running; its environment names proxies."""
    data = tmp_path_factory.mktemp("up")
    with up(running, data, **PROXIES):
        yield data


def groups(data: Path) -> list[int]:
    return [group for group, _ in read_state(data)["groups"].values()]


def members(wanted: list[int]) -> list[str]:
    """Every process of these groups with its command."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        try:
            if os.getpgid(process.pid) in wanted and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.info['cmdline']}")
        except ProcessLookupError:
            continue
    return found


def test_up_twice_says_where_it_is_and_ctrl_c_leaves_nothing(running: Running, tmp_path: Path) -> None:
    with up(running, tmp_path) as first:
        started = groups(tmp_path)
        assert "mlflow" not in read_state(tmp_path)["groups"], "the one in the environment is used"
        second = local(running, tmp_path, "up")
        assert "Already" in second.communicate(timeout=PATIENCE)[1]
        assert second.returncode == 0
        assert groups(tmp_path) == started

        first.send_signal(signal.SIGINT)
        said = first.communicate(timeout=PATIENCE)[1]
        assert first.returncode == 0, said
        assert said.endswith(f"Stopping every part …\nStopped. The data is in {tmp_path}\n")
    assert members(started) == []
    assert read_state(tmp_path) == {}


def test_the_next_supervisor_ends_what_a_killed_one_left(running: Running, tmp_path: Path) -> None:
    with up(running, tmp_path) as first:
        before = groups(tmp_path)
        first.kill()
        first.wait()
        with up(running, tmp_path):
            assert members(before) == []
            assert not set(before) & set(groups(tmp_path))


def test_a_part_that_ends_is_restarted(standing: Path) -> None:
    group = read_state(standing)["groups"]["beat"][0]
    os.killpg(group, signal.SIGKILL)
    wait(lambda: read_state(standing)["groups"]["beat"][0] != group, "beat to be started again")


def test_taken_ports_are_not_used(running: Running, standing: Path) -> None:
    ports = read_state(standing)["environ"]
    assert ports["WEBAPP_PORT"] != running.stack.environ["WEBAPP_PORT"]
    assert ports["REDIS_URL"] != running.stack.environ["REDIS_URL"]
    assert running.stack.ports.keys() == PORTS.keys()


def test_proxies_of_the_environment_are_not_used_for_this_machine(standing: Path) -> None:
    assert read_state(standing)["environ"]["no_proxy"] == ".corp.example,127.0.0.1,localhost"


def test_a_command_against_nothing_says_how_to_start_it(running: Running, tmp_path: Path) -> None:
    done = local(running, tmp_path, "run", "true")
    assert "nothing is up; start it with `make up`" in done.communicate(timeout=PATIENCE)[1]
    assert done.returncode == 1


DOCTORED = {"EPOCH_SAMPLE_INTERVAL"}
"""Settings whose fault shows only when a program starts."""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EPOCH_SAMPLE_INTERVAL", "often", "EPOCH_SAMPLE_INTERVAL: 'often' is not a whole number"),
        ("MLFLOW_PORT", "abc", "MLFLOW_PORT: 'abc' is not a whole number"),
        ("WEBAPP_PORT", "", "of WEBAPP_PORT is taken"),
        ("PUBSUB", "carrier pigeon", "PUBSUB is 'carrier pigeon'"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_up_with_its_name(
    running: Running, tmp_path: Path, name: str, value: str, message: str
) -> None:
    given = {**environ(running), name: value or str(running.stack.ports["webapp"])}
    command = [sys.executable, "-m", "deploy.local", f"--data={tmp_path}", "up"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert message in done.stderr
    # Once the first part runs, doctor is asked for the cause.
    assert ("doctor:" in done.stderr) == ("docs/reference/settings.md" in done.stderr) == (name in DOCTORED)
    assert read_state(tmp_path) == {}
