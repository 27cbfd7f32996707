"""Gradient statistics for special trainings: several devices, half precision, accumulation, custom train steps and
optimizers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.warmboard.keras import two_devices
from tests.warmboard.keras.test_callbacks import BATCH, TOWERS, Notes, Recorder, fit, purchases, total, two_tower
from warmboard.keras import GradientStatistics
from warmboard.statistics.values import GradientSums


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A callback that fails only logs it. Here that fails the test."""
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"]


def close(values: Mapping[str, float], expected: Mapping[str, float], rel: float = 1e-4) -> None:
    """Compare keys and values, up to another order of float32 additions, which may move a value to the next bin."""
    assert values.keys() == expected.keys()
    for key, value in values.items():
        assert value == pytest.approx(expected[key], rel=rel, abs=2 if "_bin_" in key else 1e-6), key


@pytest.fixture(scope="module")
def devices() -> Any:
    program = [sys.executable, "-m", "tests.warmboard.keras.two_devices"]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(program, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "training goes on" not in done.stderr
    return json.loads(done.stdout)


class TestTwoDevices:
    @pytest.mark.parametrize("way", ["two", "all in scope", "scaled", "eager"])
    def test_they_log_the_values_of_one_device(self, devices: Any, way: str) -> None:
        for one, two in zip(devices["one"], devices[way], strict=True):
            assert sum("_grad_" in key for key in one) == 66
            assert total(one) == total(two) > 0
            # Keras reports these itself, from two halves.
            close({**two, "loss": one["loss"]}, one)

    def test_they_agree_with_numpy(self, devices: Any) -> None:
        expected = devices["recomputed"]
        assert len(expected) == 66
        close({key: devices["eager"][0][key] for key in expected}, expected, rel=1e-6)

    def test_a_custom_loop(self, devices: Any) -> None:
        sums = GradientSums()
        for _ in range(2):
            sums.add({"query": [np.array([3.0, 0.125, 0.125, 0.25, 0.25, 0.25, 0.25], np.float32)]})
        assert devices["loop"] == pytest.approx(sums.values(), rel=1e-12)


def epochs(optimizer: Any, count: int = 1, **options: Any) -> list[dict[str, float]]:
    """Return the values that are logged for the gradients of a small two-tower model."""
    notes = Notes()
    fit(two_tower(optimizer, **options), GradientStatistics(notes), epochs=count)
    return [values for _, values in notes.epochs]


class TestHalfPrecision:
    @pytest.fixture
    def mixed(self) -> Iterator[None]:
        keras.config.set_dtype_policy("mixed_float16")
        yield
        keras.config.set_dtype_policy("float32")

    def train(self, optimizer: Any, count: int = 1) -> list[dict[str, float]]:
        keras.utils.set_random_seed(1)
        notes, model = Notes(), two_devices.PairScorer()
        model.compile(optimizer)
        x, y = two_devices.purchases()
        model.fit(x, y, batch_size=BATCH, epochs=count, shuffle=False, verbose=0, callbacks=[GradientStatistics(notes)])
        return [values for _, values in notes.epochs]

    def half(self, scale: float, count: int = 1) -> tuple[list[dict[str, float]], Any]:
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=scale)
        return self.train(optimizer, count), optimizer

    def test_gradients_are_counted_without_the_loss_scale(self, request: pytest.FixtureRequest) -> None:
        [plain] = self.train(keras.optimizers.SGD(0.0))
        request.getfixturevalue("mixed")
        [mixed], optimizer = self.half(1024.0)
        assert float(optimizer.dynamic_scale) == 1024
        assert total(mixed) == total(plain), "of an embedding the rows that were looked up"
        for tower in TOWERS:
            assert mixed[f"{tower}_grad_norm"] == pytest.approx(plain[f"{tower}_grad_norm"], rel=0.01)
            assert mixed[f"{tower}_grad_std"] == pytest.approx(plain[f"{tower}_grad_std"], rel=0.01)

    @pytest.mark.usefixtures("mixed")
    def test_skipped_steps_do_not_count(self) -> None:
        [every] = self.half(1024.0)[0]
        logged, optimizer = self.half(2.0**26, count=4)
        applied = int(optimizer.iterations)
        assert 0 < applied < 12, "the first steps overflow, until the scale is small enough"
        assert sum(map(total, logged)) == total(every) / 3 * applied
        assert all(np.isfinite(value) for values in logged for value in values.values())

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
    def test_gradients_of_other_types_agree_with_numpy(self, dtype: str) -> None:
        keras.utils.set_random_seed(1)
        recorder, notes = Recorder(), Notes()
        model = keras.Sequential(
            [keras.Input((3,), dtype=dtype), keras.layers.Dense(7, name="query_tower", dtype=dtype)]
        )
        model.compile(recorder, loss="mse", run_eagerly=True)
        x = np.random.default_rng(0).normal(size=(64, 3))
        model.fit(x, np.ones((64, 7)), batch_size=16, epochs=1, verbose=0, callbacks=[GradientStatistics(notes)])
        assert {str(array.dtype) for step in recorder.steps for array in step.values()} == {dtype}
        sums = GradientSums()
        for step in recorder.steps:
            sums.add({"query": list(step.values())})
        close(notes.epochs[0][1], sums.values(), rel=1e-12)


class TestOptions:
    def test_gradient_accumulation_counts_the_gradients_of_each_batch(self) -> None:
        accumulated = epochs(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2))
        plain = epochs(keras.optimizers.SGD(0.0))
        close(accumulated[0], plain[0])

    def test_several_steps_per_execution(self) -> None:
        for values, expected in zip(
            epochs(keras.optimizers.Adagrad(0.1), 2, steps_per_execution=2),
            epochs(keras.optimizers.Adagrad(0.1), 2),
            strict=True,
        ):
            assert total(values) == total(expected)
            close(values, expected)

    @pytest.mark.parametrize("clipping", [{"clipnorm": 1e-6}, {"global_clipnorm": 1e-6}, {"clipvalue": 1e-9}])
    def test_gradients_are_taken_before_clipping(self, clipping: dict[str, float]) -> None:
        [clipped] = epochs(keras.optimizers.SGD(0.0, **clipping))
        [plain] = epochs(keras.optimizers.SGD(0.0))
        close(clipped, plain)


class OwnStep(keras.Model):
    """A model with a custom train step, which passes its gradients in the given way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.query = keras.layers.Dense(2)
        self.candidate = keras.layers.Dense(2)
        self.way = way

    def call(self, inputs: Any) -> Any:
        return keras.ops.sum(self.query(inputs) * self.candidate(inputs), axis=-1)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(self(x) - y))
        variables = self.trainable_variables
        self.hand_over(tape.gradient(loss, variables), variables)
        return {"loss": loss}

    def hand_over(self, gradients: list[Any], variables: list[Any]) -> None:
        if self.way == "apply_gradients":
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        elif self.way == "apply":
            self.optimizer.build(variables)
            self.optimizer.apply(iter(gradients))
        else:
            # TensorFlow's own variables, as a tape returns them.
            self.optimizer.apply(gradients, [variable.value for variable in variables])


class TwoOptimizers(OwnStep):
    """Each tower has its own optimizer. The model's ``optimizer`` is Keras's default, which is not used."""

    def __init__(self) -> None:
        super().__init__("")
        self.by_tower = [keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1)]
        self.query_optimizer, self.candidate_optimizer = self.by_tower

    def hand_over(self, gradients: list[Any], variables: list[Any]) -> None:
        self.query_optimizer.apply(gradients[:2], variables[:2])
        self.candidate_optimizer.apply(gradients[2:], variables[2:])


def train(model: Any) -> dict[str, float]:
    notes = Notes()
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    model.fit(x, np.ones(32, np.float32), batch_size=8, epochs=1, verbose=0, callbacks=[GradientStatistics(notes)])
    return notes.epochs[0][1]


class TestCustomTrainSteps:
    @pytest.mark.parametrize("way", ["apply_gradients", "apply", "unwrapped"])
    def test_ways_to_pass_gradients(self, way: str) -> None:
        keras.utils.set_random_seed(1)
        recorded = OwnStep("apply_gradients")
        recorder = Recorder()
        recorded.compile(recorder, run_eagerly=True)
        train(recorded)
        sums = GradientSums()
        for step in recorder.steps:
            sums.add({tower: [step[v.path] for v in getattr(recorded, tower).trainable_variables] for tower in TOWERS})

        keras.utils.set_random_seed(1)
        model = OwnStep(way)
        model.compile(keras.optimizers.Adagrad(0.1))
        close(train(model), sums.values())

    def test_two_optimizers(self) -> None:
        keras.utils.set_random_seed(1)
        model = TwoOptimizers()
        model.compile()
        values = train(model)
        assert len(values) == 66
        # Four steps of a matrix of 3 times 2 and a bias of 2.
        assert total(values) == 2 * 4 * 8
        assert all(int(optimizer.iterations) == 4 for optimizer in model.by_tower)
        assert not any("apply" in vars(optimizer) for optimizer in [*model.by_tower, model.optimizer])


def test_a_wrapped_optimizer_is_saved_as_before(tmp_path: Path) -> None:
    notes, path = Notes(), tmp_path / "model.weights.h5"
    save = keras.callbacks.ModelCheckpoint(str(path), save_weights_only=True)
    model = two_tower()
    model.fit(purchases(), batch_size=BATCH, epochs=1, verbose=0, callbacks=[GradientStatistics(notes), save])
    assert path.exists()
    assert total(notes.epochs[0][1]) > 0
