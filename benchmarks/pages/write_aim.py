"""``python write_aim.py FOLDER``, in Aim's environment: log the epochs on standard input; print the run's hash."""

import json
import sys

import numpy as np
from aim import Distribution, Run

document = json.load(sys.stdin)
low, high = document["edges"][0], document["edges"][-1]
run = Run(repo=sys.argv[1], system_tracking_interval=None, capture_terminal_logs=False)
for step, (scalars, histograms) in enumerate(document["epochs"]):
    for key, value in scalars.items():
        run.track(value, name=key, step=step)
    for name, counts in histograms.items():
        run.track(Distribution(hist=np.array(counts), bin_range=(low, high)), name=name, step=step)
run.close()
print(run.hash)
