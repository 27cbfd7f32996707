"""The values of weights and gradients against plain NumPy, on all numbers at once, in float64."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.paths import ROOT
from warmboard.statistics import bins
from warmboard.statistics.moments import CHUNK, Moments, norm
from warmboard.statistics.values import (
    TOWERS,
    GradientSums,
    Values,
    weight_edges_param,
    weight_norms,
    weight_statistics,
)

TYPES = (np.float64, np.float32, np.float16)
Array = npt.NDArray[Any]


def arrays(dtype: Any, seed: int = 1, scale: float = 0.1) -> list[Array]:
    """Return three arrays: one larger than a chunk, an empty one, and a matrix that is not contiguous."""
    random = np.random.default_rng(seed)
    shapes = ((CHUNK + 7,), (0, 4), (12, 5))
    return [(scale * random.normal(size=shape)).astype(dtype).T for shape in shapes]


def flat(of: Sequence[Array]) -> npt.NDArray[np.float64]:
    return np.concatenate([np.asarray(array).ravel().astype(np.float64) for array in of])


def counts(values: Values, stem: str) -> list[float]:
    return [values[f"{stem}_bin_{index}"] for index in range(25)]


class TestMoments:
    @pytest.mark.parametrize("dtype", TYPES)
    def test_of_arrays(self, dtype: Any) -> None:
        every = flat(arrays(dtype))
        found = Moments.of(arrays(dtype))
        assert (found.n, found.nonfinite, found.bounds) == (every.size, 0, (every.min(), every.max()))
        assert found.mean == pytest.approx(every.mean(), rel=1e-12)
        assert found.std == pytest.approx(every.std(), rel=1e-12)
        assert norm(arrays(dtype)) == pytest.approx(np.linalg.norm(every), rel=1e-12)

    def test_merged_are_those_of_both(self) -> None:
        first, second = np.array([1.0, 2, np.nan]), np.array([-5.0, np.inf, 7, 8])
        both, every = Moments.of([first]).merged(Moments.of([second])), np.array([1.0, 2, -5, 7, 8])
        assert (both.n, both.nonfinite, both.bounds) == (5, 2, (-5, 8))
        assert (both.mean, both.std) == pytest.approx((every.mean(), every.std()), rel=1e-14)

    def test_merged_with_nothing_are_the_same(self) -> None:
        some = Moments.of([np.array([1.0, 2, np.nan])])
        assert some.merged(Moments()) == Moments().merged(some) == some
        assert np.isnan([Moments().mean, Moments().std, *Moments().bounds]).all()

    def test_a_small_deviation_of_large_numbers(self) -> None:
        parts = np.split(1e6 + 1e-4 * np.random.default_rng(1).normal(size=4000), 8)
        found = Moments()
        for part in parts:
            found = found.merged(Moments.of([part]))
        assert found.std == pytest.approx(np.concatenate(parts).std(), rel=1e-9)

    @pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
    def test_the_norm_shows_one_number_that_is_not_finite(self, strange: float) -> None:
        assert norm([np.array([1.0, strange])]) == pytest.approx(abs(strange), nan_ok=True)


class TestWeightStatistics:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("tower", TOWERS)
    def test_agree_with_numpy(self, dtype: Any, tower: str) -> None:
        every = flat(arrays(dtype))
        values = weight_statistics(tower, arrays(dtype))
        assert len(values) == 30
        assert values[f"{tower}_weights_mean"] == pytest.approx(every.mean(), rel=1e-12)
        assert values[f"{tower}_weights_std"] == pytest.approx(every.std(), rel=1e-12)
        low, high = values[f"{tower}_weights_min"], values[f"{tower}_weights_max"]
        assert (low, high) == (every.min(), every.max())
        assert values[f"{tower}_weights_nonfinite"] == 0
        # As a reader does: the epoch's edges follow from its own min and max.
        assert counts(values, f"{tower}_hist") == np.histogram(every, np.linspace(low, high, 26))[0].tolist()

    def test_non_finite_values_are_counted_and_left_out(self) -> None:
        values = weight_statistics("query", [np.array([1, np.nan, 2], np.float32), np.array([np.inf, -np.inf, 4])])
        named = {name: values[f"query_weights_{name}"] for name in ("mean", "std", "min", "max", "nonfinite")}
        expected = np.array([1.0, 2, 4])
        assert named == {
            "mean": pytest.approx(expected.mean()), "std": pytest.approx(expected.std()),
            "min": 1, "max": 4, "nonfinite": 3,
        }  # fmt: skip
        assert counts(values, "query_hist") == np.histogram(expected, 25)[0].tolist()

    def test_equal_weights_are_all_in_the_first_bin(self) -> None:
        values = weight_statistics("query", [np.full((3, 2), 0.1, np.float32), np.full(4, 0.1, np.float32)])
        assert counts(values, "query_hist") == [10.0] + [0.0] * 24
        assert values["query_weights_std"] == pytest.approx(0, abs=1e-15)
        assert values["query_weights_min"] == values["query_weights_max"] == float(np.float32(0.1))
        assert len(set(weight_edges_param("query", values)["query_hist_bin_edges"].split(","))) == 1

    def test_min_and_max_so_close_that_some_bins_have_no_width(self) -> None:
        low = 1.0
        high = np.nextafter(np.nextafter(low, 2), 2)
        values = weight_statistics("query", [np.array([low, np.nextafter(low, 2), high, high])])
        assert sum(counts(values, "query_hist")) == 4
        assert values["query_hist_bin_24"] >= 2

    @pytest.mark.parametrize(("given", "nonfinite"), [([], 0), ([np.zeros((0, 3))], 0), ([np.full(4, np.nan)], 4)])
    def test_without_any_finite_weight(self, given: list[Array], nonfinite: int) -> None:
        values = weight_statistics("query", given)
        assert np.isnan([values[f"query_weights_{name}"] for name in ("mean", "std", "min", "max")]).all()
        assert values["query_weights_nonfinite"] == nonfinite
        assert counts(values, "query_hist") == [0.0] * 25
        assert weight_edges_param("query", values) == {}

    def test_the_edges_parameter(self) -> None:
        values = weight_statistics("candidate", arrays(np.float32))
        params = weight_edges_param("candidate", values)
        assert params.keys() == {"candidate_hist_bin_edges"}
        written = np.array(params["candidate_hist_bin_edges"].split(","), dtype=float)
        low, high = values["candidate_weights_min"], values["candidate_weights_max"]
        assert written == pytest.approx(np.linspace(low, high, 26), rel=1e-8, abs=1e-9)


class TestWeightNorms:
    def test_of_each_tower_and_of_all(self) -> None:
        query, candidate, other = arrays(np.float32, 1), arrays(np.float16, 2), [np.full((3, 3), 7.0)]
        values = weight_norms({"query": query, "candidate": iter(candidate)}, other)
        assert values == {
            "weight_norm": pytest.approx(np.linalg.norm(flat(query + candidate + other)), rel=1e-12),
            "query_weight_norm": pytest.approx(np.linalg.norm(flat(query)), rel=1e-12),
            "candidate_weight_norm": pytest.approx(np.linalg.norm(flat(candidate)), rel=1e-12),
        }

    def test_shared_weights_count_in_both_towers_and_once_in_all(self) -> None:
        shared, own = np.array([3.0]), np.array([4.0])
        values = weight_norms({"query": [shared, own], "candidate": [shared]}, [shared])
        assert values == {"weight_norm": 5, "query_weight_norm": 5, "candidate_weight_norm": 3}
        # An equal array is not the same object.
        assert weight_norms({"query": [own], "candidate": [own.copy()]})["weight_norm"] == pytest.approx(32**0.5)

    def test_a_non_finite_weight_shows_in_its_norms(self) -> None:
        values = weight_norms({"query": [np.array([1.0, np.nan])], "candidate": [np.array([2.0])]})
        assert np.isnan([values["weight_norm"], values["query_weight_norm"]]).all()
        assert values["candidate_weight_norm"] == 2

    def test_an_unknown_tower(self) -> None:
        with pytest.raises(ValueError, match="there is no tower item: the towers are query and candidate"):
            weight_norms({"query": [np.ones(2)], "item": [np.ones(2)]})


def summed(*steps: Array, scale: bins.Scale = "symlog") -> Values:
    """Return the values of an epoch in which the query tower had these gradients."""
    gradients = GradientSums(scale)
    for step in steps:
        gradients.add({"query": [step]})
    return gradients.values()


def bins_by_hand(values: npt.NDArray[np.float32], edges: bins.Edges) -> list[int]:
    """Count underflow, 25 bins and overflow by the distance from zero; a bin includes the end nearer to zero."""
    outward = np.digitize(np.abs(values), edges[13:])
    found: list[int] = np.bincount(13 + np.where(values < 0, -outward, outward), minlength=27).tolist()
    return found


class TestGradientSums:
    @pytest.mark.parametrize("dtype", TYPES)
    def test_several_steps_agree_with_numpy(self, dtype: Any) -> None:
        steps = [arrays(dtype, seed, scale=10.0**-seed) for seed in range(4)]
        gradients = GradientSums()
        for step in steps:
            gradients.add({"query": step, "candidate": step[2:]})
        values = gradients.values()
        for tower, of_tower in (("query", steps), ("candidate", [step[2:] for step in steps])):
            every = np.concatenate([flat(step) for step in of_tower])
            named = {name: values[f"{tower}_grad_{name}"] for name in ("mean", "std", "norm")}
            assert named == {
                "mean": pytest.approx(every.mean(), rel=1e-9, abs=1e-15),
                "std": pytest.approx(every.std(), rel=1e-12),
                "norm": pytest.approx(np.mean([np.linalg.norm(flat(step)) for step in of_tower]), rel=1e-12),
            }
            assert (values[f"{tower}_grad_min"], values[f"{tower}_grad_max"]) == (every.min(), every.max())
            found = [
                values[f"{tower}_grad_hist_underflow"],
                *counts(values, f"{tower}_grad_hist"),
                values[f"{tower}_grad_hist_overflow"],
            ]
            assert found == bins_by_hand(every.astype(np.float32), gradients.edges)
            assert values[f"{tower}_grad_nonfinite"] == 0

    @pytest.mark.parametrize("scale", ["symlog", "linear"])
    def test_on_edges_beside_them_and_outside(self, scale: bins.Scale) -> None:
        edges = bins.gradient_edges(scale)
        beside = [np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(9) * np.sign(edges))]
        outside = np.array([-1.5, 2, 3e38, -3e38, 0, -0.0, 1e-30, -1e-45], np.float32)
        every = np.concatenate([edges, *beside, outside])
        values = summed(*np.split(every, [20, 50]), scale=scale)
        expected = bins_by_hand(every, edges)
        assert counts(values, "query_grad_hist") == expected[1:26]
        assert values["query_grad_hist_underflow"] == np.sum(every <= -1) == expected[0]
        assert values["query_grad_hist_overflow"] == np.sum(every >= 1) == expected[26]

    def test_a_gradient_and_its_negative_are_in_mirrored_bins(self) -> None:
        positive = bins.gradient_edges()[13:25]
        values, mirrored = summed(positive), summed(-positive)
        assert counts(values, "query_grad_hist") == counts(mirrored, "query_grad_hist")[::-1] == [0] * 13 + [1] * 12

    def test_non_finite_values_are_counted_and_left_out(self) -> None:
        values = summed(np.array([0.5, np.nan, np.inf], np.float32), np.array([-0.25, -np.inf], np.float32))
        assert values["query_grad_nonfinite"] == 3
        assert (values["query_grad_mean"], values["query_grad_std"]) == pytest.approx((0.125, 0.375))
        assert (values["query_grad_min"], values["query_grad_max"]) == (-0.25, 0.5)
        assert sum(values[key] for key in values if "_hist_" in key) == 2
        assert np.isnan(values["query_grad_norm"])

    def test_none_is_finite(self) -> None:
        values = summed(np.array([np.inf, np.inf], np.float32))
        assert np.isnan([values[f"query_grad_{name}"] for name in ("mean", "std", "min", "max")]).all()
        assert (values["query_grad_norm"], values["query_grad_nonfinite"]) == (np.inf, 2)
        assert sum(values[key] for key in values if "_hist_" in key) == 0

    @pytest.mark.filterwarnings("error")
    def test_numbers_too_large_for_float32_are_counted(self) -> None:
        values = summed(np.array([1e100, -1e100, 1e-100]))
        assert (values["query_grad_hist_underflow"], values["query_grad_hist_overflow"]) == (1, 1)
        assert (values["query_grad_hist_bin_12"], values["query_grad_nonfinite"]) == (1, 0)
        assert values["query_grad_max"] == 1e100

    def test_a_mean_far_above_the_deviation(self) -> None:
        random = np.random.default_rng(1)
        steps = [1e4 + 1e-4 * random.normal(size=3000) for _ in range(20)]
        values = summed(*steps)
        assert values["query_grad_mean"] == pytest.approx(np.mean(steps), rel=1e-14)
        assert values["query_grad_std"] == pytest.approx(np.std(steps), rel=1e-9)

    def test_each_epoch_starts_from_zero(self) -> None:
        gradients = GradientSums()
        gradients.add({"query": [np.ones(3)]})
        first = gradients.values()
        assert gradients.values() == {}
        gradients.add({"query": [np.ones(3)]})
        assert gradients.values() == first

    def test_none_is_left_out(self) -> None:
        gradients = GradientSums()
        gradients.add({"query": [None, np.array([3.0, 4.0])], "candidate": [None]})
        gradients.add({"query": [None]})
        values = gradients.values()
        assert values["query_grad_norm"] == 5
        assert not [key for key in values if key.startswith("candidate")]

    def test_an_unknown_tower_counts_nothing(self) -> None:
        gradients = GradientSums()
        with pytest.raises(ValueError, match="there is no tower item: the towers are query and candidate"):
            gradients.add({"query": [np.ones(2)], "item": [np.ones(2)]})
        assert gradients.values() == {}

    def test_the_edges_parameters(self) -> None:
        params = GradientSums("linear").params()
        assert params.keys() == {"query_grad_hist_bin_edges", "candidate_grad_hist_bin_edges"}
        for written in params.values():
            assert np.array_equal(np.array(written.split(","), np.float32), bins.gradient_edges("linear"))


class TestGradientEdges:
    @pytest.mark.parametrize("scale", ["symlog", "linear"])
    def test_increase_mirror_and_are_bfloat16(self, scale: bins.Scale) -> None:
        edges = bins.gradient_edges(scale)
        assert edges.shape == (26,)
        assert np.all(np.diff(edges) > 0)
        assert np.array_equal(edges, -edges[::-1])
        assert (edges[0], edges[25]) == (-1, 1)
        assert not np.any(edges.view(np.uint32) & 0xFFFF)

    def test_are_near_their_nominal_values(self) -> None:
        assert bins.gradient_edges()[13:] == pytest.approx(np.geomspace(1e-7, 1, 13), rel=0.004)
        assert bins.gradient_edges("linear") == pytest.approx(np.linspace(-1, 1, 26), rel=0.004)

    def test_an_unknown_scale(self) -> None:
        with pytest.raises(ValueError, match="symlog or linear, not 'log'"):
            bins.gradient_edges("log")  # type: ignore[arg-type]


def test_no_framework_is_imported() -> None:
    lines = "import sys, warmboard.statistics.values\nprint(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "numpy" in modules
    assert modules.isdisjoint({"tensorflow", "keras", "torch", "jax", "pandas", "mlflow"})
