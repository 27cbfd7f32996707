"""The logged values against NumPy, on gradients and weights that are recorded without the callbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer.model import TwoTower
from warmboard.keras import (
    GradientStatistics,
    GraphGradientSums,
    Losses,
    MetricsBundle,
    Towers,
    WeightNorms,
    Weights,
    WeightStatistics,
    sums,
)
from warmboard.statistics.bins import gradient_edges, text
from warmboard.statistics.values import GradientSums
from warmboard.tracking import Fits

Floats = npt.NDArray[np.float32]
BUYERS, PRODUCTS, BATCH = 30, 40, 32
TOWERS = ("query", "candidate")


@pytest.fixture(autouse=True)
def nothing_failed(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """A callback that fails only logs it. Here that fails the test, unless the test is about it."""
    yield
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelname == "ERROR"]
    assert bool(errors) == (request.cls is TestFailures), errors


class Notes:
    """A log that keeps everything in memory."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, dict[str, float]]] = []
        self.params: dict[str, object] = {}
        self.fits: Fits | None = None

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self.epochs.append((step, dict(values)))

    def log_params(self, params: Mapping[str, object]) -> None:
        assert not self.params.keys() & params.keys(), "parameters are immutable"
        self.params |= params


class Recorder(keras.optimizers.Adagrad):
    """Records each step's gradients, by the path of their variable. Needs eager execution."""

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


def two_tower(optimizer: Any = None, built: bool = True, **compile_options: Any) -> TwoTower:
    """Unless its optimizer is ``built``, the first fit traces its graph twice, which takes most of a test's time."""
    keras.utils.set_random_seed(1)
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=4, l2=1e-3)
    model.compile(optimizer=optimizer or keras.optimizers.Adagrad(0.1), **compile_options)
    if built:
        model.optimizer.build(model.trainable_variables)
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
        fit(two_tower(built=False, jit_compile=jit_compile), GradientStatistics(graph))
        for (_, expected), (_, values) in zip(eager.epochs, graph.epochs, strict=True):
            assert values.keys() == expected.keys()
            for key, value in values.items():
                # Another order of additions may move a value to the next bin.
                slack = 2 if "_bin_" in key else 1e-6
                assert value == pytest.approx(expected[key], rel=1e-4, abs=slack), key

    def test_values_on_edges_outside_and_not_finite(self) -> None:
        edges = gradient_edges()
        strange = np.array([-1.5, 2, 3, 0, -0.0, 1e-30, 3e38, np.nan, np.inf, -np.inf], np.float32)
        inside = np.nextafter(edges, np.float32(0))
        values = np.concatenate([edges, inside, strange])
        sums = GraphGradientSums()
        for part in np.split(values, [10, 40, 57]):
            sums.add({"query": [tf.constant(part)]})
        logged = sums.values()
        finite = values[np.isfinite(values)]
        # A bin includes its edge nearer to zero, on both sides: 13 bins of magnitudes, mirrored. Bin 13 is outside.
        mirrored = 13 + np.copysign(1, finite).astype(int) * np.digitize(np.abs(finite), edges[13:])
        expected = np.bincount(mirrored, minlength=27)[1:26]
        assert [logged[f"query_grad_hist_bin_{index}"] for index in range(25)] == expected.tolist()
        assert (logged["query_grad_hist_underflow"], logged["query_grad_hist_overflow"]) == (2, 4)
        assert logged["query_grad_nonfinite"] == 3
        assert logged["query_grad_mean"] == pytest.approx(finite.astype(np.float64).mean())
        assert (logged["query_grad_min"], logged["query_grad_max"]) == (-1.5, float(np.float32(3e38)))
        assert np.isnan(logged["query_grad_norm"])

    @pytest.mark.parametrize(("mean", "std"), [(1, 1e-4), (1, 3e-7), (1e4, 2e-3), (-3e5, 0.1), (0, 1e-20)])
    def test_sums_are_exact_when_a_sum_of_squares_is_not(self, mean: float, std: float) -> None:
        random = np.random.default_rng(0)
        steps = [(mean + std * random.normal(size=5000)).astype(np.float32) for _ in range(20)]
        sums = GraphGradientSums()
        for step in steps:
            sums.add({"query": [tf.constant(step)]})
        every = np.concatenate(steps).astype(np.float64)
        logged = sums.values()
        assert logged["query_grad_mean"] == pytest.approx(every.mean(), rel=1e-9, abs=0)
        assert logged["query_grad_std"] == pytest.approx(every.std(), rel=1e-10, abs=0)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_the_graph_counts_as_numpy_does(self, dtype: str, jit_compile: bool) -> None:
        graph, plain = GraphGradientSums(jit_compile=jit_compile), GradientSums()
        add = tf.function(lambda a, b: graph.add({"query": [a, None], "candidate": [b, a]}), jit_compile=jit_compile)
        random = np.random.default_rng(0)
        for size in (1000, 1, 0, 3):
            one = tf.cast(10.0 ** random.uniform(-9, 2, size=(size, 2)) * random.choice([-1, 1]), dtype)
            other = tf.cast(random.choice([0.0, np.nan, np.inf, 0.5], size=(5,)), dtype)
            add(one, other)
            plain.add({"query": [one.numpy()], "candidate": [other.numpy(), one.numpy()]})
        values, expected = graph.values(), plain.values()
        assert values.keys() == expected.keys()
        for key, value in values.items():
            assert value == pytest.approx(expected[key], rel=1e-12, abs=1e-300, nan_ok=True), key

    def test_a_second_fit_counts_from_zero_and_the_model_is_unchanged(self) -> None:
        model = two_tower()
        before, after = Notes(), Notes()
        fit(model, GradientStatistics(before), epochs=1)
        assert "apply" not in vars(model.optimizer)
        fit(model, keras.callbacks.Callback(), epochs=1)
        fit(model, GradientStatistics(after), epochs=1)
        assert total(after.epochs[0][1]) == total(before.epochs[0][1]) > 0

    def test_without_an_optimizer_there_is_nothing(self) -> None:
        notes = Notes()
        callback = GradientStatistics(notes)
        callback.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        callback.on_epoch_end(0)
        callback.on_train_end()
        assert notes.epochs == []

    def test_two_callbacks_in_one_fit(self) -> None:
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

    def test_other_wrappers_of_the_optimizer_are_kept(self) -> None:
        model, notes, called = two_tower(), Notes(), []
        apply = model.optimizer.apply

        def counting(*arguments: Any) -> Any:
            called.append(1)
            return apply(*arguments)

        model.optimizer.apply = counting
        fit(model, GradientStatistics(notes), epochs=1)
        assert model.optimizer.apply is counting
        assert called
        assert total(notes.epochs[0][1]) > 0

    def test_a_fit_that_failed_and_then_another_optimizer(self) -> None:
        class Fails(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                raise ValueError("no luck")

        model, notes = two_tower(), Notes()
        callback, first = GradientStatistics(notes), model.optimizer
        with pytest.raises(ValueError, match="no luck"):
            model.fit(purchases(), batch_size=BATCH, verbose=0, callbacks=[callback, Fails()])
        model.compile(optimizer=keras.optimizers.Adagrad(0.1))
        fit(model, callback, epochs=1)
        assert total(notes.epochs[0][1]) > 0
        assert not any("apply" in vars(optimizer) for optimizer in (first, model.optimizer))

    def test_what_gpus_use_counts_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain, notes = Notes(), Notes()
        fit(two_tower(), GradientStatistics(plain), epochs=1)
        monkeypatch.setattr(sums, "_has_gpu", lambda: True)
        fit(two_tower(), GradientStatistics(notes), epochs=1)
        assert notes.epochs == plain.epochs

    def test_mixed_precision(self) -> None:
        notes, plain = Notes(), Notes()
        fit(two_tower(run_eagerly=True), GradientStatistics(plain), epochs=1)
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adagrad(0.1), initial_scale=1024.0)
        fit(two_tower(optimizer, built=False), GradientStatistics(notes), epochs=1)
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
                # As a reader does: the epoch's edges follow from its own min and max.
                edges = np.linspace(values[f"{tower}_weights_min"], values[f"{tower}_weights_max"], 26)
                counts = [values[f"{tower}_hist_bin_{index}"] for index in range(25)]
                assert counts == np.histogram(weights, edges)[0].tolist()
                assert sum(counts) == weights.size
        first = np.array(str(notes.params["query_hist_bin_edges"]).split(","), dtype=float)
        assert first[0] == pytest.approx(recorded[0]["query"].min())
        assert first[25] == pytest.approx(recorded[0]["query"].max())

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
    def test_weights_of_other_types_agree_with_numpy(self, dtype: str) -> None:
        layer = keras.layers.Dense(300, name="query_tower", dtype=dtype)
        model = keras.Sequential([keras.Input((400,)), layer])
        notes = Notes()
        callback = Weights(notes, Towers(layers={"candidate": layer}))
        callback.set_model(model)
        callback.on_epoch_end(0)
        every = np.concatenate([variable.numpy().ravel().astype(np.float64) for variable in layer.trainable_variables])
        values = notes.epochs[0][1]
        for tower in TOWERS:
            assert values[f"{tower}_weights_mean"] == pytest.approx(every.mean(), rel=1e-12)
            assert values[f"{tower}_weights_std"] == pytest.approx(every.std(), rel=1e-12)
            counts = [values[f"{tower}_hist_bin_{index}"] for index in range(25)]
            assert counts == np.histogram(every, np.linspace(every.min(), every.max(), 26))[0].tolist()
        for key in ("weight_norm", "query_weight_norm", "candidate_weight_norm"):
            assert values[key] == pytest.approx(np.linalg.norm(every), rel=1e-12)

    def test_every_variable_is_read_once_an_epoch(self) -> None:
        class Read:
            """A variable that counts how often it is read."""

            def __init__(self, number: float) -> None:
                self.number = number
                self.readings = 0
                self.path = "kernel"

            def numpy(self) -> Floats:
                self.readings += 1
                return np.full((2, 3), self.number, np.float32)

        variables = [Read(1), Read(2), Read(3)]
        layers = {tower: SimpleNamespace(trainable_variables=[variables[i]]) for i, tower in enumerate(TOWERS)}
        notes = Notes()
        callback = MetricsBundle(notes, towers=Towers(layers=layers))
        callback.set_model(SimpleNamespace(trainable_variables=variables, optimizer=None))
        callback.on_epoch_end(0, {"loss": 1.0})
        assert [variable.readings for variable in variables] == [1, 1, 1]
        assert notes.epochs[0][1]["weight_norm"] == pytest.approx((6 * (1 + 4 + 9)) ** 0.5)


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

    def test_a_layer_by_name_anywhere_in_the_model(self) -> None:
        inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="deep"), keras.layers.Dense(2)])
        model = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1, name="head")])
        towers = Towers(layers={"query": "deep", "candidate": "head"})
        assert self.paths(model, towers) == {
            "query": [f"{inner.name}/deep/kernel", f"{inner.name}/deep/bias"],
            "candidate": [f"{model.name}/head/kernel", f"{model.name}/head/bias"],
        }

    @pytest.mark.parametrize("name", ["user_tower", "buyer_model", "query_encoder", "query_network"])
    def test_by_an_attribute_of_the_model(self, name: str) -> None:
        model = OneLayer(name, keras.layers.Dense(2, name="anything"))
        assert self.paths(model, Towers())["query"] == [v.path for v in model.trainable_variables]

    def test_a_layer_in_both_towers_belongs_to_both(self) -> None:
        model = self.model("shared", "other")
        shared = model.get_layer("shared")
        paths = self.paths(model, Towers(layers={"query": shared, "candidate": shared}))
        assert paths["query"] == paths["candidate"] == ["shared/kernel", "shared/bias"]

    def test_by_path(self, caplog: pytest.LogCaptureFixture) -> None:
        model = self.model("buyer_dense", "shared", "product_dense")
        paths = self.paths(model, Towers())
        assert paths["query"] == ["buyer_dense/kernel", "buyer_dense/bias"]
        assert paths["candidate"] == ["product_dense/kernel", "product_dense/bias"]
        assert "no pattern matches: shared/kernel, shared/bias" in caplog.text

    @pytest.mark.parametrize(
        ("path", "tower"),
        [
            ("user_embedding/embeddings", "query"),
            ("two_tower/user_id_embedding_1/embeddings", "query"),
            ("buyers/kernel", "query"),
            ("dense_query_2/kernel", "query"),
            ("query_country_embedding/embeddings", "query"),
            ("QueryTower/dense/kernel", "query"),
            ("item_embedding/embeddings", "candidate"),
            ("product_tower/dense_1/kernel", "candidate"),
            ("candidate_price/kernel", "candidate"),
            # The outer layer decides.
            ("item_tower/user_country_embedding/embeddings", "candidate"),
            ("query_tower/last_product_embedding/embeddings", "query"),
            ("user_model/item_embedding/embeddings", "query"),
            # A feature's name does not decide the tower.
            ("user_country_embedding/embeddings", None),
            ("last_product_embedding/embeddings", None),
            # A part that matches both does not decide; an inner part may.
            ("query_candidate_scorer/kernel", ""),
            ("query_candidate_scorer/item_dense/kernel", "candidate"),
            ("dense/kernel", None),
            ("superuser/kernel", None),
            ("subquery/kernel", None),
        ],
    )
    def test_which_tower_a_path_names(self, path: str, tower: str | None) -> None:
        assert Towers()._by_path(path) == tower

    def test_a_path_that_matches_both_belongs_to_none_with_a_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        model = self.model("user_dense", "query_candidate_mix", "item_dense")
        paths = self.paths(model, Towers())
        assert paths == {
            "query": ["user_dense/kernel", "user_dense/bias"],
            "candidate": ["item_dense/kernel", "item_dense/bias"],
        }
        assert "which belong to none: query_candidate_mix/kernel, query_candidate_mix/bias" in caplog.text

    def test_custom_patterns(self) -> None:
        model = self.model("left_a", "right_b")
        towers = Towers(patterns={"query": "^left", "candidate": "_B$"})
        assert self.paths(model, towers) == {
            "query": ["left_a/kernel", "left_a/bias"],
            "candidate": ["right_b/kernel", "right_b/bias"],
        }

    def test_variables_of_another_towers_layer_are_not_matched_by_path(self) -> None:
        model = self.model("item_dense", "item_embedding_dense")
        towers = Towers(layers={"query": model.get_layer("item_dense")})
        assert self.paths(model, towers) == {
            "query": ["item_dense/kernel", "item_dense/bias"],
            "candidate": ["item_embedding_dense/kernel", "item_embedding_dense/bias"],
        }

    def test_a_name_that_no_layer_has(self, caplog: pytest.LogCaptureFixture) -> None:
        model = self.model("query_tower", "item_tower")
        assert self.paths(model, Towers(layers={"query": "users"}))["query"] == []
        assert "belongs to the tower query ('users')" in caplog.text

    @pytest.mark.parametrize("options", [{"layers": {"user": "x"}}, {"patterns": {"item": "x"}}])
    def test_a_tower_of_another_name_is_an_error(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="the towers are query and candidate"):
            Towers(**options)

    def test_an_invalid_pattern_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="not a regular expression for a tower"):
            Towers(patterns={"query": "("})

    def test_one_warning_when_nothing_matches_and_the_rest_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        notes = Notes()
        model = self.model("first", "second")
        model.fit(np.ones((8, 3)), np.ones((8, 2)), epochs=2, verbose=0, callbacks=[MetricsBundle(notes)])
        assert len(caplog.records) == 1
        assert "first/kernel, first/bias, second/kernel" in caplog.text
        assert notes.epochs[0][1].keys() == {"loss", "weight_norm"}


class OneLayer(keras.Model):
    """A model with one attribute."""

    def __init__(self, name: str, layer: Any) -> None:
        super().__init__()
        setattr(self, name, layer)
        layer.build((None, 3))


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
        callback = MetricsBundle(notes, params={"embedding_dim": 4})
        fit(two_tower(built=False), callback, epochs=3, validation_data=(purchases(1),))
        assert len(CATALOGUE) == 127
        assert [step for step, _ in notes.epochs] == [0, 1, 2, 2]
        for _, values in notes.epochs[:3]:
            assert values.keys() == CATALOGUE | COUNTERS
        last = notes.epochs[2][1]
        assert notes.epochs[3][1] == {"final_loss": last["loss"], "final_val_loss": last["val_loss"]}

    def test_parameters(self) -> None:
        notes = Notes()
        fit(two_tower(), MetricsBundle(notes, params={"embedding_dim": 4}), epochs=2)
        edges = {f"{tower}_{kind}" for tower in TOWERS for kind in ("hist_bin_edges", "grad_hist_bin_edges")}
        assert notes.params.keys() == {"epochs", "optimizer", "learning_rate", "embedding_dim"} | edges
        assert (notes.params["epochs"], notes.params["optimizer"], notes.params["learning_rate"]) == (
            2,
            "adagrad",
            "0.1",
        )
        assert {len(str(notes.params[key]).split(",")) for key in edges} == {26}

    def test_losses_alone_log_everything_that_keras_reports(self) -> None:
        notes = Notes()
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
        model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=1, verbose=0, callbacks=[Losses(notes)])
        assert notes.epochs[0][1].keys() == {"loss", "mae"}
        assert notes.epochs[1][1].keys() == {"final_loss"}


def test_a_metric_that_is_not_a_number_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    losses = Losses(notes)
    for epoch in range(2):
        losses.on_epoch_end(epoch, {"loss": 0.5, "f1_score": np.array([0.1, 0.2]), "note": "0.5", "nothing": None})
    assert notes.epochs == [(0, {"loss": 0.5}), (1, {"loss": 0.5})]
    assert caplog.text.count("not single numbers: f1_score, note, nothing") == 1


class TestFits:
    def losses(self, notes: Notes) -> list[int]:
        return [step for step, values in notes.epochs if "loss" in values]

    def test_the_first_epoch_may_be_another(self) -> None:
        notes = Notes()
        fit(two_tower(), MetricsBundle(notes), epochs=5, initial_epoch=3)
        assert self.losses(notes) == [3, 4]
        assert notes.epochs[-1][0] == 4
        assert notes.params["epochs"] == 5

    def test_a_second_fit_continues_the_steps_and_keeps_the_parameters(self) -> None:
        notes, model = Notes(), two_tower()
        callback = MetricsBundle(notes)
        fit(model, callback, epochs=2)
        fit(model, callback, epochs=3)
        fit(model, callback, epochs=7, initial_epoch=5)
        assert self.losses(notes) == [0, 1, 2, 3, 4, 5, 6]
        assert [step for step, values in notes.epochs if "final_loss" in values] == [1, 4, 6]
        assert notes.params["epochs"] == 2
        assert all(values.keys() >= COUNTERS for _, values in notes.epochs if "loss" in values)

    def test_another_callback_of_the_run_continues_the_steps(self) -> None:
        notes, model = Notes(), two_tower()
        notes.fits = Fits()
        fit(model, MetricsBundle(notes), epochs=2)
        fit(model, MetricsBundle(notes), epochs=3)
        assert self.losses(notes) == [0, 1, 2, 3, 4]
        assert notes.params["epochs"] == 2

    def test_another_model(self) -> None:
        notes = Notes()
        callback = MetricsBundle(notes)
        models = [two_tower(), two_tower()]
        for model in models:
            fit(model, callback, epochs=1)
        assert total(notes.epochs[0][1]) == total(notes.epochs[2][1]) > 0
        assert not any("apply" in vars(model.optimizer) for model in models)

    def test_validation_every_second_epoch(self) -> None:
        notes = Notes()
        fit(two_tower(), MetricsBundle(notes), epochs=3, validation_data=(purchases(1),), validation_freq=2)
        assert ["val_loss" in values for _, values in notes.epochs] == [False, True, False, False]
        assert notes.epochs[3][1]["final_val_loss"] == notes.epochs[1][1]["val_loss"]
        assert notes.epochs[3][0] == 2

    def test_early_stopping(self) -> None:
        notes = Notes()
        model = two_tower()
        stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9, start_from_epoch=0)
        model.fit(purchases(), batch_size=BATCH, epochs=9, verbose=0, callbacks=[MetricsBundle(notes), stop])
        assert self.losses(notes) == [0, 1]
        assert notes.epochs[-1] == (1, {"final_loss": notes.epochs[1][1]["loss"]})

    def test_an_interrupted_fit_has_no_effect_after_the_next(self) -> None:
        class Interrupt(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                raise KeyboardInterrupt

        notes, model = Notes(), two_tower()
        callback = MetricsBundle(notes)
        with pytest.raises(KeyboardInterrupt):
            model.fit(purchases(), batch_size=BATCH, verbose=0, callbacks=[callback, Interrupt()])
        fit(model, callback, epochs=1)
        # Three batches of 32 rows, each of 4 numbers; two matrices of 4 times 4 and two biases at each step.
        assert total(notes.epochs[0][1]) == 2 * 3 * (BATCH * 4 + 2 * (16 + 4))
        assert "apply" not in vars(model.optimizer)


class TestLearningRate:
    def rates(self, optimizer: Any, *more: Any) -> tuple[Notes, list[float | None]]:
        notes, model = Notes(), two_tower(optimizer)
        model.fit(purchases(), batch_size=BATCH, epochs=3, verbose=0, callbacks=[MetricsBundle(notes), *more])
        return notes, [values.get("learning_rate") for _, values in notes.epochs[:3]]

    def test_a_constant_one_is_a_parameter_only(self) -> None:
        notes, rates = self.rates(keras.optimizers.Adam(0.003))
        assert rates == [None] * 3
        assert (notes.params["learning_rate"], notes.params["optimizer"]) == ("0.003", "adam")

    @pytest.mark.parametrize("mixed", [False, True])
    def test_a_schedule_is_a_metric_too(self, mixed: bool) -> None:
        schedule = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=3, decay_rate=0.1)
        optimizer: Any = keras.optimizers.SGD(schedule)
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0) if mixed else optimizer
        notes, rates = self.rates(optimizer)
        assert rates == pytest.approx([0.05, 0.005, 0.0005])
        assert (notes.params["learning_rate"], notes.params["optimizer"]) == ("0.5", "sgd")
        assert str(notes.params["learning_rate_schedule"]).startswith(
            "ExponentialDecay(initial_learning_rate=0.5, decay_steps=3, decay_rate=0.1"
        )

    def test_a_function_is_a_metric_too(self) -> None:
        def tenth() -> float:
            return 0.1

        notes, rates = self.rates(keras.optimizers.SGD(tenth))
        assert rates == [0.1] * 3
        assert (notes.params["learning_rate"], notes.params["learning_rate_schedule"]) == ("0.1", "tenth")

    def test_a_changed_rate_is_a_metric_from_then_on(self) -> None:
        class Halve(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                if epoch == 1:
                    self.model.optimizer.learning_rate = 0.25

        _, rates = self.rates(keras.optimizers.SGD(0.5), Halve())
        assert rates == [None, 0.25, 0.25]

    def test_a_rate_changed_before_a_second_fit_is_a_metric_there(self) -> None:
        notes, model = Notes(), two_tower(keras.optimizers.SGD(0.5))
        callback = MetricsBundle(notes)
        fit(model, callback, epochs=1)
        model.optimizer.learning_rate = 0.25
        fit(model, callback, epochs=1)
        assert [v.get("learning_rate") for _, v in notes.epochs if "loss" in v] == [None, 0.25]
        assert notes.params["learning_rate"] == "0.5"


class TestFailures:
    def test_neither_a_failing_callback_nor_a_failing_log_ends_the_training(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(WeightNorms):
            def values(self, epoch: int, logs: Any) -> dict[str, float]:
                raise ZeroDivisionError

        class Away(Notes):
            def log_metrics(self, values: Mapping[str, float], step: int) -> None:
                raise ConnectionError

        notes = Notes()
        model = two_tower()
        callbacks = [Broken(notes), Losses(Away()), WeightStatistics(notes)]
        model.fit(purchases(), batch_size=BATCH, epochs=2, verbose=0, callbacks=callbacks)
        told = [record.getMessage() for record in caplog.records]
        assert told == [f"{name} failed; training goes on without its values." for name in ("Broken", "Losses")]
        assert [step for step, _ in notes.epochs] == [0, 1]

    def test_the_bundle_logs_the_values_of_its_other_parts(self, caplog: pytest.LogCaptureFixture) -> None:
        class NoTowers(Towers):
            def variables(self, model: Any) -> dict[str, list[Any]]:
                raise LookupError("no towers today")

        notes = Notes()
        fit(two_tower(), MetricsBundle(notes, towers=NoTowers()), epochs=2)
        assert [record.getMessage().split()[0] for record in caplog.records] == ["GradientStatistics", "Weights"]
        assert "no towers today" in caplog.text
        assert notes.epochs[1][1].keys() == {"loss", "regularization_loss", "total_loss"}
        assert notes.params["optimizer"] == "adagrad"

    def test_a_failure_inside_the_graph(self, caplog: pytest.LogCaptureFixture) -> None:
        class WrongTower(Towers):
            def members(self, model: Any, variables: Any) -> dict[str, list[int]]:
                return {"item": [0]}

        notes = Notes()
        fit(two_tower(), MetricsBundle(notes, towers=WrongTower()), epochs=1)
        assert caplog.text.count("GradientStatistics failed") == 1
        of_gradients_and_validation = {key for key in CATALOGUE | COUNTERS if "grad" in key or key.startswith("val_")}
        assert notes.epochs[0][1].keys() == (CATALOGUE | COUNTERS) - of_gradients_and_validation
