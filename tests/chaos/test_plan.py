"""The plan of a storm: the same for a seed, and over when it should be."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chaos.plan import FULL, SHORT, Scale, faults, kinds
from chaos.runs import script

RUNS = [f"{number:032x}" for number in range(40)]


@pytest.mark.parametrize("scale", [FULL, SHORT], ids=["full", "short"])
@pytest.mark.parametrize("seed", range(5))
def test_faults_follow_from_the_seed_and_end_with_the_storm(seed: int, scale: Scale) -> None:
    planned = faults(seed, scale, "postgresql", disk=True)
    assert planned == faults(seed, scale, "postgresql", disk=True)
    assert planned != faults(seed + 1, scale, "postgresql", disk=True)
    assert len(planned) == scale.faults
    assert all(0 <= fault.at <= fault.end <= scale.seconds for fault in planned)
    assert all(first.at <= second.at for first, second in pairwise(planned))
    lasting = [fault.seconds for fault in planned if fault.seconds]
    assert all(scale.shortest <= seconds <= scale.longest for seconds in lasting)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_full_storm_has_every_kind_of_fault(database: str) -> None:
    planned = {(fault.kind, fault.target) for fault in faults(1, FULL, database, disk=True)}
    assert planned == set(kinds(database, disk=True))


def test_the_messages_follow_from_the_seed_and_each_run_is_announced() -> None:
    written = script(3, RUNS, 60.0, "stormy")
    assert [message.at for message in written.messages] == sorted(message.at for message in written.messages)
    again = script(3, RUNS, 60.0, "stormy")
    assert [message.at for message in again.messages] == [message.at for message in written.messages]
    announced = {event_id.partition(".")[0] for _, event_id in written.events}
    assert announced == set(RUNS) | set(written.parked)
    assert max(len(message.data) for message in written.messages) > 2**23
    assert len(set(written.malformed)) == len(written.malformed) == 24
    assert all(message.at <= 60.0 for message in written.messages)
