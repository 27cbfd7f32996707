"""The training program, read downward: data, model, fit, test. Tracking is the run's business, not this file's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trainer.data import Dataset, Part
from trainer.model import TwoTower
from trainer.recall import recall_at
from trainer.run import TrackedRun

RECALL_AT = (5, 10, 50, 100)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be varied; ``optimizer`` is a name that Keras knows. `trainer.__main__` has defaults."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    embedding_dim: int
    l2: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The test metrics under their keys, and how long fitting and testing took in seconds."""

    test: dict[str, float]
    training_seconds: float
    test_seconds: float


def train(
    dataset: Dataset, options: Options, run: TrackedRun, callbacks: Sequence[keras.callbacks.Callback]
) -> Outcome:
    """Trains on the dataset and tests the result, logging all of it to the run. The same seed gives the same result."""
    keras.utils.set_random_seed(options.seed)
    model = build(dataset, options)
    log_all = run.callback(params=describe(dataset, options))

    started = time.monotonic()
    model.fit(
        inputs(dataset.train, options),
        batch_size=options.batch_size,
        epochs=options.epochs,
        # A tuple of one: validation needs no labels either.
        validation_data=(inputs(dataset.validation, options),),
        callbacks=[log_all, *callbacks],
        verbose=0,
    )
    fitted = time.monotonic()
    metrics = evaluate(model, dataset, options)
    run.log_metrics(metrics, step=options.epochs - 1)
    return Outcome(metrics, fitted - started, time.monotonic() - fitted)


def build(dataset: Dataset, options: Options) -> TwoTower:
    """The model for this dataset, compiled."""
    share = np.bincount(dataset.train.products, minlength=dataset.products) / len(dataset.train)
    model = TwoTower(dataset.buyers, share, embedding_dim=options.embedding_dim, l2=options.l2)
    optimizer = keras.optimizers.get(
        {"class_name": options.optimizer, "config": {"learning_rate": options.learning_rate}}
    )
    model.compile(optimizer=optimizer)
    return model


def inputs(part: Part, options: Options) -> dict[str, Any]:
    """The part as the model takes it, shuffled once and cut to whole batches.

    Shuffled, because one basket bought at one moment would fill a batch with products of the same buyer. Whole batches,
    because the softmax loss grows with the size of the batch: a smaller last one would not compare.
    """
    order = np.random.default_rng(options.seed).permutation(len(part))
    if len(part) > options.batch_size:
        order = order[: len(part) // options.batch_size * options.batch_size]
    return {"buyer": part.buyers[order], "product": part.products[order]}


def evaluate(model: TwoTower, dataset: Dataset, options: Options) -> dict[str, float]:
    """``test_loss`` and ``test_recall_at_{k}``: the share of interactions with a product of the buyer's k best."""
    losses = model.evaluate(inputs(dataset.test, options), batch_size=options.batch_size, verbose=0, return_dict=True)
    recall = recall_at(
        RECALL_AT,
        keras.ops.convert_to_numpy(model.query(np.arange(dataset.buyers))),
        keras.ops.convert_to_numpy(model.candidate(np.arange(dataset.products))),
        dataset.test.buyers,
        dataset.test.products,
    )
    return {"test_loss": float(losses["loss"]), **{f"test_recall_at_{k}": value for k, value in recall.items()}}


def describe(dataset: Dataset, options: Options) -> dict[str, object]:
    """The run's parameters, besides those that the callbacks log."""
    return {
        "batch_size": options.batch_size,
        "embedding_dim": options.embedding_dim,
        "l2": options.l2,
        "seed": options.seed,
        "buyers": dataset.buyers,
        "products": dataset.products,
        "train_interactions": len(dataset.train),
        "validation_interactions": len(dataset.validation),
        "test_interactions": len(dataset.test),
        "validation_dropped": dataset.validation.dropped,
        "test_dropped": dataset.test.dropped,
    }
