"""Exports hold what the store holds, to the last bit, in three formats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from django.test import Client
from pyarrow import parquet

from store import warm
from store.models import Run, WarmEntry
from tests.webapp.frameworks import Framework, _curve
from tests.webapp.samples import Golden, Known, Sample
from warmboard.contract.about import NOTE
from warmboard.contract.catalogue import named_series
from warmboard.contract.entries import Encoding, EntryKey, HistogramType, Resolution, Series, Tower
from webapp.exports import read
from webapp.exports.formats import FORMATS
from webapp.exports.views import file_name
from workers.documents import run as run_documents
from workers.documents import series
from workers.history.points import Points

RUN = "/api/runs/abc123def456/"
SUFFIXES = [format_.suffix for format_ in FORMATS]
MEDIA = {"json": "application/json", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
Place = tuple[int, int]
"""A step, and a time in milliseconds since 1970."""
Table = dict[str, dict[Place, float]]


class Odd(Framework):
    """What a file may stumble over: names like formulas, numbers without a short form, one that is called step."""

    def odd(self) -> dict[str, Points]:
        values = [0.1 + 0.2, 1e-320, -1.7976931348623157e308, math.nan, math.inf, -math.inf, -0.0]
        return {
            "=1+1": _curve(range(7), values),
            "-loss": _curve(range(7), values[::-1]),
            "step": _curve([2, 4, 1_000_000], [1.0, math.nan, 3.0]),
            "@once": _curve([5], [2.5]),
        }


class NotNumbers(Framework):
    """Many values that are no numbers, in the history and on axes of their own."""

    def strewn(self) -> dict[str, Points]:
        kinds = [math.nan, math.inf, -math.inf, 0.5]
        return {
            f"{name}{number}": _curve(range(0, 60 * every, every), [kinds[(step * number) % 4] for step in range(60)])
            for name, every in (("loss", 1), ("own/", 7), ("other/", 3))
            for number in range(3)
        }


class Long(Framework):
    """A two-tower run, validated seldom, with a metric on an axis of its own and one value of another."""

    def own(self) -> dict[str, Points]:
        epochs = np.arange(90)
        bins = {f"query_hist_bin_{number}": _curve(epochs, epochs * number % 7) for number in range(3)}
        steps = np.array([*epochs, 5])  # and one of them again, later
        again = Points.of(steps, np.array([*np.sqrt(epochs), 0.25]), np.arange(91) * 400 + 1_767_348_000_000)
        return bins | {
            "loss": again,
            "val_loss": _curve(epochs[::3], 1 / (1 + epochs[::3])),
            "query_grad_norm": _curve(epochs, np.where(epochs % 4, epochs / 3, np.nan)),
            "batch/loss": _curve(range(0, 700, 7), np.cos(np.arange(100))),
            "test_recall": _curve([89], [0.5]),
        }


def export(client: Client, suffix: str, query: str = "", run: str = "abc123def456") -> Any:
    response = client.get(f"/api/runs/{run}/export.{suffix}{query}")
    assert response.status_code == 200
    return response


def table(client: Client, suffix: str, query: str = "", run: str = "abc123def456") -> Table:
    """Metric → step and time → value; places that a metric lacks are left out."""
    content = export(client, suffix, query, run).getvalue()
    reading = {"json": from_json, "csv": from_csv, "parquet": from_parquet}
    return reading[suffix](content)


def from_json(content: bytes) -> Table:
    document = json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    kinds: dict[str, list[float]] = defaultdict(list)
    for gap in document["non_finite"]:
        kinds[gap["metric"]].append(float(gap["kind"]))
    found: Table = {}
    for key, metric in document["metrics"].items():
        axis, words = document["axes"][metric["axis"]], iter(kinds[key])
        places = zip(axis["steps"], axis["timestamps"], strict=True)
        values = [next(words) if value is None else value for value in metric["values"]]
        found[key] = dict(zip(places, values, strict=True))
    return found


def from_csv(content: bytes) -> Table:
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    return {
        key.removeprefix("'"): {(int(row[0]), milliseconds(row[1])): float(row[at]) for row in rows if row[at]}
        for at, key in enumerate(head[2:], start=2)
    }


def milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def from_parquet(content: bytes) -> Table:
    found = parquet.read_table(io.BytesIO(content))
    places = list(zip(found.column(0).to_pylist(), found.column(1).cast("int64").to_pylist(), strict=True))
    return {
        key: {place: value for place, value in zip(places, column.to_pylist(), strict=True) if value is not None}
        for key, column in zip(found.column_names[2:], found.columns[2:], strict=True)
    }


def same(found: Table, expected: Table) -> None:
    """Every number the same bits; NaN is NaN."""
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key].keys() == values.keys(), key
        for step, value in values.items():
            assert float(found[key][step]).hex() == float(value).hex(), (key, step)


def stored(key: EntryKey) -> Any:
    body = warm.get(key, Encoding.GZIP)
    assert body
    return json.loads(gzip.decompress(body.data))


def of_sample(history: dict[str, Any], summaries: dict[str, Any]) -> Table:
    """The table of a stored history, read by hand."""
    series: dict[str, Series] = history["metrics"] | named_series(history)
    places = list(zip(history["epochs"], history["timestamps"], strict=True))
    found = {
        key: {place: value for place, value in zip(places, values, strict=True) if value is not None}
        for key, values in series.items()
    }
    for gap in history["non_finite"]:
        found[gap["metric"]][places[history["epochs"].index(gap["epoch"])]] = float(gap["kind"])
    for key in history["final_metrics"]:
        last = summaries["metrics"][key]["last"]
        found[key] = {(last["step"], last["time"]): last["value"]}
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_export_is_the_stored_history_to_the_last_bit(reader: Client, sample: Sample, suffix: str) -> None:
    history = stored(EntryKey.history(sample.run_id, Resolution.FULL))
    expected = of_sample(history, stored(EntryKey.summaries(sample.run_id)))
    assert math.isnan(expected["loss"][6, history["timestamps"][6]])
    assert expected["query_grad_norm"][10, history["timestamps"][10]] == math.inf
    same(table(reader, suffix), expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("logged", ["batches", "pytorch", "scikit", "odd"])
def test_an_export_is_what_was_logged_to_the_last_bit(reader: Client, suffix: str, logged: str) -> None:
    run = Odd("abc123def456", logged=logged, size=300)
    run.warm()
    metrics: dict[str, Points] = getattr(run, logged)()
    expected: Table = {}
    for key, points in metrics.items():
        places = zip(points.steps.tolist(), points.timestamps.tolist(), strict=True)
        expected[key] = dict(zip(places, points.values.tolist(), strict=True))
    same(table(reader, suffix), expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_thousands_of_metrics_are_all_there(reader: Client, suffix: str) -> None:
    Framework("wide", logged="many", size=1500).warm()
    assert len(table(reader, suffix, run="wide")) == 1502


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metrics_are_chosen_by_name_in_their_order(reader: Client, suffix: str) -> None:
    Framework("wide", logged="many", size=100).warm()
    found = table(reader, suffix, "?metrics=probe_00004,val_loss,probe_00004,layer_01/weight_000", run="wide")
    assert list(found) == ["probe_00004", "val_loss", "layer_01/weight_000"]
    same({"val_loss": found["val_loss"]}, {"val_loss": table(reader, suffix, run="wide")["val_loss"]})
    refused = reader.get("/api/runs/wide/export.csv?metrics=val_loss,nothing")
    assert {"loss", "probe_00004", "layer_01/weight_000"} <= set(refused.json()["allowed"])
    alone = export(reader, "csv", "?metrics=probe_00004", run="wide").getvalue().decode().splitlines()
    assert len(alone) == 41


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bins_of_histograms_come_along_when_asked_for(reader: Client, sample: Sample, suffix: str) -> None:
    without, found = table(reader, suffix), table(reader, suffix, "?histograms=with")
    assert len(found) - len(without) == 2 * 25 + 2 * 27
    for type_, stem in ((HistogramType.WEIGHTS, "query_hist"), (HistogramType.GRADIENTS, "query_grad_hist")):
        histogram = stored(EntryKey.histogram(sample.run_id, type_, Tower.QUERY, Resolution.FULL))
        assert [list(found[f"{stem}_bin_{number}"].values())[19] for number in range(25)] == histogram["counts"][19]
    assert [step for step, _ in found["candidate_grad_hist_underflow"]] == list(range(20))


def test_a_row_for_every_step_with_its_time(reader: Client, sample: Sample) -> None:
    rows = list(csv.reader(io.StringIO(export(reader, "csv").getvalue().decode("utf-8-sig"))))
    assert rows[0][:3] == ["step", "time", "val_recall_at_10"] or rows[0][:3] == ["step", "time", "loss"]
    at, norm = rows[0].index("loss"), rows[0].index("query_grad_norm")
    epochs = [row for row in rows[1:] if row[at]]
    assert [row[0] for row in epochs] == [str(step) for step in range(20)]
    assert epochs[0][1] == "2026-01-02T10:00:03.000Z"
    assert epochs[10][norm] == "Infinity"
    assert epochs[6][at] == "NaN"


def test_no_column_is_a_formula(reader: Client) -> None:
    Odd("abc123def456", logged="odd").warm()
    head = next(csv.reader(io.StringIO(export(reader, "csv").getvalue().decode("utf-8-sig"))))
    assert {"'=1+1", "'-loss", "'@once", "step", "_step", "time"} == set(head)


def test_parquet_is_typed_and_tells_of_its_run(reader: Client, sample: Sample) -> None:
    found = parquet.read_table(io.BytesIO(export(reader, "parquet").getvalue()))
    assert [str(field.type) for field in found.schema][:3] == ["int64", "timestamp[ms, tz=UTC]", "double"]
    about = json.loads(found.schema.metadata[b"warmboard"])
    assert (about["mlflow_run_id"], about["params"]["optimizer"]) == ("abc123def456", "adagrad")


def test_json_tells_of_its_run(reader: Client, sample: Sample) -> None:
    document = json.loads(export(reader, "json").getvalue())
    history = stored(EntryKey.history(sample.run_id, Resolution.FULL))
    for name in ("params", "tags", "final_metrics", "status", "start_time", "cached_at", "non_finite"):
        assert document[name] == history[name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_has_a_name_and_a_type(reader: Client, suffix: str) -> None:
    Sample("abc123def456", name='../"a; b"\r\nü.exe').warm()
    response = export(reader, suffix)
    assert response["Content-Disposition"] == f'attachment; filename="a-b-.exe-abc123def456.{suffix}"'
    charset = {"csv": "; charset=utf-8"}.get(suffix, "")
    assert response["Content-Type"] == f"{MEDIA[suffix]}{charset}"
    assert response["Cache-Control"] == "no-store"


def test_a_run_without_a_usable_name_is_called_by_its_id() -> None:
    assert file_name("日本", "abc", "csv") == file_name("...", "abc", "csv") == "abc.csv"


def test_large_exports_travel_compressed_and_in_pieces(reader: Client) -> None:
    Framework("abc123def456", logged="batches", size=20_000).warm()
    plain = reader.get(f"{RUN}export.csv")
    assert plain.streaming
    assert len(list(plain)) > 3
    packed = reader.get(f"{RUN}export.csv", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.getvalue()) < 600_000
    assert "Content-Encoding" not in reader.get(f"{RUN}export.parquet", headers={"Accept-Encoding": "gzip"})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_not_warm_is_answered_as_everywhere(reader: Client, suffix: str) -> None:
    Sample("cold").announce("failed", "MLflow is down", quick_test=3)
    for address in ("/api/runs/cold/", "/api/quick-tests/3/"):
        answer = reader.get(f"{address}export.{suffix}").json()
        assert (answer["available"], answer["state"], answer["reason"]) == (False, "failed", "MLflow is down")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("metrics=loss,nothing", "metrics"),
        ("metrics=", "metrics"),
        ("metrics=,,", "metrics"),
        ("histograms=x", "histograms"),
    ],
)
def test_what_cannot_be_chosen_is_400(reader: Client, sample: Sample, query: str, parameter: str) -> None:
    answer = reader.get(f"{RUN}export.csv?{query}")
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    if "nothing" in query:
        assert "this run has no metric 'nothing'" in answer.json()["error"]
        assert "val_loss" in answer.json()["allowed"]


def test_entries_of_two_warmings_are_never_mixed(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Framework("abc123def456", logged="many", size=100)
    run.warm()
    real = read._documents
    warmings: list[int] = []

    def meanwhile(keys: Any) -> Any:
        found = real(keys)
        if len(warmings) < 3 and keys[0] == EntryKey.history("abc123def456", Resolution.OVERVIEW):
            # Another framework of fewer metrics, so with other chunks.
            warmings.append(1)
            Framework("abc123def456", logged="many", size=90 - len(warmings)).put()
        return found

    monkeypatch.setattr(read, "_documents", meanwhile)
    busy = reader.get(f"{RUN}export.csv")
    assert (busy.status_code, busy["Retry-After"]) == (503, "1")
    assert reader.get(f"{RUN}export.csv").status_code == 200


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_with_only_its_first_charts_is_no_file_yet(reader: Client, suffix: str) -> None:
    Framework("partial", logged="scikit", pending=1_230).warm()
    answer = reader.get(f"/api/runs/partial/export.{suffix}")
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert "1,230 of this run's metrics are still being fetched" in answer.json()["error"]


def test_goldens_are_exported(reader: Client) -> None:
    Golden("golden").warm(quick_test=8)
    assert table(reader, "csv", run="golden").keys() == table(reader, "parquet", run="golden").keys()
    assert reader.get("/api/quick-tests/8/export.csv").getvalue() == export(reader, "csv", run="golden").getvalue()


def test_a_run_of_another_version_is_not_exported(reader: Client, sample: Sample, empty_redis: Any) -> None:
    Run.objects.update(schema_version=0)
    empty_redis.flushdb()
    assert reader.get(f"{RUN}export.json").json()["state"] == "rebuilding"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_limit_of_a_document_loses_a_point(reader: Client, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(series, "MOST_NON_FINITE", {Resolution.OVERVIEW: 2, Resolution.FULL: 5})
    monkeypatch.setattr(run_documents, "MOST_CELLS", 130)  # two of the three metrics that share their steps
    run = NotNumbers(run_id="strewn", logged="strewn")
    run.warm()
    found = table(reader, suffix, run="strewn")
    for key, points in run.strewn().items():
        places = zip(points.steps.tolist(), points.timestamps.tolist(), points.values.tolist(), strict=True)
        assert repr(found[key]) == repr({(step, time): value for step, time, value in places}), key
    if suffix == "json":
        assert json.loads(export(reader, "json", run="strewn").getvalue())["non_finite_unlisted"] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_of_more_epochs_than_a_history_holds_loses_no_point(
    reader: Client, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Its history is sampled; its own metrics, also the bins of its histograms, are in the chunks besides."""
    monkeypatch.setattr(run_documents, "MOST_CELLS", 100)
    run = Long(run_id="long", logged="own")
    run.warm()
    full = reader.get("/api/runs/long/training-history/?resolution=full").json()
    assert len(full["epochs"]) < full["epochs_total"] == 90
    for query, bins in (("", False), ("?histograms=with", True)):
        found = table(reader, suffix, query, run="long")
        wanted = {key: points for key, points in run.own().items() if bins or "hist_bin" not in key}
        assert found.keys() == wanted.keys()
        for key, points in wanted.items():
            places = zip(points.steps.tolist(), points.timestamps.tolist(), points.values.tolist(), strict=True)
            assert repr(found[key]) == repr({(step, time): value for step, time, value in places}), key
    assert table(reader, suffix, "?metrics=val_loss", run="long").keys() == {"val_loss"}


def test_a_chunk_that_is_missing_is_no_file(reader: Client) -> None:
    Framework("abc123def456", logged="many", size=100).warm()
    warm_entry = WarmEntry.objects.get(name="metric-chunk-1", resolution="full")
    warm_entry.delete()
    assert reader.get(f"{RUN}export.csv").status_code == 503


def test_tags_are_whole_whatever_their_length(reader: Client) -> None:
    tags = {"long": "x" * 8_000, "short": "y", NOTE: "# why\n" + "z" * 5_000}
    Known(run_id="tagged", logged_tags=tags).warm()
    found = json.loads(export(reader, "json", run="tagged").getvalue())
    assert (found["tags"], found["tags_cut"], found["tags_left_out"]) == (tags, {}, 0)
    content = io.BytesIO(export(reader, "parquet", run="tagged").getvalue())
    assert json.loads(parquet.read_schema(content).metadata[b"warmboard"])["tags"] == tags
