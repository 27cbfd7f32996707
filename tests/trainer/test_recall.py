from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from trainer import recall
from trainer.recall import Vectors, recall_at

Rows = npt.NDArray[np.int32]


def naive(k: int, queries: Vectors, candidates: Vectors, query_rows: Rows, candidate_rows: Rows) -> float:
    hits = 0
    for query, candidate in zip(query_rows, candidate_rows, strict=True):
        scores = candidates @ queries[query]
        hits += int(candidate in np.argsort(-scores, kind="stable")[:k])
    return hits / len(query_rows)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_it_agrees_with_the_naive_algorithm(batch_size: int) -> None:
    random = np.random.default_rng(3)
    queries = random.normal(size=(20, 8)).astype(np.float32)
    candidates = random.normal(size=(150, 8)).astype(np.float32)
    query_rows = random.integers(20, size=200).astype(np.int32)
    candidate_rows = random.integers(150, size=200).astype(np.int32)
    found = recall_at((1, 5, 10, 100), queries, candidates, query_rows, candidate_rows, batch_size)
    for k, value in found.items():
        assert value == naive(k, queries, candidates, query_rows, candidate_rows)


def test_a_perfect_model_and_k_of_all_candidates() -> None:
    vectors = np.eye(5, dtype=np.float32)
    rows = np.arange(5, dtype=np.int32)
    assert recall_at((1, 5, 100), vectors, vectors, rows, rows) == {1: 1.0, 5: 1.0, 100: 1.0}


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_model_with_equal_scores_has_recall_0(value: float) -> None:
    queries = np.full((3, 4), value, dtype=np.float32)
    candidates = np.ones((50, 4), dtype=np.float32)
    rows = np.arange(3, dtype=np.int32)
    assert recall_at((10,), queries, candidates, rows, rows) == {10: 0.0}


def test_by_default_a_batch_is_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.eye(8, dtype=np.float32)
    rows = np.arange(8, dtype=np.int32)
    sizes: list[int] = []
    monkeypatch.setattr(recall, "MAX_SCORES", 24)
    assert recall_at((1,), vectors, vectors, rows, rows, done=sizes.append) == {1: 1.0}
    assert sizes == [3, 3, 2]
    sizes.clear()
    monkeypatch.setattr(recall, "MAX_SCORES", 1)
    recall_at((1,), vectors, vectors, rows, rows, done=sizes.append)
    assert sizes == [1] * 8
