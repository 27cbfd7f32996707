"""The training, read downward: model, fit, test. Where its values go is the log's business, not this file's."""

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
    """A trained model, its test metrics and every epoch's values under their keys, and how long it took in seconds.

    ``best_epoch`` is the epoch, counted from 0, whose weights early stopping chose; None without it.
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
    """Trains on the dataset and tests the result, logging all of it. The same seed gives the same result."""
    keras.utils.set_random_seed(options.seed)
    model = build(dataset, options)
    stopping = early_stopping(options)

    started = time.monotonic()
    fitted = model.fit(
        inputs(dataset.train, options),
        batch_size=options.batch_size,
        epochs=options.epochs,
        # A tuple of one: validation needs no labels either.
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
    """The model for this dataset, compiled."""
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
    """One number, or the schedule of that many interactions' training."""
    if options.schedule == "constant" and not options.warmup_epochs:
        return options.learning_rate
    steps = max(1, interactions // options.batch_size)
    warmup = round(options.warmup_epochs * steps)
    return Schedule(options.schedule, options.learning_rate, options.epochs * steps, warmup, options.decay_to)


def early_stopping(options: Options) -> keras.callbacks.EarlyStopping | None:
    if not options.early_stopping:
        return None
    return keras.callbacks.EarlyStopping(
        options.monitor,
        patience=options.early_stopping,
        mode="min" if options.monitor == VAL_LOSS else "max",
        restore_best_weights=True,
    )


def measures(dataset: Dataset, options: Options) -> list[Measure]:
    """What the options ask to be measured at every epoch's end, besides the losses."""
    if options.monitor != VAL_RECALL:
        return []
    return [Measure(VAL_RECALL, lambda model: recall(model, dataset, dataset.validation, (100,))[100])]


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
    with Bar("recall", len(dataset.test), shown=options.progress) as bar:
        found = recall(model, dataset, dataset.test, RECALL_AT, bar.add)
    return {"test_loss": float(losses["loss"]), **{f"test_recall_at_{k}": value for k, value in found.items()}}


def recall(
    model: TwoTower, dataset: Dataset, part: Part, ks: Sequence[int], done: Callable[[int], None] | None = None
) -> dict[int, float]:
    """Recall at each k of the part's interactions against all products; see `trainer.recall.recall_at`."""
    queries, candidates = vectors(model.query, dataset.buyers), vectors(model.candidate, dataset.products)
    return recall_at(ks, queries, candidates, part.buyers, part.products, done=done)


def vectors(tower: keras.Sequential, rows: int) -> Vectors:
    """The tower's vectors of all its rows, shape ``(rows, embedding_dim)`` in float32, made some at a time."""
    starts = range(0, rows, ROWS_AT_ONCE)
    made = (tower(np.arange(start, min(start + ROWS_AT_ONCE, rows), dtype=np.int32)) for start in starts)
    return np.concatenate([keras.ops.convert_to_numpy(part).astype(np.float32, copy=False) for part in made])


def describe(dataset: Dataset, options: Options) -> dict[str, object]:
    """The run's parameters, besides those that the callbacks log: every option that has a part in the result."""
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
