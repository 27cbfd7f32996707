"""``python -m benchmarks.bound ADDRESS``: what fetching and encoding alone take, without queue and store.

Reads run IDs from the first line of its input, fetches one as a warm-up, says that it is ready, and on the next line
fetches the runs and makes their entries, one after another; then it says that it is done.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.ndjson import write_run
from workers.settings import Settings


def main(address: str) -> None:
    settings = Settings.read({"MLFLOW_TRACKING_URI": address})
    sampling = Sampling(settings.epoch_sample_interval, settings.overview_points)
    fetcher = Fetcher(
        TrackingServer("default", address), concurrency=settings.fetch_concurrency, limits=settings.fetch_limits
    )

    def make(run_id: str) -> None:
        run = fetcher.fetch(run_id).printable()
        write_run(run)
        RunDocuments(run, sampling, datetime.now(UTC)).entries()

    runs = sys.stdin.readline().split()
    make(runs[0])
    print("ready", flush=True)
    sys.stdin.readline()
    for run_id in runs:
        make(run_id)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
