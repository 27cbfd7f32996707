"""``python -m benchmarks.loops CALLS``: log epochs of 127 values from a loop without a framework, and print each call's
cost to its thread and the peak memory that tracking adds. The environment names the servers.
"""

from __future__ import annotations

import json
import os
import sys
import time

# Training programs import it anyway.
import numpy as np

from benchmarks.peak import peak

WARM_UP = 5
PAUSE_SECONDS = 0.01


def main() -> None:
    calls = int(sys.argv[1])
    keys = [f"query_hist_bin_{number}" for number in range(127)]
    values = np.random.default_rng(1).normal(size=(calls + WARM_UP, len(keys))).tolist()
    before = peak()
    from warmboard import start_run

    micro = []
    with start_run(experiment="loop") as run:
        begun = peak()
        for epoch, numbers in enumerate(values):
            logged = dict(zip(keys, numbers, strict=True))
            begin = time.perf_counter()
            run.log_metrics(logged, step=epoch)
            micro.append((time.perf_counter() - begin) * 1e6)
            time.sleep(PAUSE_SECONDS)
        logged_peak = peak()
        document = {"micro": micro[WARM_UP:], "begun": begun - before, "logged": logged_peak - begun}
        print(json.dumps(document), flush=True)
        # A run whose server is down takes long to end.
        os._exit(0)


if __name__ == "__main__":
    main()
