"""The parts of a stack before they start."""

from __future__ import annotations

import socket
from pathlib import Path

from deploy.local.process import free_port
from deploy.local.stack import MEASURED, Stack


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
