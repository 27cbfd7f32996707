"""Golden entries hold to their shapes; encoding is strict, small and the same every time."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from contract.entries import Entry, EntryKey, Histogram, HistogramType, History, Resolution, Tower

EXAMPLES = Path(__file__).parents[2] / "contract" / "examples"


def example(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / f"entry-{name}.json").read_text())
    return document


@pytest.mark.parametrize("name", ["history-overview", "history-full"])
def test_golden_histories_have_every_field_and_equal_lengths(name: str) -> None:
    document = example(name)
    assert document.keys() == get_type_hints(History).keys()
    length = len(document["epochs"])
    groups = [document[group] for group in ("loss", "weight_norm", "gradient_norm", "gradient", "metrics")]
    groups += [*document["weight_stats"].values(), *document["gradient_stats"].values(), *document["envelope"].values()]
    for group in groups:
        assert {len(series) for series in group.values()} <= {length}
    assert document["gradient"] == document["weight_norm"]


@pytest.mark.parametrize("type_", list(HistogramType))
def test_golden_histograms_have_every_field_and_one_edge_more_than_bins(type_: HistogramType) -> None:
    document = example(f"histogram-{type_}-query-overview")
    assert document.keys() == get_type_hints(Histogram).keys()
    assert len(document["epochs"]) == len(document["counts"]) == len(document["bin_edges_by_epoch"])
    for counts, edges in zip(document["counts"], document["bin_edges_by_epoch"], strict=True):
        assert len(edges) == len(counts) + 1
        assert edges == sorted(edges)


def test_an_entry_is_the_same_bytes_every_time() -> None:
    document: Any = example("history-full")
    first, second = Entry.encode(document), Entry.encode(document)
    assert first == second
    assert first.decode() == document
    document["cached_at"] = "2030-01-01T00:00:00.000Z"
    assert Entry.encode(document).etag != first.etag


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_strict_json_has_no_number_for_is_refused(value: float) -> None:
    document: Any = {**example("history-full"), "final_metrics": {"loss": value}}
    with pytest.raises(ValueError, match="JSON"):
        Entry.encode(document)


def test_keys_differ_by_run_name_resolution_and_schema() -> None:
    keys = {
        str(key)
        for run_id in ("a", "b")
        for resolution in Resolution
        for key in (
            EntryKey.history(run_id, resolution),
            *(EntryKey.histogram(run_id, type_, tower, resolution) for type_ in HistogramType for tower in Tower),
        )
    }
    assert len(keys) == 20
    assert all(key.startswith("warmboard:entry:v1:") for key in keys)
