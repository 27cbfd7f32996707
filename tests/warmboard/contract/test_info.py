"""The file of a run is read back; an invalid file is an error that gives the reason."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.paths import EXAMPLES
from warmboard.contract.events import EventType, RunStatus
from warmboard.contract.info import RunInfo, RunInfoError

GOLDEN = EXAMPLES / "mlflow-info-v1.json"


def test_the_golden_one_reads_and_writes_the_same() -> None:
    info = RunInfo.decode(GOLDEN.read_bytes())
    assert info.encode() == GOLDEN.read_bytes()
    assert (info.status, info.epochs, info.quick_test_id) == (RunStatus.FINISHED, 50, 7)


def test_its_events() -> None:
    info = RunInfo.decode(GOLDEN.read_bytes())
    completed, started = info.event("gs://b/i"), info.started()
    assert (completed.type, completed.run_id, completed.mlflow_info_uri) == (
        EventType.COMPLETED,
        info.run_id,
        "gs://b/i",
    )
    assert (started.type, started.id, started.time) == (EventType.STARTED, f"{info.run_id}.started", info.start_time)
    with pytest.raises(ValueError, match="has not ended"):
        replace(info, end_time=None).event()


def changed(**members: Any) -> bytes:
    return json.dumps({**json.loads(GOLDEN.read_bytes()), **members}).encode()


def test_unknown_members_are_ignored() -> None:
    assert RunInfo.decode(changed(colour="blue")) == RunInfo.decode(GOLDEN.read_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b"[" * 100_000,
        changed(status="DONE"),
        changed(run_id="../../etc"),
        changed(run_id=7),
        changed(run_name=None),
        changed(end_time="2026-01-02"),
        changed(end_time=5),
        changed(end_time="9999-12-31T23:59:59-10:00"),
        changed(epochs="many"),
        changed(quick_test_id=0),
        changed(tracking_server="x" * 100),
    ],
    ids=lambda content: content[:12].decode(errors="replace"),
)
def test_an_invalid_file_is_an_error(content: bytes) -> None:
    with pytest.raises(RunInfoError, match=r"not a mlflow_info.json"):
        RunInfo.decode(content)
