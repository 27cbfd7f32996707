"""Exact recall at k, against all candidates: no sampled negatives, no approximate index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
LARGEST_BATCH = 256
# 64 MB of float32. A batch needs up to three such arrays.
MAX_SCORES = 2**24


def recall_at(
    ks: Sequence[int],
    queries: Vectors,
    candidates: Vectors,
    query_rows: npt.NDArray[np.int32],
    candidate_rows: npt.NDArray[np.int32],
    batch_size: int | None = None,
    done: Callable[[int], None] | None = None,
) -> dict[int, float]:
    """Return, for each k, the share of interactions whose candidate is among the k best of its query.

    ``queries`` has shape ``(q, d)``, ``candidates`` ``(c, d)``; interaction *i* joins ``query_rows[i]`` with
    ``candidate_rows[i]``. A candidate's rank is the number of *other* candidates that do not score below it. So ties
    and NaN count against the model, and a model with equal scores has recall 0. A batch needs memory for
    ``batch_size * c`` scores, by default up to `MAX_SCORES`. ``done`` is called with the size of every batch.
    """
    batch_size = batch_size or max(1, min(LARGEST_BATCH, MAX_SCORES // max(1, len(candidates))))
    order = np.argsort(query_rows, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        # Sorted by query, a batch needs the scores of few queries, each computed once.
        rows, position = np.unique(query_rows[chosen], return_inverse=True)
        scores = queries[rows] @ candidates.T
        own = scores[position, candidate_rows[chosen]]
        below = np.count_nonzero(scores[position] < own[:, None], axis=1)
        ranks[chosen] = len(candidates) - 1 - below
        if done:
            done(len(chosen))
    return {k: float(np.mean(ranks < k)) for k in ks}
