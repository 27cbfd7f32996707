"""The runs of a server from before: which are to be warmed, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import OperationalError
from kombu.exceptions import OperationalError as BrokerError

from store.models import Backfill, InboxEvent, Run
from tests.store.samples import NOON
from tests.workers.discover.fake_tracking import DAY, MINUTE, SECOND, FakeTracking, ms
from warmboard.contract.entries import SCHEMA_VERSION
from warmboard.contract.events import RunEvent, RunStatus
from workers.discover.backfill import Backfilling, backfills_of, cold_runs
from workers.discover.discovery import Discovery, record
from workers.discover.mlflow import MlflowLook
from workers.discover.news import Fact
from workers.errors import PermanentError, TransientError
from workers.servers import gate
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("tables")
Make = Callable[..., Backfilling]


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


def test_a_malformed_run_is_named_and_the_others_are_found(
    tracking: FakeTracking, caplog: pytest.LogCaptureFixture
) -> None:
    logged(tracking, "odd", DAY)
    logged(tracking, "fine", DAY)
    tracking.runs[0]["info"]["status"] = "ASLEEP"
    assert cold() == ["fine"]
    assert "not warmed: run odd of http://mlflow.test is malformed" in caplog.text


def test_an_answer_unlike_mlflows_is_an_error(tracking: FakeTracking) -> None:
    tracking.answer = b'{"experiments": 5}'
    with pytest.raises(PermanentError, match="unlike MLflow"):
        cold()


class TestInTheBackground:
    """What beat announces, turn by turn."""

    @pytest.fixture
    def make(self, look: MlflowLook, queued: list[str]) -> Make:
        """A backfill as beat makes it when it starts."""
        return lambda rate=20, dispatch=queued.append: Backfilling(look, rate, dispatch)

    def done(self) -> None:
        """The workers have warmed what was announced."""
        for run_id in InboxEvent.objects.filter(state="pending").values_list("run_id", flat=True):
            Run.objects.filter(pk=run_id).update(fetched_at=NOON, status="FINISHED")
        InboxEvent.objects.update(state="done")

    def test_the_newest_first_at_a_bounded_rate_and_once(
        self, tracking: FakeTracking, make: Make, queued: list[str]
    ) -> None:
        for days in range(7):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        backfill = make(rate=3)
        backfill.turn(NOON)
        assert queued == ["0-days", "1-days", "2-days"]
        # A process that was killed and starts again announces nothing twice, and goes on.
        again = make(rate=3)
        again.turn(NOON)
        assert queued == [f"{days}-days" for days in range(6)]
        self.done()
        again.turn(NOON)
        again.turn(NOON)
        assert queued == [f"{days}-days" for days in range(7)]
        finished = [again.is_done]
        self.done()
        again.turn(NOON)
        assert [*finished, again.is_done] == [False, True]
        asked = tracking.asked
        again.turn(NOON)
        make().turn(NOON)
        assert tracking.asked > asked
        assert len(queued) == InboxEvent.objects.count() == 7

    def test_what_was_fetched_or_has_failed_is_left_alone(
        self, tracking: FakeTracking, make: Make, queued: list[str]
    ) -> None:
        for number, run_id in enumerate(("never-fetched", "expired", "fetched-while-it-ran", "failed", "deleted")):
            logged(tracking, run_id, (number + 1) * DAY, lifecycle_stage="deleted" if run_id == "deleted" else "active")
        logged(tracking, "just-now", MINUTE)
        warm("expired", schema=None)
        warm("fetched-while-it-ran", "RUNNING")
        Run.objects.update(fetched_at=NOON - 10 * DAY)
        make().turn(NOON)
        InboxEvent.objects.filter(run_id="failed").update(state="failed")
        make().turn(NOON)
        assert queued == ["never-fetched", "fetched-while-it-ran", "failed"]

    def test_what_has_just_ended_waits_for_its_own_event_and_belongs_to_the_rest(
        self, tracking: FakeTracking, make: Make, queued: list[str]
    ) -> None:
        """A newcomer trains, then starts us: the runs of a minute ago are the ones to be seen."""
        logged(tracking, "earlier", DAY)
        logged(tracking, "announced", MINUTE + 20 * SECOND)
        logged(tracking, "unannounced", MINUTE + 10 * SECOND)
        logged(tracking, "of-a-clock-that-is-ahead", MINUTE - DAY)
        backfill = make()
        backfill.turn(NOON)
        row = Backfill.objects.get()
        assert (queued, row.found, row.to_warm) == (["of-a-clock-that-is-ahead", "earlier"], 4, 4)
        self.done()
        backfill.turn(NOON + SECOND)
        row.refresh_from_db()
        assert (row.done, row.finished_at) == (2, None), "it has not done all"
        own = RunEvent.completed(
            run_id="announced",
            tracking_server="default",
            experiment_name="two-tower",
            status=RunStatus.FINISHED,
            end_time=NOON - 20 * SECOND,
        )
        assert record(Fact("its own", own))
        self.done()
        backfill.turn(NOON + 30 * SECOND)
        assert queued[2:] == ["unannounced"]
        self.done()
        backfill.turn(NOON + 31 * SECOND)
        row.refresh_from_db()
        assert (backfill.is_done, row.done) == (True, 4)

    def test_it_waits_for_what_is_unfinished(
        self,
        tracking: FakeTracking,
        make: Make,
        queued: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("workers.discover.backfill.OUTSTANDING", 4)
        for days in range(9):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        backfill = make()
        for _ in range(3):
            backfill.turn(NOON)
        assert len(queued) == 4
        self.done()
        backfill.turn(NOON)
        assert len(queued) == 8

    def test_it_tells_how_far_it_is(self, tracking: FakeTracking, make: Make) -> None:
        tracking.experiments = {"1": "shoes", "2": "hats", "3": "empty"}
        for days in range(5):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE, experiment_id=str(1 + days % 2))
        warm("2-days")
        Run.objects.update(fetched_at=NOON)
        backfill = make(rate=3)
        backfill.turn(NOON)
        row = Backfill.objects.get(name="default")
        assert (row.found, row.experiments, row.to_warm, row.done, row.finished_at) == (5, 2, 4, 0, None)
        self.done()
        backfill.turn(NOON)
        row.refresh_from_db()
        assert (row.done, row.finished_at) == (3, None)
        self.done()
        backfill.turn(NOON + MINUTE)
        row.refresh_from_db()
        assert (row.done, row.finished_at) == (4, NOON + MINUTE)

    def test_more_runs_than_memory_holds_are_listed_again(
        self,
        tracking: FakeTracking,
        make: Make,
        queued: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("workers.discover.backfill.MOST", 3)
        for days in range(10):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        backfill = make()
        while not backfill.is_done:
            backfill.turn(NOON)
            self.done()
        assert queued == [f"{days}-days" for days in range(10)]

    def test_a_server_that_is_down_is_left_alone_and_listed_when_it_is_back(
        self,
        tracking: FakeTracking,
        make: Make,
        queued: list[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        logged(tracking, "earlier", DAY)
        tracking.status = 503
        backfill = make()
        backfill.turn(NOON)
        assert "the runs of MLflow 'default' can't be listed" in caplog.text
        asked = tracking.asked
        backfill.turn(NOON + 2 * MINUTE)
        assert tracking.asked == asked, "it is known to be down"
        tracking.status = 200
        gate.reopen("default")
        backfill.turn(NOON + MINUTE / 2)
        assert queued == ["earlier"]

    def test_a_server_that_answers_nonsense_is_left_alone_for_a_minute(
        self, tracking: FakeTracking, make: Make, queued: list[str]
    ) -> None:
        logged(tracking, "earlier", DAY)
        tracking.refused = "runs"
        backfill = make()
        backfill.turn(NOON)
        tracking.refused, asked = "", tracking.asked
        backfill.turn(NOON + MINUTE / 2)
        assert tracking.asked == asked
        backfill.turn(NOON + MINUTE)
        assert queued == ["earlier"]

    def test_without_redis_the_sweep_of_the_inbox_queues_it(self, tracking: FakeTracking, make: Make) -> None:
        tries: list[str] = []

        def down(run_id: str) -> None:
            tries.append(run_id)
            raise BrokerError("refused")

        for days in range(3):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        make(dispatch=down).turn(NOON)
        assert tries == ["0-days"], "it would be down for the others, too"
        assert InboxEvent.objects.count() == 3

    def test_it_can_be_turned_off(self, queued: list[str]) -> None:
        for given in ({"BACKFILL_RUNS_PER_SECOND": "0"}, {"DISCOVER_SECONDS": "0"}):
            assert backfills_of(Settings.read(given), queued.append) == []
        assert len(backfills_of(Settings.read({"MLFLOW_TRACKING_SERVERS": "eu=http://eu"}), queued.append)) == 2

    def test_what_the_sweep_has_found_itself_counts_too(
        self, tracking: FakeTracking, make: Make, queued: list[str], discovery: Discovery
    ) -> None:
        for days in range(10):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        backfill = make(rate=1)
        backfill.turn(NOON)
        discovery.turn(NOON)
        assert set(queued) == {f"{days}-days" for days in range(7)}
        backfill.turn(NOON)
        assert queued[7:] == ["7-days"]
        self.done()
        backfill.turn(NOON)
        assert queued[8:] == ["8-days"]
        assert Backfill.objects.get().done == 8

    def test_an_error_of_the_database_loses_no_run(
        self, tracking: FakeTracking, make: Make, queued: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for days in range(5):
            logged(tracking, f"{days}-days", days * DAY + 2 * MINUTE)
        backfill, tries = make(), []

        def failing(fact: Fact) -> InboxEvent | None:
            tries.append(fact)
            if len(tries) == 3:
                raise OperationalError("the database is down")
            return record(fact)

        monkeypatch.setattr("workers.discover.backfill.record", failing)
        with pytest.raises(OperationalError):
            backfill.turn(NOON)
        backfill.turn(NOON)
        assert list(InboxEvent.objects.order_by("pk").values_list("run_id", flat=True)) == [
            f"{days}-days" for days in range(5)
        ]
        assert queued == ["2-days", "3-days", "4-days"], "the sweep of the inbox queues the first two"
