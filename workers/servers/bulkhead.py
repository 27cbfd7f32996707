"""The bulkhead: how many processes of a worker the runs of one tracking server may use.

One that answers a byte at a time must not stop the warming of all others. So a free process is kept for every
configured server whose runs use none; the rest goes to who comes first. Each process writes what it works on into its
own place of a table in the worker's memory, which the processes share, so that nothing has to be released after a
``kill -9``: the next process takes the place.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import tempfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ctypes import Structure, c_uint32

from celery.utils.log import current_process_index

from workers.servers.gate import HeldBackError


def has_room(server: int, run: int, places: Sequence[tuple[int, int]], others: Collection[int]) -> bool:
    """Whether a free process may take this run of this server.

    ``places`` has (server, run) of each process of the worker; a server that is 0 means: none, the process is free.
    ``others`` are the other configured servers. A server's first run always may: the process that asks is free. More
    may as long as a free process is left for each other server whose runs use none. A run that is fetched already, for
    an earlier event, gets one more process, and never the last.
    """
    used = Counter(of for of, _ in places if of)
    of_run = sum(place == (server, run) for place in places)
    left = len(places) - used.total() - 1
    if of_run and (of_run > 1 or not left):
        return False
    return not used[server] or left >= sum(not used[other] for other in others)


class _Place(Structure):
    _fields_ = (("server", c_uint32), ("run", c_uint32))


class Bulkhead:
    """The places of a worker's processes. Make it before the processes are forked."""

    def __init__(self, processes: int, servers: Collection[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(sorted(servers), start=1)}
        self._places = multiprocessing.RawArray(_Place, processes)
        # A lock that the kernel releases if its process is killed.
        self._lock = tempfile.TemporaryFile()  # noqa: SIM115

    @contextmanager
    def place(self, process: int, server: str, run_id: str) -> Iterator[None]:
        """Hold the place of a process while it fetches the run. Raises HeldBackError if the server has no room."""
        number, run = self._numbers.get(server, 0), zlib.crc32(run_id.encode())
        # One that is not configured is not asked either.
        if number and not self._take(process, number, run):
            raise HeldBackError(f"waits for a process: runs of tracking server {server!r} use all that they may")
        try:
            yield
        finally:
            self.clear(process)

    def clear(self, process: int) -> None:
        """Free the place: of this process, or of the one before it that was killed."""
        self._places[process].server = 0

    def _take(self, process: int, server: int, run: int) -> bool:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            places = [(place.server, place.run) for place in self._places]
            others = set(self._numbers.values()) - {server}
            if not has_room(server, run, places, others):
                return False
            self._places[process].server, self._places[process].run = server, run
            return True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


_bulkhead: Bulkhead | None = None


def build(processes: int, servers: Collection[str]) -> None:
    """Make the bulkhead of this worker, before its processes are forked."""
    global _bulkhead
    _bulkhead = Bulkhead(processes, servers)


def enter() -> None:
    """This process is new: what the one before it in its place did has ended."""
    index = current_process_index(0)
    if _bulkhead and index is not None:
        _bulkhead.clear(index)


@contextmanager
def place(server: str, run_id: str) -> Iterator[None]:
    """Hold a process for this run. Raises HeldBackError. Outside of a worker, everything has room."""
    index = current_process_index(0)
    if _bulkhead is None or index is None:
        yield
        return
    with _bulkhead.place(index, server, run_id):
        yield
