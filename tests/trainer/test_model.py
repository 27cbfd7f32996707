from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer import train
from trainer.data import Dataset, Part
from trainer.model import Schedule, in_batch_softmax
from trainer.options import Options
from trainer.save import index_bytes, model_bytes, save
from trainer.train import build, inputs, vectors
from warmboard.errors import StorageError

OPTIONS = Options(epochs=2, batch_size=64, learning_rate=0.01, optimizer="adam", embedding_dim=8, l2=1e-3, seed=5)


def dataset(n: int = 640, size: int = 20) -> Dataset:
    """Buyers who buy the product with their own number, and sometimes another one."""
    random = np.random.default_rng(4)

    def part(count: int) -> Part:
        buyers = random.integers(size, size=count).astype(np.int32)
        other = random.integers(size, size=count).astype(np.int32)
        return Part(buyers, np.where(random.random(count) < 0.8, buyers, other).astype(np.int32))

    train = part(n)
    every = np.arange(size, dtype=np.int32)
    train = Part(np.concatenate([every, train.buyers]), np.concatenate([every, train.products]))
    products = np.array([f"p{row}" for row in range(size)])
    return Dataset(train, part(n // 8), part(n // 8), buyer_ids=np.arange(100, 100 + size), product_ids=products)


def test_the_softmax_agrees_with_numpy_and_masks_the_same_product() -> None:
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


def test_by_default_a_tower_has_one_hidden_layer_of_embedding_dim() -> None:
    tower = build(dataset(), OPTIONS).query
    assert [layer.name for layer in tower.layers] == ["embedding", "hidden_1", "output"]
    assert [variable.shape for variable in tower.trainable_variables] == [(20, 8), (8, 8), (8,), (8, 8), (8,)]


def test_layers_are_as_the_options_say() -> None:
    options = Options(
        embedding_dim=8, query_layers=(16, 4), candidate_layers=(), activation="tanh", dropout=0.5, normalize=True
    )
    model = build(dataset(), options)
    names = [layer.name for layer in model.query.layers]
    assert names == ["embedding", "hidden_1", "dropout_1", "hidden_2", "dropout_2", "output", "normalize"]
    assert [model.query.get_layer(f"hidden_{number}").units for number in (1, 2)] == [16, 4]
    assert model.query.get_layer("hidden_1").activation is keras.activations.tanh
    assert [layer.name for layer in model.candidate.layers] == ["embedding", "output", "normalize"]
    assert np.linalg.norm(vectors(model.query, 20), axis=1) == pytest.approx(np.ones(20), abs=1e-5)


def test_the_temperature_divides_the_scores() -> None:
    losses = []
    for temperature in (1.0, 0.5):
        keras.utils.set_random_seed(1)
        model = build(dataset(), Options(embedding_dim=8, temperature=temperature))
        batch = {"buyer": np.arange(20, dtype=np.int32), "product": np.arange(20, dtype=np.int32)}
        queries, candidates = model(batch)
        scale = 1 / temperature
        share = keras.ops.take(model.log_share, batch["product"])
        expected = float(in_batch_softmax(queries * scale, candidates, batch["product"], share))
        model.compute_loss(x=batch, y_pred=(queries, candidates))
        losses.append(float(model.data_loss.result()))
        assert losses[-1] == pytest.approx(expected, rel=1e-6)
    assert losses[0] != losses[1]


class TestSchedule:
    def rates(self, kind: str, warmup: int = 0, decay_to: float = 0.1) -> list[float]:
        schedule = Schedule(kind, 2.0, steps=11, warmup=warmup, decay_to=decay_to)
        return [float(schedule(step)) for step in range(13)]

    def test_warm_up(self) -> None:
        assert self.rates("constant", warmup=4) == pytest.approx([0.5, 1.0, 1.5, *[2.0] * 10])

    def test_cosine(self) -> None:
        rates = self.rates("cosine")
        assert rates[::5] == pytest.approx([2.0, 1.1, 0.2])
        assert rates[10:] == pytest.approx([0.2] * 3)
        assert rates[:11] == sorted(rates[:11], reverse=True)

    def test_exponential(self) -> None:
        rates = self.rates("exponential")
        assert rates[:11] == pytest.approx([2 * 0.1 ** (step / 10) for step in range(11)], rel=1e-5)
        assert rates[12] == rates[10]

    def test_warm_up_comes_before_the_decay(self) -> None:
        rates = self.rates("cosine", warmup=3)
        assert max(rates) == rates[3] == pytest.approx(2.0)
        assert rates[10] == pytest.approx(0.2)


SAVED = [
    Options(embedding_dim=8, batch_size=64, epochs=1),
    Options(
        embedding_dim=8, batch_size=64, epochs=1, query_layers=(16, 4), candidate_layers=(), dropout=0.2,
        normalize=True, temperature=0.1, schedule="cosine", warmup_epochs=0.5, optimizer="adagrad", clip_norm=1.0,
    ),
]  # fmt: skip


@pytest.mark.parametrize("options", SAVED, ids=["defaults", "everything"])
def test_a_saved_model_gives_the_same_scores_in_another_process(options: Options, tmp_path: Path) -> None:
    data = dataset()
    model = build(data, options)
    model.fit(inputs(data.train, options), batch_size=64, epochs=1, verbose=0)
    (tmp_path / "model.keras").write_bytes(model_bytes(model))
    # As another program does: with nothing of this process, only the module that has the classes.
    code = (
        "import sys, keras, numpy as np, trainer.model\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "shares = keras.ops.convert_to_numpy(model.log_share)\n"
        "both = [keras.ops.convert_to_numpy(tower(np.arange(20))) for tower in (model.query, model.candidate)]\n"
        "np.savez(sys.argv[2], *both, shares, rate=float(model.optimizer.learning_rate))\n"
    )
    arguments = [str(tmp_path / "model.keras"), str(tmp_path / "said.npz")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "UserWarning" not in done.stderr
    said = np.load(tmp_path / "said.npz")
    assert np.array_equal(said["arr_0"], vectors(model.query, 20))
    assert np.array_equal(said["arr_1"], vectors(model.candidate, 20))
    assert np.array_equal(said["arr_2"], keras.ops.convert_to_numpy(model.log_share))
    assert float(said["rate"]) == float(model.optimizer.learning_rate)


def test_the_index_names_every_row_and_contains_no_pickle() -> None:
    data = dataset()
    model = build(data, OPTIONS)
    index = np.load(io.BytesIO(index_bytes(model, data)), allow_pickle=False)
    assert set(index.files) == {"candidate_vectors", "product_ids", "buyer_ids"}
    assert index["product_ids"].tolist() == [f"p{row}" for row in range(20)]
    assert index["buyer_ids"].tolist() == list(range(100, 120))
    assert index["candidate_vectors"].dtype == np.float32
    assert np.array_equal(index["candidate_vectors"], vectors(model.candidate, 20))


def test_vectors_are_computed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = build(dataset(), OPTIONS).query
    whole = vectors(tower, 20)
    monkeypatch.setattr(train, "ROWS_AT_ONCE", 7)
    assert vectors(tower, 20) == pytest.approx(whole, abs=1e-6)
    assert vectors(tower, 20).shape == (20, 8)


def test_both_files_are_written_to_the_runs_folder(tmp_path: Path) -> None:
    data = dataset()
    model = build(data, OPTIONS)
    model({"buyer": np.arange(3), "product": np.arange(3)})
    uris = save(model, data, str(tmp_path / "run"))
    assert uris == tuple((tmp_path / "run" / name).as_uri() for name in ("model.keras", "index.npz"))
    assert (tmp_path / "run" / "index.npz").read_bytes()[:2] == b"PK"
    assert np.array_equal(
        vectors(keras.models.load_model(tmp_path / "run" / "model.keras").query, 20), vectors(model.query, 20)
    )
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="can't be written"):
        save(model, data, str(tmp_path / "file"))


def test_it_learns_in_half_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build(dataset(), OPTIONS)
        assert model.query.compute_dtype == "float16"
        losses = model.fit(inputs(dataset().train, OPTIONS), batch_size=64, epochs=3, verbose=0).history["loss"]
        made = vectors(model.candidate, 20)
    finally:
        keras.config.set_dtype_policy(before)
    assert losses[-1] < losses[0]
    assert made.dtype == np.float32
