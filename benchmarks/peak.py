"""``python -m benchmarks.peak ADDRESS RUN_ID``: MiB that one fetch adds to the peak resident memory of this process.

``python -m benchmarks.peak --warm ADDRESS RUN_ID``: seconds that one warming takes, and the peak of the process in MiB;
DATABASE_URL and REDIS_URL say where it is stored.
"""

import re
import sys
import time
from pathlib import Path


def peak() -> float:
    """Peak resident memory of this program in MiB. getrusage would include that of the process which started it."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if not found:
        raise RuntimeError("/proc/self/status has no VmHWM: is this Linux?")
    return int(found[1]) / 1024


def _fetch(address: str, run_id: str) -> None:
    # Imported here: other users of `peak` measure their own imports.
    from workers.fetch.fetcher import Fetcher, TrackingServer

    fetcher = Fetcher(TrackingServer("measured", address))
    before = peak()
    fetcher.fetch(run_id)
    print(peak() - before)


def _warm(address: str, run_id: str) -> None:
    from workers.settings import Settings, setup_django

    setup_django()
    from django.core.management import call_command

    from workers.warm.pipeline import warm_from

    call_command("migrate", verbosity=0)
    settings = Settings.read({"MLFLOW_TRACKING_URI": address})
    begin = time.perf_counter()
    warm_from(settings.tracking_servers[settings.tracking_server], run_id, settings)
    print(time.perf_counter() - begin, peak())


if __name__ == "__main__":
    if sys.argv[1] == "--warm":
        _warm(*sys.argv[2:])
    else:
        _fetch(*sys.argv[1:])
