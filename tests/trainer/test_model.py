from __future__ import annotations

import keras
import numpy as np
import pytest

from trainer.data import Dataset, Part
from trainer.model import TwoTower, in_batch_softmax
from trainer.train import Options, build, evaluate, inputs

OPTIONS = Options(epochs=2, batch_size=64, learning_rate=0.01, optimizer="adam", embedding_dim=8, l2=1e-3, seed=5)


def dataset(n: int = 640) -> Dataset:
    """Buyers who buy what stands at their own number, and now and then something else."""
    random = np.random.default_rng(4)

    def part(size: int) -> Part:
        buyers = random.integers(20, size=size).astype(np.int32)
        other = random.integers(20, size=size).astype(np.int32)
        return Part(buyers, np.where(random.random(size) < 0.8, buyers, other).astype(np.int32))

    train = part(n)
    every = np.arange(20, dtype=np.int32)
    train = Part(np.concatenate([every, train.buyers]), np.concatenate([every, train.products]))
    return Dataset(train, part(n // 8), part(n // 8), buyers=20, products=20)


def test_the_softmax_agrees_with_numpy_and_leaves_out_the_same_product() -> None:
    random = np.random.default_rng(1)
    queries, candidates = random.normal(size=(2, 6, 4)).astype(np.float32)
    products = np.array([0, 1, 2, 1, 3, 1], dtype=np.int32)
    log_share = np.log(np.array([0.2, 0.5, 0.1, 0.2]))[products].astype(np.float32)
    losses = []
    for row in range(6):
        scores = candidates @ queries[row] - log_share
        others = [column for column in range(6) if column == row or products[column] != products[row]]
        losses.append(np.log(np.exp(scores[others]).sum()) - scores[row])
    assert float(in_batch_softmax(queries, candidates, products, log_share)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_total_is_the_loss_of_the_data_and_the_regularisation() -> None:
    model = build(dataset(), OPTIONS)
    logs = model.fit(inputs(dataset().train, OPTIONS), batch_size=64, epochs=1, verbose=0).history
    assert logs.keys() == {"loss", "regularization_loss", "total_loss"}
    assert logs["regularization_loss"][0] > 0
    assert logs["total_loss"][0] == pytest.approx(logs["loss"][0] + logs["regularization_loss"][0], rel=1e-6)


def test_it_learns_better_than_chance() -> None:
    data = dataset()
    model = build(data, OPTIONS)
    before = evaluate(model, data, OPTIONS)
    model.fit(inputs(data.train, OPTIONS), batch_size=64, epochs=30, verbose=0)
    after = evaluate(model, data, OPTIONS)
    assert after.keys() == {"test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))}
    assert after["test_loss"] < before["test_loss"]
    assert after["test_recall_at_5"] > 0.7
    assert after["test_recall_at_50"] == 1.0


def test_the_same_seed_gives_the_same_result() -> None:
    def train() -> list[float]:
        keras.utils.set_random_seed(OPTIONS.seed)
        model = build(dataset(), OPTIONS)
        history = model.fit(inputs(dataset().train, OPTIONS), batch_size=64, epochs=2, verbose=0).history
        return [*history["loss"], *evaluate(model, dataset(), OPTIONS).values()]

    assert train() == train()


def test_inputs_are_whole_batches_or_all_there_is() -> None:
    part = Part(np.arange(150, dtype=np.int32), np.arange(150, dtype=np.int32))
    assert len(inputs(part, OPTIONS)["buyer"]) == 128
    few = Part(part.buyers[:10], part.products[:10])
    assert sorted(inputs(few, OPTIONS)["product"]) == list(range(10))


def test_a_model_that_was_saved_says_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("model") / "model.weights.h5"
    model, copy = build(dataset(), OPTIONS), build(dataset(), OPTIONS)
    example = {"buyer": np.arange(3, dtype=np.int32), "product": np.arange(3, dtype=np.int32)}
    model(example), copy(example)
    model.save_weights(path)
    copy.load_weights(path)
    assert isinstance(copy, TwoTower)
    one, two = (keras.ops.convert_to_numpy(each.query(np.arange(20))) for each in (model, copy))
    assert np.array_equal(one, two)
