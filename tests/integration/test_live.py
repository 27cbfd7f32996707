"""A run is followed while it trains: a burst of events costs one fetch, and its end wins over late events."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient

from tests.integration.conftest import Running
from tests.waiting import wait
from warmboard.contract.events import EventType, RunEvent, RunStatus
from workers.inbox import SUPERSEDED

pytestmark = pytest.mark.integration
BURSTS, BURST = 3, 20


def live(run_id: str, type_: EventType, number: int = 0) -> RunEvent:
    return RunEvent(
        type=type_,
        id=f"{run_id}.{type_}.{number}",
        time=datetime.now(UTC),
        run_id=run_id,
        tracking_server="default",
        experiment_name="live",
        status=RunStatus.RUNNING,
        epochs=number,
    )


def live_end(run_id: str) -> RunEvent:
    return RunEvent.completed(
        run_id=run_id,
        tracking_server="default",
        experiment_name="live",
        status=RunStatus.FINISHED,
        end_time=datetime.now(UTC),
        epochs=2 * BURSTS,
    )


def burst(run_id: str, first: int) -> list[RunEvent]:
    return [live(run_id, EventType.PROGRESSED, number) for number in range(first, first + BURST)]


def epochs(running: Running, run_id: str) -> list[int]:
    """What a viewer sees of the run, or nothing while it is not warm."""
    found: list[int] = running.get(f"/api/runs/{run_id}/training-history/?resolution=full").get("epochs", [])
    return found


def wait_for_epoch(running: Running, run_id: str, epoch: int) -> None:
    wait(lambda: epoch in epochs(running, run_id), f"epoch {epoch} to show", lambda: epochs(running, run_id))


def fetches(running: Running, run_id: str) -> int:
    return running.process("worker").log.read_text().count(f"run {run_id} warm:")


def warmed_at(running: Running, run_id: str) -> str:
    """Later with every fetch, and known as soon as the event is settled: the line of the log comes after that."""
    (found,) = row(running, "select warmed_at from store_run where run_id = ?", run_id) or ("",)
    return found


def settled(running: Running, event: RunEvent) -> tuple[str, ...] | None:
    """State and reason of a settled event. One that waits, such as for a free process, is not settled."""
    query = "select state, reason from store_inboxevent where event_id = ? and state not in ('pending', 'warming')"
    return row(running, query, event.id)


def row(running: Running, query: str, value: str) -> tuple[str, ...] | None:
    with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
        found: tuple[str, ...] | None = tables.execute(query, [value]).fetchone()
    return found


def test_a_run_is_followed_until_its_end(running: Running) -> None:
    client = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("live")
    run_id = client.create_run(experiment.experiment_id if experiment else client.create_experiment("live")).info.run_id
    running.publish_all([live(run_id, EventType.STARTED).encode()])

    for number in range(BURSTS):
        for epoch in (2 * number, 2 * number + 1):
            client.log_metric(run_id, "loss", 1 / (epoch + 1), step=epoch)
            client.log_metric(run_id, "val_loss", 2 / (epoch + 1), step=epoch)
        running.publish_all([event.encode() for event in burst(run_id, number * BURST)])
        wait_for_epoch(running, run_id, 2 * number + 1)
    # One each, and one for the start; one more each if a busy machine is slow to publish.
    assert fetches(running, run_id) <= 2 * (BURSTS + 1) < BURSTS * BURST
    assert running.summary(run_id)["status"] == "RUNNING"

    late = live(run_id, EventType.PROGRESSED, BURSTS * BURST)
    client.set_terminated(run_id)
    end = live_end(run_id)
    running.publish_all([end.encode()])
    wait(lambda: (settled(running, end) or ("", ""))[0] == "done", "the run's end to be warm")
    before = warmed_at(running, run_id)
    running.publish_all([late.encode()])
    assert wait(lambda: settled(running, late), "the late event to be settled") == ("done", SUPERSEDED)
    assert warmed_at(running, run_id) == before
    assert running.summary(run_id)["status"] == "FINISHED"
    assert epochs(running, run_id) == list(range(2 * BURSTS))
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    assert (history["status"], history["loss"]["train"][-1]) == ("FINISHED", 1 / (2 * BURSTS))
