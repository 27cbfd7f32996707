"""Trains a model on one device, then on two virtual ones in several ways, and prints the logged values as JSON.

It is a separate program, because the devices must be configured before TensorFlow starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from warmboard.keras import GraphGradientSums, MetricsBundle
from warmboard.statistics.values import GradientSums

BUYERS, PRODUCTS, BATCH, STEPS, EPOCHS = 30, 40, 32, 3, 2


class Notes:
    """A log that keeps everything in memory."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self.epochs.append(dict(values))

    def log_params(self, params: Mapping[str, object]) -> None:
        pass


class PairScorer(keras.Model):
    """Two towers, and a loss that is the sum of its parts on two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.query = keras.Sequential([keras.layers.Embedding(BUYERS, 4), keras.layers.Dense(4)])
        self.candidate = keras.Sequential([keras.layers.Embedding(PRODUCTS, 4), keras.layers.Dense(4)])

    def call(self, inputs: Any) -> Any:
        return keras.ops.sum(self.query(inputs["buyer"]) * self.candidate(inputs["product"]), axis=-1)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        scores = keras.ops.cast(y_pred, "float32")
        return keras.ops.sum(keras.ops.binary_crossentropy(y, scores, from_logits=True)) / BATCH


class Recorder(keras.optimizers.SGD):
    """Records the gradients of every replica's steps. Needs eager execution."""

    def __init__(self) -> None:
        super().__init__(0.1)
        self.replicas: list[list[Any]] = [[], []]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        self.replicas[int(tf.distribute.get_replica_context().replica_id_in_sync_group)].append(list(grads))
        super().apply(grads, trainable_variables)

    def recomputed(self) -> dict[str, float]:
        """Return the first epoch's values by NumPy. Each tower has an embedding, a matrix and a bias, in this order."""
        sums = GradientSums()
        for one, other in list(zip(*self.replicas, strict=True))[:STEPS]:
            rows = [
                np.concatenate([a.values, b.values]) if isinstance(a, tf.IndexedSlices) else a.numpy() + b.numpy()
                for a, b in zip(one, other, strict=True)
            ]
            sums.add({"query": rows[:3], "candidate": rows[3:]})
        return sums.values()


def purchases() -> tuple[dict[str, Any], Any]:
    """Pairs of buyer and product, and whether each was bought."""
    random = np.random.default_rng(2)
    pairs = {
        "buyer": random.integers(BUYERS, size=BATCH * STEPS).astype(np.int32),
        "product": random.integers(PRODUCTS, size=BATCH * STEPS).astype(np.int32),
    }
    return pairs, random.integers(2, size=BATCH * STEPS).astype(np.float32)


def train(strategy: Any, optimizer: Any, *, all_inside: bool = False, eager: bool = False) -> list[dict[str, float]]:
    keras.utils.set_random_seed(1)
    data = tf.data.Dataset.from_tensor_slices(purchases()).batch(BATCH)
    notes = Notes()
    with strategy.scope() if strategy else nullcontext():
        model = PairScorer()
        model.compile(optimizer(), run_eagerly=eager)
        callback = MetricsBundle(notes) if all_inside else None
        if callback:
            model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[callback])
    if not callback:
        model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[MetricsBundle(notes)])
    return notes.epochs[:EPOCHS]


def of_a_loop(strategy: Any) -> dict[str, float]:
    """Return the sums of two steps of a loop: the first replica has 1 and one row, the second 2 and two rows."""
    gradients = GraphGradientSums()

    @tf.function
    def step() -> None:
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32) + 1
        rows = tf.IndexedSlices(tf.fill((tf.cast(replica, tf.int32), 2), replica / 8), tf.zeros((0,), tf.int32))
        gradients.add({"query": [tf.reshape(replica, (1,)), rows]})

    for _ in range(2):
        strategy.run(step)
    return gradients.values()


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2

    def sgd() -> Any:
        return keras.optimizers.SGD(0.1)

    def scaled() -> Any:
        return keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=1024.0)

    recorders: list[Recorder] = []

    def recorder() -> Recorder:
        recorders.append(Recorder())
        return recorders[-1]

    json.dump(
        {
            "one": train(None, sgd),
            "two": train(strategy, sgd),
            "all in scope": train(strategy, sgd, all_inside=True),
            "scaled": train(strategy, scaled),
            "eager": train(strategy, recorder, eager=True),
            "recomputed": recorders[0].recomputed(),
            "loop": of_a_loop(strategy),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
