"""The runs of a server from before: which are to be warmed, and in which order."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.models import Run
from tests.store.samples import NOON
from tests.workers.discover.fake_tracking import DAY, MINUTE, FakeTracking, ms
from warmboard.contract.entries import SCHEMA_VERSION
from workers.discover.backfill import cold_runs
from workers.errors import PermanentError, TransientError
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("tables")


def cold() -> list[str]:
    settings = Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test"})
    return cold_runs(settings.tracking_servers["default"], settings)


@pytest.fixture(autouse=True)
def wire(tracking: FakeTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.fetch.api.connections_to", lambda *_: tracking)
    monkeypatch.setattr("workers.discover.mlflow.PAGE", 2)


def logged(tracking: FakeTracking, run_id: str, ago: timedelta, status: str = "FINISHED", **info: object) -> None:
    started = NOON - ago
    tracking.run(run_id, status, start_time=ms(started), end_time=ms(started + MINUTE), **info)


def warm(run_id: str, status: str = "FINISHED", schema: int | None = SCHEMA_VERSION) -> None:
    Run.objects.create(
        run_id=run_id,
        tracking_server="default",
        experiment_name="two-tower",
        status=status,
        announced_at=NOON,
        schema_version=schema,
    )


def test_what_has_ended_and_is_not_warm_the_newest_first(
    tracking: FakeTracking, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking.experiments = {str(number): f"experiment {number}" for number in range(3)}
    logged(tracking, "years-old", 1_000 * DAY, experiment_id="0")
    logged(tracking, "yesterday", DAY, "KILLED", experiment_id="1")
    logged(tracking, "warm", 2 * DAY)
    logged(tracking, "failed", 3 * DAY, "FAILED")
    logged(tracking, "warm-while-it-ran", 4 * DAY, experiment_id="2")
    logged(tracking, "of-an-older-schema", 5 * DAY)
    logged(tracking, "announced", 6 * DAY)
    logged(tracking, "deleted", 7 * DAY, lifecycle_stage="deleted")
    tracking.run("in-progress", start_time=ms(NOON - DAY))
    warm("warm")
    warm("warm-while-it-ran", "RUNNING")
    warm("of-an-older-schema", schema=SCHEMA_VERSION - 1)
    warm("announced", schema=None)
    expected = ["yesterday", "failed", "warm-while-it-ran", "of-an-older-schema", "announced", "years-old"]
    assert cold() == expected
    assert "7 runs have ended on default; already warm: 1; to warm: 6, the newest first" in capsys.readouterr().err
    Run.objects.filter(pk__in=expected[:4]).delete()
    for run_id in expected[:4]:
        warm(run_id)
    assert cold() == expected[4:], "started again, it goes on"


def test_a_server_that_does_not_answer_says_why(tracking: FakeTracking) -> None:
    tracking.status = 503
    with pytest.raises(TransientError, match="503"):
        cold()


def test_an_answer_unlike_mlflows_is_an_error(tracking: FakeTracking) -> None:
    logged(tracking, "odd", DAY)
    del tracking.runs[0]["info"]["run_id"]
    with pytest.raises(PermanentError, match="unlike MLflow"):
        cold()
