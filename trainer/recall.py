"""Recall at k against all candidates, exact: no sampled negatives, no approximate index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


def recall_at(
    ks: Sequence[int],
    queries: Vectors,
    candidates: Vectors,
    query_rows: npt.NDArray[np.int32],
    candidate_rows: npt.NDArray[np.int32],
    batch_size: int = 256,
) -> dict[int, float]:
    """For each k, the share of interactions whose candidate is among its query's k best.

    ``queries`` has shape ``(q, d)``, ``candidates`` ``(c, d)``; interaction *i* joins ``query_rows[i]`` with
    ``candidate_rows[i]``. A candidate's rank is the number of *other* candidates that do not score below it, so ties
    and NaN count against the model: one that scores everything alike earns nothing. Memory: ``batch_size * c`` scores.
    """
    order = np.argsort(query_rows, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        # Sorted by query: a batch needs the scores of few of them, each once.
        rows, position = np.unique(query_rows[chosen], return_inverse=True)
        scores = queries[rows] @ candidates.T
        own = scores[position, candidate_rows[chosen]]
        below = np.count_nonzero(scores[position] < own[:, None], axis=1)
        ranks[chosen] = len(candidates) - 1 - below
    return {k: float(np.mean(ranks < k)) for k in ks}
