"""``python -m benchmarks.fresh RUN_ID``: until its input says so, copies of the run are made in MLflow and announced,
one every half second. Prints their IDs, as JSON, once the last of them are warm. The environment names the stack;
BENCH_DATABASE is MLflow's database.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from datetime import UTC, datetime

import requests
from google.cloud import pubsub_v1

from benchmarks.runs import copies_of
from warmboard.contract.events import RunEvent, RunStatus

SECONDS = 0.5
LAST_SECONDS = 120.0
"""For the last of them to become warm."""


def main() -> None:
    mlflow, database, run_id = os.environ["MLFLOW_TRACKING_URI"], os.environ["BENCH_DATABASE"], sys.argv[1]
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path("warmboard-local", "warmboard-runs")
    fresh: list[str] = []
    while not select.select([sys.stdin], [], [], SECONDS)[0]:
        fresh += copies_of(mlflow, database, run_id, 1)
        data, attributes = _event(fresh[-1]).encode()
        publisher.publish(topic, data, **attributes).result(timeout=30)
    _wait(fresh)
    print(json.dumps(fresh))


def _event(run_id: str) -> RunEvent:
    return RunEvent.completed(
        run_id=run_id, tracking_server="default", experiment_name="benchmark", status=RunStatus.FINISHED,
        end_time=datetime.now(UTC), epochs=None,
    )  # fmt: skip


def _wait(fresh: list[str]) -> None:
    web, deadline = f"http://127.0.0.1:{os.environ['WEBAPP_PORT']}/", time.monotonic() + LAST_SECONDS
    while any(_state(web, run_id) != "warm" for run_id in fresh[-3:]):
        if time.monotonic() > deadline:
            raise TimeoutError("the last fresh events did not become warm")
        time.sleep(1)


def _state(web: str, run_id: str) -> str:
    return str(requests.get(f"{web}api/runs/{run_id}/", timeout=10).json()["state"])


if __name__ == "__main__":
    main()
