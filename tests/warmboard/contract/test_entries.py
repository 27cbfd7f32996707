"""Golden entries have the declared shapes; encoding is strict, small and deterministic."""

import gzip
import json
from typing import Any, get_type_hints

import pytest
import zstandard

from tests.paths import EXAMPLES
from warmboard.contract.about import About, Dataset, LeftOut, LoggedModel, ModelMetric, Source
from warmboard.contract.entries import (
    Axis,
    Chart,
    Encoding,
    Entry,
    EntryKey,
    Histogram,
    HistogramType,
    History,
    MetricChunk,
    MetricIndex,
    MetricSummary,
    PointSummary,
    Resolution,
    Summaries,
    Summary,
    Tower,
)


def example(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / f"entry-{name}.json").read_text())
    return document


@pytest.mark.parametrize("name", ["history-overview", "history-full"])
def test_golden_histories_have_every_field_and_equal_lengths(name: str) -> None:
    document = example(name)
    assert document.keys() == get_type_hints(History).keys() - {"non_finite_rest", "chunk_of", "pending_metrics"}
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


def test_the_golden_index_and_chunk_have_every_field_and_equal_lengths() -> None:
    index, chunk = example("metric-index"), example("metric-chunk-overview")
    assert index.keys() == get_type_hints(MetricIndex).keys()
    assert chunk.keys() == get_type_hints(MetricChunk).keys() - {"non_finite_rest"}
    summary = index["groups"][0]["metrics"][0]
    assert summary.keys() == get_type_hints(MetricSummary).keys()
    metric = chunk["metrics"][summary["key"]]
    axis = chunk["axes"][metric["axis"]]
    assert axis.keys() == get_type_hints(Axis).keys() - {"step"}
    assert {len(axis["steps"]), len(axis["timestamps"])} == {len(metric["values"])}
    assert axis["steps_total"] == summary["points"]


def test_the_golden_summaries_have_every_field_and_every_metric_of_a_chart() -> None:
    summaries = example("summaries")
    assert summaries.keys() == get_type_hints(Summaries).keys()
    for summary in summaries["metrics"].values():
        assert summary.keys() == get_type_hints(Summary).keys()
        assert all(summary[name].keys() == get_type_hints(PointSummary).keys() for name in ("first", "last"))
    for chart in summaries["charts"]:
        assert chart.keys() == get_type_hints(Chart).keys()
        assert summaries["metrics"].keys() >= set(chart["metrics"])


def test_the_golden_document_about_a_run_has_every_field() -> None:
    about = example("about")
    assert about.keys() == get_type_hints(About).keys()
    assert about["source"].keys() == get_type_hints(Source).keys()
    assert about["left_out"].keys() == get_type_hints(LeftOut).keys()
    assert about["datasets"][0].keys() == get_type_hints(Dataset).keys()
    assert about["models"][0].keys() == get_type_hints(LoggedModel).keys()
    assert about["models"][0]["metrics"][0].keys() == get_type_hints(ModelMetric).keys()


def test_an_entry_has_the_same_document_in_every_coding() -> None:
    text = json.dumps(example("history-full")).encode()
    entry = Entry(gzip=gzip.compress(text), zstd=zstandard.ZstdCompressor().compress(text), etag="e" * 32)
    assert entry.text() == zstandard.ZstdDecompressor().decompress(entry.body(Encoding.ZSTD).data) == text
    assert gzip.decompress(entry.body(Encoding.GZIP).data) == text
    assert entry.decode() == example("history-full")


def test_keys_differ_by_run_name_resolution_and_schema() -> None:
    keys = {
        str(key)
        for run_id in ("a", "b")
        for resolution in Resolution
        for key in (
            EntryKey.history(run_id, resolution),
            *(EntryKey.histogram(run_id, type_, tower, resolution) for type_ in HistogramType for tower in Tower),
            *(EntryKey.metric_chunk(run_id, number, resolution) for number in range(3)),
            EntryKey.metric_index(run_id),
            EntryKey.summaries(run_id),
            EntryKey.about(run_id),
        )
    }
    assert len(keys) == 38
    assert all(key.startswith("warmboard:entry:v3:") for key in keys)
