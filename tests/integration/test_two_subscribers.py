"""Two subscribers at once on one subscription: what each of them receives, performs and parks happens once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.process import Part, Process, has_said
from tests.integration.conftest import Running, completed
from tests.integration.test_failures import run_id  # noqa: F401  a fixture
from tests.integration.test_replays import tables
from tests.waiting import PATIENCE, wait
from tests.workers.pubsub.test_stream import Proxy
from warmboard.contract.replay import ReplayRequest, Selection
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish

pytestmark = pytest.mark.integration
SUBSCRIBER = """
import sys
from workers.settings import setup_django
setup_django()
from workers import __main__, subscriber
from workers.pubsub import stream
subscriber.DEAD_LETTER_SECONDS = 1.0
stream.QUIET_SECONDS, stream.SECONDS, stream.CLOSE_SECONDS = 0.2, 2.0, 0.2
sys.argv[1:] = ["subscribe"]
sys.exit(__main__.main())
"""
"""One with short clocks."""
LETTERS = 30


@dataclass
class Second:
    """A subscriber beside the stack's own, and the proxy between it and Pub/Sub."""

    process: Process
    proxy: Proxy


@pytest.fixture
def second(running: Running, tmp_path: Path) -> Iterator[Second]:
    proxy, log = Proxy(running.stack.environ["PUBSUB_EMULATOR_HOST"]), tmp_path / "second.log"
    own = {"PUBSUB_EMULATOR_HOST": proxy.address, "SUBSCRIBER_HEARTBEAT": str(tmp_path / "heartbeat")}
    part = Part("second subscriber", [sys.executable, "-c", SUBSCRIBER], has_said(log, "listening on"), environ=own)
    process = Process(part, running.stack.environ, log)
    try:
        process.wait_ready(PATIENCE)
        yield Second(process, proxy)
    finally:
        process.stop()
        proxy.close()


def test_two_subscribers_do_everything_once(running: Running, run_id: str, second: Second) -> None:  # noqa: F811
    begin = datetime.now(UTC)
    begin = begin.replace(microsecond=begin.microsecond // 1000 * 1000)
    logs = [running.process("subscriber").log, second.process.log]

    def said(text: str) -> list[int]:
        """How often each of the two has said it."""
        return [log.read_text().count(text) for log in logs]

    def events(column: str) -> list[Any]:
        with tables(running) as store:
            found = store.execute(f"select {column} from store_inboxevent where run_id = ?", [run_id])  # noqa: S608
            return [value for (value,) in found]

    published: list[str] = []

    def publish() -> None:
        event = completed(run_id, end_time=begin.replace(microsecond=0) - timedelta(seconds=len(published)))
        published.append(event.id)
        running.publish_all([event.encode()] * 2)

    def all_done(times: int) -> bool:
        recorded = all(sum(said(f"event {event} is in the inbox")) >= times for event in published)
        return recorded and set(events("state")) == {"done"}

    def both_take_part() -> bool:
        publish()
        return all(said(f"for run {run_id}"))

    wait(both_take_part, "both to record an event", every=0.2)
    wait(lambda: all_done(1), "all events to be done")
    assert sorted(events("event_id")) == sorted(published)

    wish = Wish(action=Action.SEEK, to=begin)
    seek = SubscriptionRequest(id=f"seek-{run_id}", time=begin, wish=wish, requested_by="ada")
    running.publish_all([seek.encode()] * 3)
    wait(lambda: all_done(2), "all events to be done again", lambda: said("is in the inbox"))
    wait(lambda: any(said("requested by ada: Done: seek to")), "the outcome of the seek")
    assert sum(said("requested by ada: Done: seek to")) == 1
    assert [sum(said(f"event {event} is in the inbox")) for event in published] == [2] * len(published)
    assert len(set(events("seek"))) == 1

    replay = ReplayRequest(id=f"replay-{run_id}", time=begin, selection=Selection(run_id=run_id), requested_by="ada")
    running.publish_all([replay.encode()] * 3)
    with tables(running) as store:
        row = wait(
            lambda: store.execute("select id from store_inboxevent where event_id = ?", [replay.id]).fetchone(),
            "the replay request to be in the inbox",
        )[0]
        batches = running.process("worker").log
        wait(lambda: f"request {row}: " in batches.read_text(), "the replay to be carried out")
        wait(lambda: set(events("state")) == {"done"}, "the run to be warm again")
        assert batches.read_text().count(f"request {row}: ") == 1
        # Another test counts these requests.
        store.execute("delete from store_inboxevent where id = ?", [row])


def test_two_subscribers_park_each_dead_letter_once(running: Running, second: Second) -> None:
    letters = [f"no event {number}".encode() for number in range(LETTERS)]
    running.publish_all([(letter, {}) for letter in letters], "warmboard-runs-dead-letters")

    def parked() -> list[bytes]:
        with tables(running) as store:
            found = store.execute("select data from store_inboxevent where reason like 'dead letter: %'").fetchall()
        return sorted(bytes(data) for (data,) in found)

    wait(lambda: len(parked()) >= LETTERS, "all dead letters to be parked", parked)
    assert parked() == sorted(letters)
    logs = [running.process("subscriber").log, second.process.log]

    def said() -> int:
        return sum(log.read_text().count("is parked as inbox row") for log in logs)

    wait(lambda: said() >= LETTERS, "both to say so", said)
    assert said() == LETTERS


def test_a_dead_connection_of_one_is_noticed_though_the_other_is_served(running: Running, second: Second) -> None:
    def streams() -> int:
        return second.process.log.read_text().count("listening on")

    before = streams()
    second.proxy.swallow()
    wait(lambda: streams() > before, "another stream")
