"""Which runs may use a worker's processes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.servers.bulkhead import Bulkhead, has_room
from workers.servers.gate import HeldBackError

FREE = (0, 0)


@given(processes=st.integers(1, 12), servers=st.integers(1, 5), seed=st.integers())
def test_no_server_and_no_run_takes_what_others_need(processes: int, servers: int, seed: int) -> None:
    """Whatever comes and goes, in whatever order: each server can always begin a run if it has none, as long as there
    are more processes than servers.
    """
    chance = random.Random(seed)
    names = range(1, servers + 1)
    places = [FREE] * processes
    for _ in range(60):
        if FREE in places and chance.random() < 0.7:
            server, run = chance.choice(names), chance.randint(1, 4)
            if has_room(server, run, places, set(names) - {server}):
                places[places.index(FREE)] = (server, run)
        else:
            places[chance.randrange(processes)] = FREE
        waiting = [server for server in names if not any(of == server for of, _ in places)]
        if processes >= servers:
            assert places.count(FREE) >= len(waiting), places
        assert all(places.count(place) <= min(2, max(1, processes - 1)) for place in places if place != FREE), places


def test_one_server_alone_uses_every_process() -> None:
    places = [FREE] * 3
    for run in (1, 2, 3):
        assert has_room(1, run, places, ())
        places[run - 1] = (1, run)


def test_a_process_is_kept_for_each_other_server() -> None:
    places = [(1, 1), (1, 2), FREE, FREE]
    assert not has_room(1, 3, places, {2, 3})
    assert has_room(2, 4, places, {1, 3})
    assert has_room(1, 3, [(1, 1), (2, 4), FREE, FREE], {2, 3}), "the other server has its own already"


def test_a_run_never_uses_the_last_process() -> None:
    assert has_room(1, 1, [(1, 1), FREE, FREE], ())
    assert not has_room(1, 1, [(1, 1), FREE], ())
    assert not has_room(1, 1, [(1, 1), (1, 1), FREE, FREE], ()), "two are enough"


def test_a_place_is_held_for_the_time_of_the_fetch() -> None:
    bulkhead = Bulkhead(2, ["default", "eu"])
    with bulkhead.place(0, "eu", "run1"):
        with pytest.raises(HeldBackError, match="'eu'"), bulkhead.place(1, "eu", "run2"):
            pass
        with bulkhead.place(1, "default", "run3"):
            pass
    with bulkhead.place(1, "eu", "run2"):
        pass


def test_the_place_of_a_killed_process_is_free_when_the_next_one_begins() -> None:
    bulkhead = Bulkhead(2, ["default", "eu"])
    killed = bulkhead.place(0, "eu", "run1")
    killed.__enter__()
    bulkhead.clear(0)
    with bulkhead.place(1, "eu", "run2"):
        pass


def test_a_server_that_is_not_configured_needs_no_place() -> None:
    bulkhead = Bulkhead(1, ["default"])
    with bulkhead.place(0, "gone", "run1"):
        pass
