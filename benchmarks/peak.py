"""``python -m benchmarks.peak ADDRESS RUN_ID``: MiB that one fetch adds to this process's peak of resident memory."""

import re
import sys
from pathlib import Path


def peak() -> float:
    """Of this program alone: what getrusage tells holds that of the process which started it."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if not found:
        raise RuntimeError("/proc/self/status has no VmHWM: is this Linux?")
    return int(found[1]) / 1024


if __name__ == "__main__":
    # Only here: others who ask for a peak want theirs.
    from workers.fetch.fetcher import Fetcher, TrackingServer

    address, run_id = sys.argv[1:]
    fetcher = Fetcher(TrackingServer("measured", address))
    before = peak()
    fetcher.fetch(run_id)
    print(peak() - before)
