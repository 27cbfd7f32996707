"""The logged values against NumPy, on gradients and weights recorded apart from the callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer.callbacks import GradientStatistics, Losses, Towers, WarmboardCallback, WeightNorms, WeightStatistics
from trainer.callbacks.bins import gradient_edges, text
from trainer.callbacks.gradients import Accumulator
from trainer.callbacks.weights import statistics
from trainer.model import TwoTower

Floats = npt.NDArray[np.float32]
BUYERS, PRODUCTS, BATCH = 30, 40, 32
TOWERS = ("query", "candidate")


class Notes:
    """A log that keeps everything."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, dict[str, float]]] = []
        self.params: dict[str, object] = {}

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self.epochs.append((step, dict(values)))

    def log_params(self, params: Mapping[str, object]) -> None:
        assert not self.params.keys() & params.keys(), "parameters are immutable"
        self.params |= params


class Recorder(keras.optimizers.Adagrad):
    """Remembers each step's gradients, by the path of their variable; needs eager execution."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.1)
        self.steps: list[dict[str, Floats]] = []

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        self.steps.append(
            {
                variable.path: np.asarray(grad.values if isinstance(grad, tf.IndexedSlices) else grad).ravel()
                for grad, variable in zip(grads, trainable_variables, strict=True)
            }
        )
        super().apply(grads, trainable_variables)


def two_tower(optimizer: Any = None, **compile_options: Any) -> TwoTower:
    keras.utils.set_random_seed(1)
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=4, l2=1e-3)
    model.compile(optimizer=optimizer or keras.optimizers.Adagrad(0.1), **compile_options)
    return model


def purchases(batches: int = 3) -> dict[str, npt.NDArray[np.int32]]:
    random = np.random.default_rng(2)
    n = batches * BATCH
    return {
        "buyer": random.integers(BUYERS, size=n).astype(np.int32),
        "product": random.integers(PRODUCTS, size=n).astype(np.int32),
    }


def fit(model: Any, callback: Any, epochs: int = 2, **options: Any) -> None:
    model.fit(purchases(), batch_size=BATCH, epochs=epochs, callbacks=[callback], verbose=0, shuffle=False, **options)


def of_tower(model: TwoTower, tower: str, step: Mapping[str, Floats]) -> Floats:
    return np.concatenate([step[variable.path] for variable in getattr(model, tower).trainable_variables])


class TestGradients:
    def test_an_epoch_agrees_with_numpy(self) -> None:
        recorder, notes = Recorder(), Notes()
        model = two_tower(recorder, run_eagerly=True)
        fit(model, GradientStatistics(notes), epochs=2)
        assert len(recorder.steps) == 6
        edges = gradient_edges()
        for epoch, (step, values) in enumerate(notes.epochs):
            assert step == epoch
            for tower in TOWERS:
                steps = [of_tower(model, tower, step) for step in recorder.steps[3 * epoch : 3 * epoch + 3]]
                every = np.concatenate(steps)
                wide = every.astype(np.float64)
                assert values[f"{tower}_grad_mean"] == pytest.approx(wide.mean(), rel=1e-9, abs=1e-15)
                assert values[f"{tower}_grad_std"] == pytest.approx(wide.std(), rel=1e-9)
                assert values[f"{tower}_grad_min"] == every.min()
                assert values[f"{tower}_grad_max"] == every.max()
                norms = [np.linalg.norm(step.astype(np.float64)) for step in steps]
                assert values[f"{tower}_grad_norm"] == pytest.approx(np.mean(norms), rel=1e-9)
                counts = [values[f"{tower}_grad_hist_bin_{index}"] for index in range(25)]
                assert counts == np.histogram(every, edges)[0].tolist()
                assert sum(count > 0 for count in counts) > 8, "the edges spread real gradients"
                assert values[f"{tower}_grad_hist_underflow"] == np.sum(every < -1)
                assert values[f"{tower}_grad_hist_overflow"] == np.sum(every > 1)
                assert values[f"{tower}_grad_nonfinite"] == 0

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_the_graph_agrees_with_eager_execution(self, jit_compile: bool) -> None:
        eager, graph = Notes(), Notes()
        fit(two_tower(run_eagerly=True), GradientStatistics(eager))
        fit(two_tower(jit_compile=jit_compile), GradientStatistics(graph))
        for (_, expected), (_, values) in zip(eager.epochs, graph.epochs, strict=True):
            assert values.keys() == expected.keys()
            for key, value in values.items():
                # Another order of additions may move a value across the edge of a bin.
                slack = 2 if "_bin_" in key else 1e-6
                assert value == pytest.approx(expected[key], rel=1e-4, abs=slack), key

    def test_values_on_edges_outside_and_not_finite(self) -> None:
        edges = gradient_edges()
        strange = np.array([-1.5, 2, 3, 0, -0.0, 1e-30, 3e38, np.nan, np.inf, -np.inf], np.float32)
        inside = np.nextafter(edges, np.float32(0))
        values = np.concatenate([edges, inside, strange])
        accumulator = Accumulator(edges)
        for part in np.split(values, [10, 40, 57]):
            accumulator.add([tf.constant(part)])
        logged = accumulator.values("query")
        finite = values[np.isfinite(values)]
        # A bin holds its edge nearer to zero, on both sides: 13 bins of magnitudes, mirrored, of which 13 is outside.
        mirrored = 13 + np.copysign(1, finite).astype(int) * np.digitize(np.abs(finite), edges[13:])
        expected = np.bincount(mirrored, minlength=27)[1:26]
        assert [logged[f"query_grad_hist_bin_{index}"] for index in range(25)] == expected.tolist()
        assert (logged["query_grad_hist_underflow"], logged["query_grad_hist_overflow"]) == (2, 4)
        assert logged["query_grad_nonfinite"] == 3
        assert logged["query_grad_mean"] == pytest.approx(finite.astype(np.float64).mean())
        assert (logged["query_grad_min"], logged["query_grad_max"]) == (-1.5, float(np.float32(3e38)))
        assert np.isnan(logged["query_grad_norm"])

    def test_sums_stay_exact_where_float32_would_not(self) -> None:
        accumulator = Accumulator(gradient_edges())
        random = np.random.default_rng(0)
        steps = [(1 + 1e-4 * random.normal(size=5000)).astype(np.float32) for _ in range(20)]
        for step in steps:
            accumulator.add([tf.constant(step)])
        every = np.concatenate(steps).astype(np.float64)
        logged = accumulator.values("query")
        assert logged["query_grad_mean"] == pytest.approx(every.mean(), rel=1e-12)
        assert logged["query_grad_std"] == pytest.approx(every.std(), rel=1e-6)

    def test_a_second_fit_counts_anew_and_the_model_is_left_as_it_was(self) -> None:
        model = two_tower()
        before, after = Notes(), Notes()
        fit(model, GradientStatistics(before), epochs=1)
        assert "apply" not in vars(model.optimizer)
        fit(model, keras.callbacks.Callback(), epochs=1)
        fit(model, GradientStatistics(after), epochs=1)
        assert total(after.epochs[0][1]) == total(before.epochs[0][1]) > 0

    def test_two_at_once(self) -> None:
        one, two = Notes(), Notes()
        model = two_tower()
        model.fit(
            purchases(),
            batch_size=BATCH,
            epochs=1,
            verbose=0,
            callbacks=[GradientStatistics(one), GradientStatistics(two)],
        )
        assert one.epochs == two.epochs
        assert "apply" not in vars(model.optimizer)

    def test_mixed_precision(self) -> None:
        notes, plain = Notes(), Notes()
        fit(two_tower(run_eagerly=True), GradientStatistics(plain), epochs=1)
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adagrad(0.1), initial_scale=1024.0)
        fit(two_tower(optimizer), GradientStatistics(notes), epochs=1)
        norm = plain.epochs[0][1]["query_grad_norm"]
        assert notes.epochs[0][1]["query_grad_norm"] == pytest.approx(norm, rel=1e-3)

    def test_linear_edges(self) -> None:
        notes = Notes()
        fit(two_tower(), GradientStatistics(notes, scale="linear"), epochs=1)
        edges = [float(edge) for edge in str(notes.params["query_grad_hist_bin_edges"]).split(",")]
        assert np.allclose(edges, np.linspace(-1, 1, 26), rtol=0.004)


def total(values: Mapping[str, float]) -> float:
    return sum(value for key, value in values.items() if "_grad_hist_" in key)


def test_symlog_edges_are_those_of_the_agreement() -> None:
    edges = gradient_edges()
    assert len(edges) == 26
    assert np.all(np.diff(edges) > 0)
    assert np.allclose(edges, -edges[::-1])
    assert np.allclose(edges[13:], np.geomspace(1e-7, 1, 13), rtol=0.004)
    assert np.array_equal(np.array(text(edges).split(","), dtype=np.float32), edges)


class TestWeights:
    def test_norms(self) -> None:
        notes = Notes()
        model = two_tower()
        fit(model, WeightNorms(notes), epochs=1)
        (_, values) = notes.epochs[0]
        for key, layer in [
            ("weight_norm", model),
            ("query_weight_norm", model.query),
            ("candidate_weight_norm", model.candidate),
        ]:
            flat = np.concatenate([variable.numpy().ravel() for variable in layer.trainable_variables])
            assert values[key] == pytest.approx(np.linalg.norm(flat.astype(np.float64)), rel=1e-12)

    def test_statistics_and_histograms_agree_with_numpy(self) -> None:
        notes = Notes()
        model = two_tower()
        recorded: list[dict[str, Floats]] = []

        class Record(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                flat = {
                    tower: np.concatenate([v.numpy().ravel() for v in getattr(model, tower).trainable_variables])
                    for tower in TOWERS
                }
                recorded.append(flat)

        model.fit(purchases(), batch_size=BATCH, epochs=2, verbose=0, callbacks=[Record(), WeightStatistics(notes)])
        for (_, values), weights_of in zip(notes.epochs, recorded, strict=True):
            for tower, weights in weights_of.items():
                assert values[f"{tower}_weights_mean"] == pytest.approx(weights.astype(np.float64).mean())
                assert values[f"{tower}_weights_std"] == pytest.approx(weights.astype(np.float64).std())
                assert (values[f"{tower}_weights_min"], values[f"{tower}_weights_max"]) == (
                    weights.min(),
                    weights.max(),
                )
                # What a reader does: the epoch's edges follow from its own minimum and maximum.
                edges = np.linspace(values[f"{tower}_weights_min"], values[f"{tower}_weights_max"], 26)
                counts = [values[f"{tower}_hist_bin_{index}"] for index in range(25)]
                assert counts == np.histogram(weights, edges)[0].tolist()
                assert sum(counts) == weights.size
        first = np.array(str(notes.params["query_hist_bin_edges"]).split(","), dtype=float)
        assert first[0] == pytest.approx(recorded[0]["query"].min())
        assert first[25] == pytest.approx(recorded[0]["query"].max())

    def test_equal_weights(self) -> None:
        values = statistics("query", np.zeros(10, dtype=np.float32))
        assert values["query_hist_bin_0"] == 10
        assert (values["query_weights_min"], values["query_weights_max"], values["query_weights_std"]) == (0, 0, 0)

    def test_weights_that_are_not_finite_are_counted(self) -> None:
        values = statistics("query", np.array([1, 2, np.nan, np.inf], dtype=np.float32))
        assert values["query_weights_nonfinite"] == 2
        assert (values["query_weights_mean"], values["query_weights_max"]) == (1.5, 2)
        assert sum(values[f"query_hist_bin_{index}"] for index in range(25)) == 2
        assert np.isnan(statistics("query", np.array([np.nan], dtype=np.float32))["query_weights_mean"])


class TestTowers:
    def model(self, *names: str) -> Any:
        inputs = keras.Input((3,))
        outputs = inputs
        for name in names:
            outputs = keras.layers.Dense(2, name=name)(outputs)
        model = keras.Model(inputs, outputs)
        model.compile(optimizer="sgd", loss="mse")
        return model

    def paths(self, model: Any, towers: Towers) -> dict[str, list[str]]:
        return {tower: [v.path for v in variables] for tower, variables in towers.variables(model).items()}

    def test_by_identity(self) -> None:
        model = two_tower()
        found = Towers().variables(model)
        for tower in TOWERS:
            own = getattr(model, tower).trainable_variables
            assert [id(variable) for variable in found[tower]] == [id(variable) for variable in own]
            assert len(own) == 5

    def test_by_the_layers_name_or_a_given_layer(self) -> None:
        model = self.model("query_tower", "other")
        assert self.paths(model, Towers())["query"] == ["query_tower/kernel", "query_tower/bias"]
        given = Towers(layers={"query": model.get_layer("other")})
        assert self.paths(model, given)["query"] == ["other/kernel", "other/bias"]

    def test_by_path(self) -> None:
        model = self.model("buyer_dense", "shared", "product_dense")
        paths = self.paths(model, Towers())
        assert paths["query"] == ["buyer_dense/kernel", "buyer_dense/bias"]
        assert paths["candidate"] == ["product_dense/kernel", "product_dense/bias"]

    def test_one_warning_when_nothing_matches_and_the_rest_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        notes = Notes()
        model = self.model("first", "second")
        model.fit(np.ones((8, 3)), np.ones((8, 2)), epochs=2, verbose=0, callbacks=[WarmboardCallback(notes)])
        assert len(caplog.records) == 1
        assert "first/kernel, first/bias, second/kernel" in caplog.text
        assert notes.epochs[0][1].keys() == {"loss", "weight_norm"}


CATALOGUE = {
    *(f"{part}{name}" for part in ("", "val_") for name in ("loss", "regularization_loss", "total_loss")),
    "weight_norm",
    *(f"{tower}_weight_norm" for tower in TOWERS),
    *(f"{tower}_weights_{name}" for tower in TOWERS for name in ("mean", "std", "min", "max")),
    *(f"{tower}_hist_bin_{index}" for tower in TOWERS for index in range(25)),
    *(f"{tower}_grad_{name}" for tower in TOWERS for name in ("mean", "std", "min", "max", "norm")),
    *(f"{tower}_grad_hist_bin_{index}" for tower in TOWERS for index in range(25)),
}
COUNTERS = {
    f"{tower}_{name}"
    for tower in TOWERS
    for name in ("grad_hist_underflow", "grad_hist_overflow", "grad_nonfinite", "weights_nonfinite")
}


class TestBundle:
    def test_one_call_an_epoch_with_the_whole_catalogue(self) -> None:
        notes = Notes()
        callback = WarmboardCallback(notes, params={"embedding_dim": 4})
        fit(two_tower(), callback, epochs=3, validation_data=(purchases(1),))
        assert len(CATALOGUE) == 127
        assert [step for step, _ in notes.epochs] == [0, 1, 2, 2]
        for _, values in notes.epochs[:3]:
            assert values.keys() == CATALOGUE | COUNTERS
        last = notes.epochs[2][1]
        assert notes.epochs[3][1] == {"final_loss": last["loss"], "final_val_loss": last["val_loss"]}

    def test_parameters(self) -> None:
        notes = Notes()
        fit(two_tower(), WarmboardCallback(notes, params={"embedding_dim": 4}), epochs=2)
        edges = {f"{tower}_{kind}" for tower in TOWERS for kind in ("hist_bin_edges", "grad_hist_bin_edges")}
        assert notes.params.keys() == {"epochs", "optimizer", "learning_rate", "embedding_dim"} | edges
        assert (notes.params["epochs"], notes.params["optimizer"], notes.params["learning_rate"]) == (
            2,
            "adagrad",
            "0.1",
        )
        assert {len(str(notes.params[key]).split(",")) for key in edges} == {26}

    def test_losses_alone_log_whatever_keras_reports(self) -> None:
        notes = Notes()
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
        model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=1, verbose=0, callbacks=[Losses(notes)])
        assert notes.epochs[0][1].keys() == {"loss", "mae"}
        assert notes.epochs[1][1].keys() == {"final_loss"}


def test_a_metric_that_is_no_single_number_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    losses = Losses(notes)
    for epoch in range(2):
        losses.on_epoch_end(epoch, {"loss": 0.5, "f1_score": np.array([0.1, 0.2])})
    assert notes.epochs == [(0, {"loss": 0.5}), (1, {"loss": 0.5})]
    assert caplog.text.count("no single numbers: f1_score") == 1
