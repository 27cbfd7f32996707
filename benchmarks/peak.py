"""``python -m benchmarks.peak ADDRESS RUN_ID``: MiB that one fetch adds to the peak resident memory of this process."""

import re
import sys
from pathlib import Path


def peak() -> float:
    """Peak resident memory of this program in MiB. getrusage would include that of the process which started it."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if not found:
        raise RuntimeError("/proc/self/status has no VmHWM: is this Linux?")
    return int(found[1]) / 1024


if __name__ == "__main__":
    # Imported here: other users of `peak` measure their own imports.
    from workers.fetch.fetcher import Fetcher, TrackingServer

    address, run_id = sys.argv[1:]
    fetcher = Fetcher(TrackingServer("measured", address))
    before = peak()
    fetcher.fetch(run_id)
    print(peak() - before)
