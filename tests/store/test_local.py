"""The in-process cache: a burst costs one look-up, bodies expire soon, and no thread waits for another key."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.local import OVERHEAD, SECONDS, LocalCopy
from warmboard.contract.entries import Body, Encoding, EntryKey, Resolution

ONE, OTHER = ((EntryKey.history(run_id, Resolution.FULL), Encoding.ZSTD) for run_id in ("one", "other"))
BODY = Body(b"body", "e")


class Table:
    """Counts its look-ups. Each blocks until ``go`` is set."""

    def __init__(self, body: Body | None = BODY) -> None:
        self.body = body
        self.looked_up = 0
        self.asked, self.go = threading.Event(), threading.Event()

    def look_up(self) -> Body | None:
        self.looked_up += 1
        self.asked.set()
        assert self.go.wait(10)
        return self.body


def test_simultaneous_reads_cost_one_look_up() -> None:
    local, table = LocalCopy(1), Table()
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(local.get, ONE, table.look_up) for _ in range(8)]
        assert table.asked.wait(10)
        assert local.get(OTHER, lambda: None) is None, "no thread waits for another key"
        table.go.set()
        assert [read.result(10) for read in reads] == [BODY] * 8
    assert table.looked_up == 1


def test_a_failing_look_up_fails_for_all_waiters_and_is_retried() -> None:
    local, table = LocalCopy(1), Table()

    def fail() -> Body | None:
        table.look_up()
        raise OSError("the database is down")

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(local.get, ONE, fail) for _ in range(4)]
        assert table.asked.wait(10)
        time.sleep(0.05)
        table.go.set()
        for read in reads:
            with pytest.raises(OSError, match="the database is down"):
                read.result(10)
    assert local.get(ONE, table.look_up) == BODY


def test_a_cached_body_expires_soon() -> None:
    local, table = LocalCopy(1), Table()
    table.go.set()
    for _ in range(3):
        local.get(ONE, table.look_up)
    assert table.looked_up == 1
    time.sleep(SECONDS * 1.5)
    local.get(ONE, table.look_up)
    assert table.looked_up == 2


def test_a_missing_body_is_looked_up_each_time() -> None:
    local, table = LocalCopy(1), Table(None)
    table.go.set()
    assert [local.get(ONE, table.look_up) for _ in range(2)] == [None, None]
    assert table.looked_up == 2


def test_the_cache_is_bounded_in_bytes() -> None:
    local, table = LocalCopy(1), Table(Body(bytes(400_000), "e"))
    table.go.set()
    for number in range(10):
        local.get((EntryKey.history(str(number), Resolution.FULL), Encoding.GZIP), table.look_up)
    assert local._bodies.currsize == 2 * (400_000 + OVERHEAD)
    table.body = Body(bytes(2_000_000), "e")
    assert local.get(OTHER, table.look_up) == table.body, "too large to be cached"
    off = LocalCopy(0)
    assert off.get(ONE, table.look_up) == table.body


def test_a_look_up_that_a_warming_overtook_is_not_cached() -> None:
    local, table = LocalCopy(1), Table()
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(local.get, ONE, table.look_up)
        assert table.asked.wait(10)
        local.forget("one")
        new = Body(b"new", "n")
        assert local.get(ONE, lambda: new) == new, "a new reader does not wait for the stale look-up"
        table.go.set()
        assert read.result(10) == BODY
    assert local.get(ONE, lambda: None) == new
