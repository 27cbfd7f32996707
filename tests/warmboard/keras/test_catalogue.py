"""Every metric of the catalogue in MLflow after a run, against NumPy on a separate record of the training.

The record is made in the trained graph, compiled as usual: each step's gradients as the optimizer gets them, and the
weights and Keras's own values at the end of each epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tests.mlflow_server.servers import Server
from tests.trainer.test_main import FINAL
from tests.trainer.test_model import OPTIONS, dataset
from tests.warmboard.keras.test_callbacks import CATALOGUE, COUNTERS
from tests.warmboard.servers import pubsub_server, settings
from trainer import train
from trainer.data import Part
from warmboard import start_run
from warmboard.contract.catalogue import PLACES, is_named, key_of, place_of
from warmboard.statistics.bins import gradient_edges

pytestmark = pytest.mark.integration

Wide = npt.NDArray[np.float64]
TOWERS = ("query", "candidate")
EPOCHS, RECORDED = 3, 1
# Of the losses, which Keras computes in float32.
SINGLE = 2e-6
# Sums in float64 differ only by their order. A mean is compared relative to the values it is a mean of.
DOUBLE = 1e-12


@dataclass
class Recorded:
    """The record of a training: each step's gradients and each epoch's weights, by path, and Keras's own values."""

    steps: list[dict[str, Wide]] = field(default_factory=list)
    weights: list[dict[str, Wide]] = field(default_factory=list)
    logs: list[dict[str, float]] = field(default_factory=list)

    def of_epoch(self, epoch: int) -> list[dict[str, Wide]]:
        count = len(self.steps) // EPOCHS
        return self.steps[epoch * count : (epoch + 1) * count]


class Recorder(keras.callbacks.Callback):
    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self._recorded = recorded

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        variables = self.model.trainable_variables
        self._recorded.weights.append({variable.path: variable.numpy().astype(np.float64) for variable in variables})
        self._recorded.logs.append({name: float(value) for name, value in (logs or {}).items()})


def record_gradients(model: Any, recorded: Recorded) -> None:
    """Record from inside the graph, before any callback wraps it."""
    apply, paths = model.optimizer.apply, [variable.path for variable in model.trainable_variables]

    def note(*gradients: npt.NDArray[np.float32]) -> None:
        wide = [gradient.astype(np.float64).ravel() for gradient in gradients]
        recorded.steps.append(dict(zip(paths, wide, strict=True)))

    def note_and_apply(grads: Sequence[Any], trainable_variables: Any = None) -> Any:
        values = [grad.values if isinstance(grad, tf.IndexedSlices) else grad for grad in grads]
        tf.numpy_function(note, values, [])
        return apply(grads, trainable_variables)

    model.optimizer.apply = note_and_apply


@dataclass
class Result:
    recorded: Recorded
    histories: dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def result(both_servers: Server, tmp_path_factory: pytest.TempPathFactory) -> Result:
    recorded, build = Recorded(), train.build

    def build_and_record(*arguments: Any) -> Any:
        model = build(*arguments)
        record_gradients(model, recorded)
        return model

    output = str(tmp_path_factory.mktemp("output"))
    options = dataclasses.replace(OPTIONS, epochs=EPOCHS, progress=False)
    with pytest.MonkeyPatch.context() as patch, pubsub_server() as pubsub:
        patch.setattr(train, "build", build_and_record)
        given = settings(output, pubsub.address, both_servers.address, MLFLOW_READY_SECONDS="20")
        with start_run(experiment="catalogue", settings=given) as run:
            train.train(dataset(), options, run, [Recorder(recorded)])
    client = both_servers.client
    histories = {
        key: {point.step: point.value for point in client.get_metric_history(run.run_id, key)}
        for key in client.get_run(run.run_id).data.metrics
    }
    return Result(recorded, histories)


def test_every_metric_is_in_mlflow_and_agrees_with_numpy(result: Result) -> None:
    recorded = result.recorded
    assert result.histories.keys() == CATALOGUE | COUNTERS | FINAL
    assert all(result.histories[key].keys() == {0, 1, 2} for key in CATALOGUE | COUNTERS)
    assert all(result.histories[key].keys() == {2} for key in FINAL)

    stored = {key: result.histories[key][RECORDED] for key in CATALOGUE | COUNTERS}
    weights = recorded.weights[RECORDED]
    expected = recorded.logs[RECORDED] | norms(weights)
    for tower in TOWERS:
        expected |= of_weights(tower, weights) | of_gradients(tower, recorded.of_epoch(RECORDED))
    assert stored.keys() == expected.keys()
    for key, value in expected.items():
        assert stored[key] == pytest.approx(value, rel=DOUBLE, abs=DOUBLE * scale(key, recorded)), key


def test_every_metric_has_one_place_in_the_documents(result: Result) -> None:
    keys = result.histories.keys()
    assert len({place_of(key) for key in keys}) == len(keys)
    assert all(key_of(place_of(key)) == key for key in keys)
    assert {key for key in keys if is_named(key)} >= CATALOGUE
    assert PLACES.keys() <= keys


def test_losses_and_recall_are_those_of_the_recorded_weights(result: Result) -> None:
    """Compute validation and test losses from the recorded weights, and recall by sorting all candidates."""
    histories, last = result.histories, EPOCHS - 1
    for epoch in range(EPOCHS):
        weights = result.recorded.weights[epoch]
        data, regularization = losses(dataset().validation, weights)
        for key, value in (
            ("loss", data),
            ("regularization_loss", regularization),
            ("total_loss", data + regularization),
        ):
            assert histories[f"val_{key}"][epoch] == pytest.approx(value, rel=SINGLE), key
    weights = result.recorded.weights[last]
    assert histories["final_loss"][last] == histories["loss"][last]
    assert histories["final_val_loss"][last] == histories["val_loss"][last]
    assert histories["test_loss"][last] == pytest.approx(losses(dataset().test, weights)[0], rel=SINGLE)
    for k in (5, 10, 50, 100):
        assert histories[f"test_recall_at_{k}"][last] == recall(dataset().test, weights, k), k


def of_tower(tower: str, named: Mapping[str, Wide]) -> Wide:
    return np.concatenate([values.ravel() for path, values in named.items() if path.split("/")[0] == tower])


def norms(weights: Mapping[str, Wide]) -> dict[str, float]:
    every = {f"{tower}_": of_tower(tower, weights) for tower in TOWERS}
    every[""] = np.concatenate(list(every.values()))
    return {f"{prefix}weight_norm": float(np.linalg.norm(values)) for prefix, values in every.items()}


def of_weights(tower: str, weights: Mapping[str, Wide]) -> dict[str, float]:
    values = of_tower(tower, weights)
    counts, _ = np.histogram(values, 25)
    return {
        **moments(f"{tower}_weights", values),
        f"{tower}_weights_nonfinite": 0.0,
        **{f"{tower}_hist_bin_{number}": float(count) for number, count in enumerate(counts)},
    }


def of_gradients(tower: str, steps: Sequence[Mapping[str, Wide]]) -> dict[str, float]:
    each = [of_tower(tower, step) for step in steps]
    values = np.concatenate(each)
    edges = gradient_edges().astype(np.float64)
    counts, _ = np.histogram(values, edges)
    return {
        **moments(f"{tower}_grad", values),
        f"{tower}_grad_norm": float(np.mean([np.linalg.norm(step) for step in each])),
        f"{tower}_grad_hist_underflow": float(np.sum(values < edges[0])),
        f"{tower}_grad_hist_overflow": float(np.sum(values > edges[-1])),
        f"{tower}_grad_nonfinite": 0.0,
        **{f"{tower}_grad_hist_bin_{number}": float(count) for number, count in enumerate(counts)},
    }


def moments(stem: str, values: Wide) -> dict[str, float]:
    of: dict[str, Any] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
    return {f"{stem}_{name}": float(function(values)) for name, function in of.items()}


def scale(key: str, recorded: Recorded) -> float:
    """Return the scale for comparing a mean near zero; 0 for all other values."""
    tower, _, name = key.partition("_")
    if name == "weights_mean":
        return float(np.abs(of_tower(tower, recorded.weights[RECORDED])).mean())
    if name == "grad_mean":
        return float(np.mean([np.abs(of_tower(tower, step)).mean() for step in recorded.of_epoch(RECORDED)]))
    return 0.0


def vectors(tower: str, weights: Mapping[str, Wide]) -> Wide:
    """The default tower in NumPy: an embedding, a hidden layer with relu, an output layer."""
    embedding, kernel, bias, output, output_bias = (
        values for path, values in weights.items() if path.split("/")[0] == tower
    )
    return np.maximum(embedding @ kernel + bias, 0) @ output + output_bias


def losses(part: Part, weights: Mapping[str, Wide]) -> tuple[float, float]:
    """Return the means, over the batches, of the softmax loss and of the regularisation."""
    given = train.inputs(part, OPTIONS)
    rows = np.arange(len(given["buyer"])).reshape(-1, min(OPTIONS.batch_size, len(given["buyer"])))
    each = [batch_losses(given["buyer"][batch], given["product"][batch], weights) for batch in rows]
    return float(np.mean([data for data, _ in each])), float(np.mean([regularization for _, regularization in each]))


def batch_losses(buyers: Any, products: Any, weights: Mapping[str, Wide]) -> tuple[float, float]:
    training = dataset().train
    share = np.bincount(training.products, minlength=dataset().products) / len(training)
    queries, candidates = vectors("query", weights)[buyers], vectors("candidate", weights)[products]
    scores = queries @ candidates.T - np.log(share)[products]
    same = (products[:, None] == products) & ~np.eye(len(products), dtype=bool)
    scores[same] = -np.inf
    data = np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores))
    squares = sum(np.square(values).sum() for path, values in weights.items() if path.endswith("/kernel"))
    for tower, looked_up in (("query", buyers), ("candidate", products)):
        [embedding] = [values for path, values in weights.items() if path == f"{tower}/embedding/embeddings"]
        # Keras divides an activity regularisation by the batch size.
        squares += np.square(embedding[looked_up]).sum() / len(looked_up)
    return float(data), float(OPTIONS.l2 * squares)


def recall(part: Part, weights: Mapping[str, Wide], k: int) -> float:
    best = np.argsort(-(vectors("query", weights) @ vectors("candidate", weights).T), axis=1)[:, :k]
    return float(np.mean([product in best[buyer] for buyer, product in zip(part.buyers, part.products, strict=True)]))
