"""The two-tower retrieval model: buyers and products as vectors in one space. It does no input or output.

The *query* tower turns a buyer into a vector, the *candidate* tower a product; their dot product is the score. The loss
is a softmax over the products of the batch, corrected for how often each product occurs there (Yi et al.,
"Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019, section 3).

Import this module before ``keras.models.load_model`` reads a saved model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

PACKAGE = "warmboard"
# Lower than any score: its exp is 0 in float32.
MASKED = -1e9


def tower(
    name: str,
    rows: int,
    embedding_dim: int,
    l2: float,
    *,
    hidden: Sequence[int],
    activation: str = "relu",
    dropout: float = 0.0,
    normalize: bool = False,
    seed: int | None = None,
) -> keras.Sequential:
    """Return a tower: row numbers of shape ``(n,)`` to vectors of shape ``(n, embedding_dim)``, normalised on request.

    ``hidden`` are the widths of the hidden layers. The embedding is regularised through the rows that were looked up,
    so that its gradient stays sparse. With a ``seed``, no weight depends on Python's own random numbers, which other
    threads may draw too.
    """
    regularizer = keras.regularizers.L2
    seeds = iter(_seeds(name, seed, 2 * len(hidden) + 2))
    stack = [
        keras.Input((), dtype="int32"),
        layers.Embedding(
            rows,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(seed=next(seeds)),
            activity_regularizer=regularizer(l2),
            name="embedding",
        ),
    ]
    for number, width in enumerate(hidden, start=1):
        stack.append(
            layers.Dense(
                width,
                activation=activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
                kernel_regularizer=regularizer(l2),
                name=f"hidden_{number}",
            )
        )
        dropout_seed = next(seeds)
        if dropout:
            stack.append(layers.Dropout(dropout, seed=dropout_seed, name=f"dropout_{number}"))
    output = keras.initializers.GlorotUniform(seed=next(seeds))
    stack.append(
        layers.Dense(embedding_dim, kernel_initializer=output, kernel_regularizer=regularizer(l2), name="output")
    )
    if normalize:
        stack.append(layers.UnitNormalization(name="normalize"))
    return keras.Sequential(stack, name=name)


def _seeds(name: str, seed: int | None, count: int) -> list[int | None]:
    """Return seeds that differ between the towers; None if there is no seed, so that Keras chooses."""
    if seed is None:
        return [None] * count
    return [int(one) for one in np.random.SeedSequence([seed, *name.encode()]).generate_state(count)]


@keras.saving.register_keras_serializable(PACKAGE)
class TwoTower(keras.Model):
    """Scores buyers against products.

    ``fit`` takes ``{"buyer": (n,), "product": (n,)}`` without labels: the product is the label. It reports ``loss``
    (the softmax loss of the data), ``regularization_loss``, and their sum ``total_loss``, which is minimised.
    ``product_share``, of shape ``(products,)``, is each product's share of the training interactions, all above 0.
    ``query_layers`` and ``candidate_layers`` are the widths of hidden layers; None is one layer of ``embedding_dim``.
    """

    def __init__(
        self,
        buyers: int,
        product_share: npt.NDArray[np.floating[Any]],
        *,
        embedding_dim: int,
        l2: float,
        query_layers: Sequence[int] | None = None,
        candidate_layers: Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        normalize: bool = False,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> None:
        super().__init__(name="two_tower")
        hidden = {
            "query": [embedding_dim] if query_layers is None else list(query_layers),
            "candidate": [embedding_dim] if candidate_layers is None else list(candidate_layers),
        }
        shape: dict[str, Any] = {"activation": activation, "dropout": dropout, "normalize": normalize, "seed": seed}
        self.query = tower("query", buyers, embedding_dim, l2, hidden=hidden["query"], **shape)
        self.candidate = tower("candidate", len(product_share), embedding_dim, l2, hidden=hidden["candidate"], **shape)
        self.temperature = temperature
        self._config = {
            "buyers": buyers, "products": len(product_share), "embedding_dim": embedding_dim, "l2": l2,
            "query_layers": hidden["query"], "candidate_layers": hidden["candidate"], "temperature": temperature,
            **shape,
        }  # fmt: skip
        self.log_share = self.add_weight(
            name="log_share",
            shape=(len(product_share),),
            initializer=lambda shape, dtype: ops.convert_to_tensor(np.log(product_share), dtype=dtype),
            trainable=False,
        )
        self.data_loss = keras.metrics.Mean(name="loss")
        self.regularization_loss = keras.metrics.Mean(name="regularization_loss")
        self.total_loss = keras.metrics.Mean(name="total_loss")

    def get_config(self) -> dict[str, Any]:
        return dict(self._config)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Build the model. The product shares are weights, and are loaded with the others."""
        products = config.pop("products")
        return cls(config.pop("buyers"), np.full(products, 1 / products), **config)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        # Instead of Keras's own metrics, which report the regularised loss as "loss".
        return [self.data_loss, self.regularization_loss, self.total_loss]

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the vectors of the buyers and of the products, each of shape ``(n, embedding_dim)``."""
        return self.query(inputs["buyer"]), self.candidate(inputs["product"])

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the total loss of one batch. ``y`` and ``sample_weight`` are ignored."""
        # With a half-precision policy, the scores and their sum would lose too many digits.
        queries, candidates = (ops.cast(vectors, "float32") for vectors in y_pred)
        log_share = ops.take(self.log_share, x["product"])
        data = in_batch_softmax(queries / self.temperature, candidates, x["product"], log_share)
        regularization = ops.sum([ops.cast(loss, "float32") for loss in self.losses])
        total = data + regularization
        self.data_loss.update_state(data)
        self.regularization_loss.update_state(regularization)
        self.total_loss.update_state(total)
        return total


def in_batch_softmax(queries: Any, candidates: Any, products: Any, log_share: Any) -> Any:
    """Return the mean cross entropy of each query's own product among all products of the batch, in nats.

    ``queries`` and ``candidates`` have shape ``(n, d)``, ``products`` and ``log_share`` ``(n,)``. Other occurrences of
    the same product are masked: they are not wrong answers.
    """
    scores = ops.matmul(queries, ops.transpose(candidates)) - log_share[None, :]
    rows = ops.arange(ops.shape(products)[0])
    duplicate = (products[:, None] == products[None, :]) & (rows[:, None] != rows[None, :])
    scores = ops.where(duplicate, MASKED, scores)
    return ops.mean(ops.logsumexp(scores, axis=1) - ops.diagonal(scores))


@keras.saving.register_keras_serializable(PACKAGE)
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate: a linear rise to ``peak`` over ``warmup`` steps, then a decay of this ``kind`` to ``steps``.

    ``constant`` does not decay. ``cosine`` (half a wave) and ``exponential`` (the same factor each step) end at
    ``decay_to * peak`` and stay there.
    """

    def __init__(self, kind: str, peak: float, steps: int, warmup: int, decay_to: float) -> None:
        self._kind = kind
        self._peak = peak
        self._steps = steps
        self._warmup = warmup
        self._decay_to = decay_to

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        # The first step is 0, and its rate is not 0.
        rise = ops.minimum(1.0, (step + 1.0) / max(1, self._warmup))
        passed = ops.clip((step - self._warmup) / max(1, self._steps - 1 - self._warmup), 0.0, 1.0)
        left: Any = 1.0
        if self._kind == "cosine":
            left = self._decay_to + (1 - self._decay_to) * (1 + ops.cos(math.pi * passed)) / 2
        elif self._kind == "exponential":
            left = ops.power(self._decay_to, passed)
        return self._peak * rise * left

    def get_config(self) -> dict[str, Any]:
        return {
            "kind": self._kind, "peak": self._peak, "steps": self._steps, "warmup": self._warmup,
            "decay_to": self._decay_to,
        }  # fmt: skip
