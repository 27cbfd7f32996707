"""`warmboard.announce_run`: announces a run that was logged with MLflow's own client, or by any framework.

::

    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5)
    warmboard.announce_run(run.info.run_id)

MLflow is asked about the run, and what it says becomes the completed event that `start_run` publishes of its own runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from warmboard.announce.publisher import DEADLINE_SECONDS, preload, publish
from warmboard.bounded import Bounded
from warmboard.contract.events import RUN_ID, RunEvent, RunStatus, quick_test_of
from warmboard.contract.info import ENDED
from warmboard.contract.settings import SettingError
from warmboard.errors import NO_SUCH_RESOURCE, PublishError, TrackingRejectedError, WarmboardError
from warmboard.settings import Settings
from warmboard.tracking import TrackingClient

log = logging.getLogger(__name__)
T = TypeVar("T")


def announce_run(
    run_id: str,
    *,
    settings: Settings | None = None,
    client: TrackingClient | None = None,
    within: float = DEADLINE_SECONDS,
) -> bool:
    """Announce a run that has ended in MLflow, so that it is warm at once. Return True if Pub/Sub accepted the event.

    Call it after the run's end: after the block of ``mlflow.start_run()``, or after ``mlflow.end_run()``. To call it
    twice does no harm. ``settings`` replaces the environment's settings, ``client`` the client that they configure.

    It takes ``within`` seconds at most. It never raises, since it must not fail a training that has succeeded: an error
    is logged and says what to do. The workers' sweep finds a run that was not announced.
    """
    preload()
    try:
        settings = settings or Settings.read()
        _announce(run_id, settings, client or TrackingClient.of(settings), within)
    except (WarmboardError, SettingError) as error:
        log.error("Run %s was not announced; to do it later: warmboard publish %s. Reason: %s", run_id, run_id, error)
        return False
    return True


def event_of_run(run_id: str, settings: Settings, client: TrackingClient) -> RunEvent:
    """Return the completed event of a run, as MLflow describes it. The number of its epochs is not known to MLflow.

    Raises TrackingError, and PublishError if there is no such event, such as of a run in progress.
    """
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise PublishError(f"{run_id!r:.80} is not the ID of a run, which is in run.info.run_id of MLflow's client")
    run = _run(client, run_id)
    try:
        return _completed(run, run_id, settings.mlflow_tracking_server, client)
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise PublishError(f"{client.uri} describes run {run_id} unlike MLflow: {error!r}") from error


def _announce(run_id: str, settings: Settings, client: TrackingClient, within: float) -> None:
    until = time.monotonic() + within

    def bounded(action: Callable[[], T], who: str) -> T:
        # On a thread: resolving names and finding credentials have no timeout.
        work = Bounded(action, "announcing-run")
        if not work.wait(until - time.monotonic()):
            raise PublishError(f"{who} did not answer within {within:g} s")
        return cast("T", work.result())

    event = bounded(lambda: event_of_run(run_id, settings, client), f"MLflow at {client.uri}")
    bounded(lambda: publish(event, settings, within), f"Pub/Sub, with topic {settings.pubsub_topic},")


def _run(client: TrackingClient, run_id: str) -> dict[str, Any]:
    try:
        return client.run(run_id)
    except TrackingRejectedError as error:
        if error.code != NO_SUCH_RESOURCE:
            raise
        raise PublishError(f"MLflow at {client.uri} has no run {run_id}. Is MLFLOW_TRACKING_URI right?") from error


def _completed(run: dict[str, Any], run_id: str, server: str, client: TrackingClient) -> RunEvent:
    info, tags = run["info"], run.get("data", {}).get("tags", [])
    status, end = RunStatus(info["status"]), info.get("end_time")
    if info.get("lifecycle_stage") == "deleted":
        raise PublishError(f"run {run_id} is deleted in MLflow")
    if status not in ENDED or not end:
        state = "has no end time in MLflow" if status in ENDED else f"is {status} in MLflow"
        raise PublishError(f"run {run_id} {state}: announce it after mlflow.end_run(), or MlflowClient.set_terminated")
    event = RunEvent.completed(
        run_id=run_id,
        tracking_server=server,
        experiment_name=client.experiment_name(info["experiment_id"]),
        status=status,
        end_time=datetime.fromtimestamp(int(end) / 1000, UTC),
        quick_test_id=quick_test_of({tag["key"]: tag.get("value") for tag in tags}),
    )
    # What its readers would not accept is an error here.
    return RunEvent.decode(*event.encode())
