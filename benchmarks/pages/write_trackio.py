"""``python write_trackio.py``, in trackio's environment: log the epochs on standard input."""

import json
import sys

import trackio

document = json.load(sys.stdin)
trackio.init(project="two-towers", name="run")
for step, (scalars, histograms) in enumerate(document["epochs"]):
    drawn = {name: trackio.Histogram(np_histogram=(counts, document["edges"])) for name, counts in histograms.items()}
    trackio.log(scalars | drawn, step=step)
trackio.finish()
