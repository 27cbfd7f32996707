"""The two-tower retrieval model: buyers and products meet in one space. It does no input or output.

The *query* tower places a buyer, the *candidate* tower a product; their dot product is the score. Training is softmax
over the products of the batch, corrected for how often each product occurs there (Yi et al., "Sampling-bias-corrected
neural modeling for large corpus item recommendations", RecSys 2019, section 3).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

# Below any score: exp of it is 0 in float32.
NEVER = -1e9


def tower(name: str, rows: int, embedding_dim: int, l2: float) -> keras.Sequential:
    """Row numbers of shape ``(n,)`` to vectors of shape ``(n, embedding_dim)``.

    The embedding is regularised through the rows that were looked up, so that its gradient stays sparse.
    """
    return keras.Sequential(
        [
            keras.Input((), dtype="int32"),
            layers.Embedding(rows, embedding_dim, activity_regularizer=keras.regularizers.L2(l2), name="embedding"),
            layers.Dense(embedding_dim, activation="relu", kernel_regularizer=keras.regularizers.L2(l2), name="hidden"),
            layers.Dense(embedding_dim, kernel_regularizer=keras.regularizers.L2(l2), name="output"),
        ],
        name=name,
    )


class TwoTower(keras.Model):
    """Scores buyers against products.

    ``fit`` takes ``{"buyer": (n,), "product": (n,)}`` and no labels: the product is the label. It reports ``loss`` (the
    softmax loss of the data), ``regularization_loss`` and ``total_loss``, their sum, which is what is minimised.
    ``product_share`` of shape ``(products,)`` is each product's share of the training interactions, all above 0.
    """

    def __init__(
        self, buyers: int, product_share: npt.NDArray[np.floating[Any]], *, embedding_dim: int, l2: float
    ) -> None:
        super().__init__(name="two_tower")
        self.query = tower("query", buyers, embedding_dim, l2)
        self.candidate = tower("candidate", len(product_share), embedding_dim, l2)
        self.log_share = self.add_weight(
            name="log_share",
            shape=(len(product_share),),
            initializer=lambda shape, dtype: ops.convert_to_tensor(np.log(product_share), dtype=dtype),
            trainable=False,
        )
        self.data_loss = keras.metrics.Mean(name="loss")
        self.regularization_loss = keras.metrics.Mean(name="regularization_loss")
        self.total_loss = keras.metrics.Mean(name="total_loss")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        # Instead of Keras's own: it reports the regularised loss under the name of the data's.
        return [self.data_loss, self.regularization_loss, self.total_loss]

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """Vectors of the buyers and of the products, each of shape ``(n, embedding_dim)``."""
        return self.query(inputs["buyer"]), self.candidate(inputs["product"])

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The total loss of one batch; ``y`` and ``sample_weight`` have no part in it."""
        queries, candidates = y_pred
        data = in_batch_softmax(queries, candidates, x["product"], ops.take(self.log_share, x["product"]))
        regularization = ops.sum(self.losses)
        total = data + regularization
        self.data_loss.update_state(data)
        self.regularization_loss.update_state(regularization)
        self.total_loss.update_state(total)
        return total


def in_batch_softmax(queries: Any, candidates: Any, products: Any, log_share: Any) -> Any:
    """Mean cross entropy of each query's own product among all products of the batch, in nats.

    ``queries`` and ``candidates`` have shape ``(n, d)``, ``products`` and ``log_share`` ``(n,)``. Other occurrences of
    the same product are left out: they are no wrong answers.
    """
    scores = ops.matmul(queries, ops.transpose(candidates)) - log_share[None, :]
    rows = ops.arange(ops.shape(products)[0])
    duplicate = (products[:, None] == products[None, :]) & (rows[:, None] != rows[None, :])
    scores = ops.where(duplicate, NEVER, scores)
    return ops.mean(ops.logsumexp(scores, axis=1) - ops.diagonal(scores))
