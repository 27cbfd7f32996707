"""A training and its test by the options; logged to a list, without a server."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest

from tests.trainer.test_model import OPTIONS, dataset
from trainer import save
from trainer.data import Dataset, Part
from trainer.options import OPTIMIZERS, VAL_RECALL, Options
from trainer.recall import recall_at
from trainer.train import Outcome, build, evaluate, inputs, train, vectors


class Notes:
    """A log that keeps everything in memory."""

    def __init__(self) -> None:
        self.metrics: dict[str, dict[int, float]] = {}
        self.params: dict[str, str] = {}

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self.metrics.setdefault(key, {})[step] = value

    def log_params(self, params: Mapping[str, object]) -> None:
        assert not self.params.keys() & params.keys(), "parameters are immutable"
        self.params |= {key: str(value) for key, value in params.items()}


Result = tuple[Outcome, Notes]


def trained(options: Options, callbacks: Any = (), data: Dataset | None = None) -> Result:
    notes = Notes()
    return train(data or dataset(), dataclasses.replace(options, progress=False), notes, callbacks), notes


@pytest.fixture(scope="module")
def plain() -> Result:
    """A training with OPTIONS."""
    return trained(OPTIONS)


def test_it_learns_better_than_chance() -> None:
    data = dataset()
    before = evaluate(build(data, OPTIONS), data, OPTIONS)
    outcome, _ = trained(dataclasses.replace(OPTIONS, epochs=30))
    after = outcome.test
    assert after.keys() == {"test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))}
    assert after["test_loss"] < before["test_loss"]
    assert after["test_recall_at_5"] > 0.7
    assert after["test_recall_at_50"] == 1.0


class TestSeed:
    def everything(self, result: Result) -> tuple[Any, ...]:
        outcome, notes = result
        index = save.index_bytes(outcome.model, dataset())
        return outcome.history, outcome.test, notes.metrics, notes.params, index

    def test_the_same_seed_gives_the_same_result(self, plain: Result) -> None:
        # An earlier training in this process, as in a sweep, must not affect it.
        trained(dataclasses.replace(OPTIONS, embedding_dim=4, epochs=1))
        keras.utils.clear_session()
        again = self.everything(trained(OPTIONS))
        assert again[0].keys() >= {"loss", "val_loss", "regularization_loss", "total_loss"}
        assert again == self.everything(plain)

    def test_other_threads_may_draw_random_numbers(self, plain: Result) -> None:
        """Google's clients do, between two attempts."""
        over = threading.Event()

        def take() -> None:
            while not over.wait(0.001):
                random.random()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            again = trained(OPTIONS)
        finally:
            over.set()
            thread.join()
        assert self.everything(again) == self.everything(plain)

    def test_the_same_seed_with_every_random_option(self) -> None:
        options = dataclasses.replace(OPTIONS, dropout=0.3, optimizer="adagrad", early_stopping=2, schedule="cosine")
        first, second = trained(options), trained(options)
        assert self.everything(first) == self.everything(second)

    def test_another_seed_gives_another_result(self, plain: Result) -> None:
        assert trained(dataclasses.replace(OPTIONS, seed=6))[0].history != plain[0].history


def test_inputs_are_whole_batches_or_everything() -> None:
    part = Part(np.arange(150, dtype=np.int32), np.arange(150, dtype=np.int32))
    assert len(inputs(part, OPTIONS)["buyer"]) == 128
    few = Part(part.buyers[:10], part.products[:10])
    assert sorted(inputs(few, OPTIONS)["product"]) == list(range(10))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_known_to_keras(name: str) -> None:
    model = build(dataset(), dataclasses.replace(OPTIONS, optimizer=name, clip_norm=1.5))
    assert type(model.optimizer).__name__.lower() == name
    assert model.optimizer.global_clipnorm == 1.5
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


class TestLogging:
    def test_every_final_value_of_an_option_is_a_parameter(self) -> None:
        options = dataclasses.replace(OPTIONS, query_layers=(16, 4), schedule="cosine", normalize=True)
        _, notes = trained(options)
        expected = {
            "data": "completejourney", "max_interactions": "750000", "min_buyers": "20", "validation_share": "0.1",
            "test_share": "0.1", "embedding_dim": "8", "query_layers": "16-4", "candidate_layers": "8",
            "activation": "relu", "dropout": "0.0", "normalize": "true", "temperature": "1.0", "l2": "0.001",
            "epochs": "2", "batch_size": "64", "optimizer": "adam", "learning_rate": "0.01", "schedule": "cosine",
            "warmup_epochs": "0.0", "decay_to": "0.01", "clip_norm": "0.0", "early_stopping": "0",
            "monitor": "val_loss", "seed": "5", "buyers": "20", "products": "20", "train_interactions": "660",
            "validation_interactions": "80", "test_interactions": "80", "validation_dropped": "0",
            "test_dropped": "0", "repeated_interactions": "0",
        }  # fmt: skip
        assert "peak=0.01" in notes.params.pop("learning_rate_schedule")
        assert {key: value for key, value in notes.params.items() if "bin_edges" not in key} == expected

    def test_a_schedules_learning_rate_is_logged(self, plain: Result) -> None:
        _, notes = trained(dataclasses.replace(OPTIONS, epochs=4, schedule="exponential", decay_to=0.1))
        rates = list(notes.metrics["learning_rate"].values())
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] == pytest.approx(0.001)
        assert "learning_rate" not in plain[1].metrics

    def test_the_test_is_logged_at_the_last_epoch(self, plain: Result) -> None:
        assert list(plain[1].metrics["test_recall_at_5"]) == list(plain[1].metrics["final_loss"]) == [1]


class Spoil(keras.callbacks.Callback):
    """Resets the weights from the fourth epoch on, every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.good: list[Any] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 3:
            self.good = self.model.get_weights()
        if epoch >= 3:
            for variable in self.model.trainable_variables:
                variable.assign(variable * 0.0)


class TestEarlyStopping:
    def test_the_best_weights_are_restored(self) -> None:
        spoil = Spoil()
        outcome, notes = trained(dataclasses.replace(OPTIONS, epochs=50, early_stopping=2), [spoil])
        watched = outcome.history["val_loss"]
        assert outcome.best_epoch == watched.index(min(watched)) == int(notes.params["best_epoch"]) == 2
        assert outcome.epochs == 5
        assert list(notes.metrics["test_loss"]) == [4]
        weights = outcome.model.get_weights()
        assert all(np.array_equal(one, other) for one, other in zip(weights, spoil.good, strict=True))

    def test_validation_recall_can_be_monitored_and_is_logged(self) -> None:
        data = dataset(size=150)
        options = dataclasses.replace(OPTIONS, epochs=50, early_stopping=1, monitor=VAL_RECALL)
        outcome, notes = trained(options, [Spoil()], data)
        watched = list(notes.metrics[VAL_RECALL].values())
        assert watched == outcome.history[VAL_RECALL]
        assert outcome.best_epoch == watched.index(max(watched)) < 3
        assert outcome.epochs == outcome.best_epoch + 2
        towers = vectors(outcome.model.query, 150), vectors(outcome.model.candidate, 150)
        best = recall_at((100,), *towers, data.validation.buyers, data.validation.products)
        assert best[100] == max(watched) < 1

    def test_without_it_all_epochs_are_trained(self) -> None:
        outcome, notes = trained(dataclasses.replace(OPTIONS, epochs=5), [Spoil()])
        assert (outcome.epochs, outcome.best_epoch) == (5, None)
        assert "best_epoch" not in notes.params
