"""``python -m benchmarks.pages.write_tensorboard FOLDER``: log the epochs on standard input, as Keras would."""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf


def main() -> None:
    document = json.load(sys.stdin)
    edges = np.array(document["edges"])
    middles = (edges[1:] + edges[:-1]) / 2
    with tf.summary.create_file_writer(sys.argv[1]).as_default():
        for step, (scalars, histograms) in enumerate(document["epochs"]):
            for key, value in scalars.items():
                tf.summary.scalar(key, value, step=step)
            for name, counts in histograms.items():
                tf.summary.histogram(name, np.repeat(middles, np.array(counts) // 100), step=step, buckets=len(middles))


if __name__ == "__main__":
    main()
