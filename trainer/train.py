"""The training: build the model, fit it, test it, and log the values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from trainer.bar import Bar
from trainer.data import Dataset, Part
from trainer.measures import Measure
from trainer.model import Schedule, TwoTower
from trainer.options import DATA, FIELDS, VAL_LOSS, VAL_RECALL, VARIABLE, Options, show
from trainer.recall import Vectors, recall_at
from warmboard.keras import MetricsBundle
from warmboard.tracking import Log

RECALL_AT = (5, 10, 50, 100)
ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Outcome:
    """A trained model, its test metrics, every epoch's values under their keys, and the durations in seconds.

    ``best_epoch`` is the epoch, counted from 0, whose weights early stopping restored; None without early stopping.
    """

    model: TwoTower
    test: dict[str, float]
    history: dict[str, list[float]]
    best_epoch: int | None
    training_seconds: float
    test_seconds: float

    @property
    def epochs(self) -> int:
        return len(self.history["loss"])


def train(dataset: Dataset, options: Options, log: Log, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Outcome:
    """Train on the dataset, test the model, and log all values. The same seed gives the same result."""
    keras.utils.set_random_seed(options.seed)
    model = build(dataset, options)
    stopping = early_stopping(options)

    started = time.monotonic()
    fitted = model.fit(
        inputs(dataset.train, options),
        batch_size=options.batch_size,
        epochs=options.epochs,
        # A tuple of one item: validation has no labels either.
        validation_data=(inputs(dataset.validation, options),),
        callbacks=[
            *measures(dataset, options),
            MetricsBundle(log, params=describe(dataset, options)),
            *([stopping] if stopping else []),
            *callbacks,
        ],
        verbose=0,
    )
    trained = time.monotonic()
    best_epoch = int(stopping.best_epoch) if stopping else None
    if best_epoch is not None:
        log.log_params({"best_epoch": best_epoch})
    test = evaluate(model, dataset, options)
    log.log_metrics(test, step=fitted.epoch[-1])
    return Outcome(model, test, fitted.history, best_epoch, trained - started, time.monotonic() - trained)


def build(dataset: Dataset, options: Options) -> TwoTower:
    """Return the compiled model for this dataset."""
    share = np.bincount(dataset.train.products, minlength=dataset.products) / len(dataset.train)
    model = TwoTower(
        dataset.buyers,
        share,
        embedding_dim=options.embedding_dim,
        l2=options.l2,
        query_layers=options.query_layers,
        candidate_layers=options.candidate_layers,
        activation=options.activation,
        dropout=options.dropout,
        normalize=options.normalize,
        temperature=options.temperature,
        seed=options.seed,
    )
    config = {"learning_rate": learning_rate(options, len(dataset.train))}
    if options.clip_norm:
        config["global_clipnorm"] = options.clip_norm
    model.compile(optimizer=keras.optimizers.get({"class_name": options.optimizer, "config": config}))
    return model


def learning_rate(options: Options, interactions: int) -> Any:
    """Return the learning rate, or its schedule for this number of training interactions."""
    if options.schedule == "constant" and not options.warmup_epochs:
        return options.learning_rate
    steps = max(1, interactions // options.batch_size)
    warmup = round(options.warmup_epochs * steps)
    return Schedule(options.schedule, options.learning_rate, options.epochs * steps, warmup, options.decay_to)


def early_stopping(options: Options) -> keras.callbacks.EarlyStopping | None:
    """Return the callback that stops early, if the options ask for it."""
    if not options.early_stopping:
        return None
    return keras.callbacks.EarlyStopping(
        options.monitor,
        patience=options.early_stopping,
        mode="min" if options.monitor == VAL_LOSS else "max",
        restore_best_weights=True,
    )


def measures(dataset: Dataset, options: Options) -> list[Measure]:
    """Return the metrics to compute at the end of every epoch, besides the losses."""
    if options.monitor != VAL_RECALL:
        return []
    return [Measure(VAL_RECALL, lambda model: recall(model, dataset, dataset.validation, (100,))[100])]


def inputs(part: Part, options: Options) -> dict[str, Any]:
    """Return the part as the model's input, shuffled once and cut to whole batches.

    It is shuffled, because otherwise one large purchase would fill a batch with products of the same buyer. It is cut
    to whole batches, because the softmax loss grows with the batch size: that of a smaller last one is not comparable.
    """
    order = np.random.default_rng(options.seed).permutation(len(part))
    if len(part) > options.batch_size:
        order = order[: len(part) // options.batch_size * options.batch_size]
    return {"buyer": part.buyers[order], "product": part.products[order]}


def evaluate(model: TwoTower, dataset: Dataset, options: Options) -> dict[str, float]:
    """Return ``test_loss`` and ``test_recall_at_{k}``, the share of interactions whose product is in the k best."""
    losses = model.evaluate(inputs(dataset.test, options), batch_size=options.batch_size, verbose=0, return_dict=True)
    with Bar("recall", len(dataset.test), shown=options.progress) as bar:
        found = recall(model, dataset, dataset.test, RECALL_AT, bar.add)
    return {"test_loss": float(losses["loss"]), **{f"test_recall_at_{k}": value for k, value in found.items()}}


def recall(
    model: TwoTower, dataset: Dataset, part: Part, ks: Sequence[int], done: Callable[[int], None] | None = None
) -> dict[int, float]:
    """Return the recall at each k, against all products; see `trainer.recall.recall_at`."""
    queries, candidates = vectors(model.query, dataset.buyers), vectors(model.candidate, dataset.products)
    return recall_at(ks, queries, candidates, part.buyers, part.products, done=done)


def vectors(tower: keras.Sequential, rows: int) -> Vectors:
    """Return the tower's vectors of all rows, shape ``(rows, embedding_dim)`` in float32, computed in chunks."""
    starts = range(0, rows, ROWS_AT_ONCE)
    made = (tower(np.arange(start, min(start + ROWS_AT_ONCE, rows), dtype=np.int32)) for start in starts)
    return np.concatenate([keras.ops.convert_to_numpy(part).astype(np.float32, copy=False) for part in made])


def describe(dataset: Dataset, options: Options) -> dict[str, object]:
    """Return the run's parameters that the callbacks don't log: every option that affects the result."""
    chosen = {
        name: show(getattr(options, name))
        for name, declared in FIELDS.items()
        if name in VARIABLE or declared.metadata["group"] == DATA
    }
    return {
        **chosen,
        "query_layers": show(options.layers("query")),
        "candidate_layers": show(options.layers("candidate")),
        "buyers": dataset.buyers,
        "products": dataset.products,
        "train_interactions": len(dataset.train),
        "validation_interactions": len(dataset.validation),
        "test_interactions": len(dataset.test),
        "validation_dropped": dataset.validation.dropped,
        "test_dropped": dataset.test.dropped,
        "repeated_interactions": dataset.repeated,
    }
