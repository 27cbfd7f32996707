"""The JSON API: stored bodies as they are, and honest answers where there are none."""

from __future__ import annotations

import gzip
import json

import pytest
import redis
import zstandard
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from store import warm
from store.hot import hot
from store.models import InboxEvent, Run, TrackingServerState
from store.state import EXPECT
from tests.store.samples import NOON
from tests.webapp.frameworks import Framework
from tests.webapp.samples import Golden, Sample, golden
from warmboard.contract.entries import Encoding, EntryKey, HistogramType, Resolution, Tower
from warmboard.contract.events import SWEEP_SOURCE

HISTORY = "/api/runs/abc123def456/training-history/"
HISTOGRAM = "/api/runs/abc123def456/histogram-data/"


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("address", [HISTORY, "/api/quick-tests/7/training-history/"])
@pytest.mark.parametrize(
    ("accepts", "encoding", "suffix"),
    [("gzip, deflate, br, zstd", Encoding.ZSTD, "zstd"), ("gzip, br", Encoding.GZIP, "gz")],
)
def test_a_history_is_the_stored_body_byte_for_byte(
    reader: Client, sample: Sample, address: str, resolution: Resolution, accepts: str, encoding: Encoding, suffix: str
) -> None:
    stored = warm.get(EntryKey.history(sample.run_id, resolution), encoding)
    assert stored
    response = reader.get(address, {"resolution": resolution}, headers={"Accept-Encoding": accepts})
    assert response.content == stored.data
    assert response["Content-Encoding"] == encoding
    assert response["Content-Length"] == str(len(stored.data))
    assert response["ETag"] == f'"{stored.etag}-{suffix}"'
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "private, no-cache"
    assert response["Vary"] == "Accept-Encoding, Cookie"


def test_who_takes_no_coding_gets_the_same_json(reader: Client, sample: Sample) -> None:
    stored = warm.get(EntryKey.history(sample.run_id, Resolution.OVERVIEW), Encoding.GZIP)
    assert stored
    plain = reader.get(HISTORY)
    assert plain.content == gzip.decompress(stored.data)
    assert "Content-Encoding" not in plain
    assert plain["ETag"] == f'"{stored.etag}"'
    assert plain["Vary"] == "Accept-Encoding, Cookie"
    packed = reader.get(HISTORY, headers={"Accept-Encoding": "zstd"})
    assert zstandard.ZstdDecompressor().decompress(packed.content) == plain.content


def test_a_head_has_the_same_headers(reader: Client, sample: Sample) -> None:
    whole, head = (ask(HISTORY, headers={"Accept-Encoding": "zstd"}) for ask in (reader.get, reader.head))
    kept, expected = (
        {name: value for name, value in answer.items() if "RateLimit" not in name} for answer in (head, whole)
    )
    assert (head.status_code, head.content, kept) == (200, b"", expected)


def test_the_overview_is_the_default(reader: Client, sample: Sample) -> None:
    assert reader.get(HISTORY).json()["resolution"] == "overview"


@pytest.mark.parametrize("type_", list(HistogramType))
@pytest.mark.parametrize("tower", list(Tower))
def test_a_histogram_is_the_stored_body(reader: Client, sample: Sample, type_: HistogramType, tower: Tower) -> None:
    for address in (HISTOGRAM, "/api/quick-tests/7/histogram-data/"):
        document = reader.get(address, {"type": type_, "tower": tower, "resolution": "full"}).json()
        assert (document["type"], document["tower"]) == (type_, tower)
        assert len(document["counts"]) == len(document["bin_edges_by_epoch"]) == 20


def test_every_representation_has_its_own_strong_etag(reader: Client, sample: Sample) -> None:
    codings = ["zstd", "gzip", ""]
    tags = [reader.get(HISTORY, headers={"Accept-Encoding": coding})["ETag"] for coding in codings]
    assert len(set(tags)) == 3
    assert not any(tag.startswith("W/") for tag in tags)
    for coding, tag in zip(codings, tags, strict=True):
        unchanged = reader.get(HISTORY, headers={"Accept-Encoding": coding, "If-None-Match": f'"x", {tag}'})
        assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", tag)
        assert unchanged["Vary"] == "Accept-Encoding, Cookie"
        assert unchanged["Cache-Control"] == "private, no-cache"
        assert "Content-Type" not in unchanged
    assert reader.get(HISTORY, headers={"If-None-Match": f"W/{tags[2]}"}).status_code == 304
    assert reader.get(HISTORY, headers={"If-None-Match": "*"}).status_code == 304


def test_a_tag_of_a_coding_that_the_reader_takes_is_enough(reader: Client, sample: Sample) -> None:
    gzipped = reader.get(HISTORY, headers={"Accept-Encoding": "gzip"})["ETag"]
    plain = reader.get(HISTORY)["ETag"]
    for tag in (gzipped, plain):
        unchanged = reader.get(HISTORY, headers={"Accept-Encoding": "gzip, zstd", "If-None-Match": tag})
        assert (unchanged.status_code, unchanged["ETag"]) == (304, tag)
    # What the reader could not have decoded is not what it has.
    assert reader.get(HISTORY, headers={"If-None-Match": gzipped}).status_code == 200


def test_a_new_warming_changes_the_etag(reader: Client, sample: Sample) -> None:
    before = reader.get(HISTORY)["ETag"]
    Sample(sample.run_id, epochs=21).put()
    after = reader.get(HISTORY, headers={"If-None-Match": before})
    assert after.status_code == 200
    assert after.json()["epochs_total"] == 21


@pytest.mark.parametrize(
    ("query", "parameter", "allowed"),
    [
        ("type=biases&tower=query", "type", ["weights", "gradients"]),
        ("tower=query", "type", ["weights", "gradients"]),
        ("type=weights&tower=buyer", "tower", ["query", "candidate"]),
        ("type=weights", "tower", ["query", "candidate"]),
        ("type=weights&tower=query&resolution=half", "resolution", ["overview", "full"]),
    ],
)
def test_an_unknown_choice_is_400_with_what_is_allowed(
    reader: Client, sample: Sample, query: str, parameter: str, allowed: list[str]
) -> None:
    response = reader.get(f"{HISTOGRAM}?{query}")
    assert response.status_code == 400
    assert response.json()["parameter"] == parameter
    assert response.json()["allowed"] == allowed
    assert parameter in response.json()["error"]


def test_a_history_of_unknown_resolution_is_400(reader: Client, sample: Sample) -> None:
    assert reader.get(HISTORY, {"resolution": "half"}).json()["allowed"] == ["overview", "full"]


@pytest.mark.parametrize(
    ("state", "reason"), [("pending", ""), ("warming", ""), ("failed", "MLflow answered 404"), ("unknown", "")]
)
def test_not_warm_is_an_answer(reader: Client, state: str, reason: str) -> None:
    if state != "unknown":
        Sample("cold").announce(state, reason, quick_test=3)
    for name in (
        "training-history/",
        "histogram-data/?type=weights&tower=query",
        "summaries/",
        "about/",
        "metrics/",
        "metrics/0/",
    ):
        address = f"/api/runs/cold/{name}"
        response = reader.get(address)
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        document = response.json()
        assert document["available"] is False
        assert document["mlflow_run_id"] == "cold"
        assert (document["state"], document["reason"]) == (state, reason)
        assert document["expect"]


def test_a_quick_test_without_a_run_says_so(reader: Client) -> None:
    document = reader.get("/api/quick-tests/404/training-history/").json()
    assert (document["available"], document["state"], document["mlflow_run_id"]) == (False, "unknown", None)
    assert "404" in document["reason"]


def test_what_mlflow_knows_of_a_run_is_the_stored_body(reader: Client) -> None:
    Golden("golden").warm(quick_test=5)
    for address in ("/api/runs/golden/about/", "/api/quick-tests/5/about/"):
        assert reader.get(address).json() == golden("about")


def test_a_warm_run_without_such_a_histogram_says_so(reader: Client) -> None:
    Sample("plain", with_gradients=False).warm()
    document = reader.get("/api/runs/plain/histogram-data/?type=gradients&tower=query").json()
    assert (document["available"], document["state"]) == (False, "unknown")
    assert document["reason"] == "The run has no histogram of the query tower's gradients."


def test_a_run_warmed_by_another_version_says_so(reader: Client, sample: Sample, empty_redis: redis.Redis) -> None:
    Run.objects.filter(pk=sample.run_id).update(schema_version=0)
    empty_redis.flushdb()
    document = reader.get(HISTORY).json()
    assert (document["available"], document["state"], document["expect"]) == (False, "rebuilding", EXPECT["rebuilding"])
    assert reader.get("/api/runs/abc123def456/").json()["state"] == "rebuilding"
    assert reader.get("/api/runs/").json()["runs"][0]["state"] == "rebuilding"
    assert b"rebuilding" in reader.get("/").content


def test_a_run_whose_charts_have_expired_says_so(reader: Client, sample: Sample, empty_redis: redis.Redis) -> None:
    Run.objects.filter(pk=sample.run_id).update(schema_version=None)
    Run.objects.get(pk=sample.run_id).entries.all().delete()
    empty_redis.flushdb()
    assert reader.get(HISTORY).json()["state"] == "expired"
    assert b"expired" in reader.get("/").content


def test_without_redis_the_tables_answer(reader: Client, sample: Sample, settings: Settings) -> None:
    expected = reader.get(HISTORY).content
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    hot.cache_clear()
    warm._local.cache_clear()
    response = reader.get(HISTORY)
    assert response.status_code == 200
    assert response.content == expected


def test_no_one_reads_without_signing_in(anyone: Client, sample: Sample) -> None:
    metrics = ["/api/runs/abc123def456/metrics/", "/api/runs/abc123def456/metrics/0/"]
    for address in (
        HISTORY,
        f"{HISTOGRAM}?type=weights&tower=query",
        "/api/runs/",
        "/api/runs/abc123def456/",
        *metrics,
    ):
        response = anyone.get(address)
        assert response.status_code == 401
        assert response["Cache-Control"] == "no-store"
        assert response.json()["error"]


def test_a_hot_history_asks_the_database_for_the_reader_only(
    reader: Client, sample: Sample, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        assert reader.get(HISTORY).status_code == 200
    with django_assert_num_queries(0):
        assert reader.get(HISTORY).status_code == 200


def test_the_list_costs_the_same_queries_however_long(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 12):
        for number in range(count):
            Sample(f"run{count}x{number}").announce(quick_test=100 * count + number)
        with django_assert_num_queries(8):
            assert reader.get("/api/runs/").status_code == 200


def test_a_run_whose_tracking_server_is_down_says_so(reader: Client) -> None:
    Sample("cold").announce("pending")
    for path in ("", "training-history/"):
        assert "waiting_for" not in reader.get(f"/api/runs/cold/{path}").json()
    TrackingServerState.objects.create(name="default", down_since=NOON, reason="connection refused")
    outage = {"tracking_server": "default", "since": "2026-01-02T12:00:00.000Z", "reason": "connection refused"}
    for path in ("", "training-history/"):
        answer = reader.get(f"/api/runs/cold/{path}").json()
        assert (answer["state"], answer["waiting_for"], answer["reason"]) == ("pending", outage, "connection refused")
        assert "which has been down since 2026-01-02 12:00 UTC" in answer["expect"]
    assert reader.get("/api/runs/").json()["runs"][0]["reason"] == "connection refused"


def test_a_listed_run_says_what_it_is(reader: Client, sample: Sample) -> None:
    Sample("cold").announce("failed", "MLflow is down")
    cold, run = reader.get("/api/runs/").json()["runs"]
    assert (cold["state"], cold["reason"]) == ("failed", "MLflow is down")
    assert (run["state"], run["quick_test_ids"], run["epochs"], run["status"]) == ("warm", [7], 20, "FINISHED")
    assert run["params"]["optimizer"] == "adagrad"
    assert run["final_metrics"]["test_recall_at_10"] == 0.1182
    assert len(run["sparkline"]) == 20


def test_a_summary_tells_the_way_from_event_to_warm(reader: Client, sample: Sample) -> None:
    document = reader.get("/api/runs/abc123def456/").json()
    timings = document["timings"]
    assert document["state"] == "warm"
    assert document["next"] is None
    assert document["quick_test_ids"] == [7]
    assert timings["event_time"] <= timings["published_at"] <= timings["received_at"] <= timings["warmed_at"]
    assert 0.28 < timings["publish_to_warm_seconds"] < 5
    assert timings["announced"] is True
    InboxEvent.objects.update(source=SWEEP_SOURCE)
    assert reader.get("/api/runs/abc123def456/").json()["timings"] == timings | {"announced": False}, "it was found"
    assert document["attempts"] == 1
    assert document["events"][0]["state"] == "done"


def test_a_summary_of_a_run_that_failed_again_is_warm_with_a_reason(reader: Client, sample: Sample) -> None:
    sample.announce("failed", "MLflow is down")
    document = reader.get("/api/runs/abc123def456/").json()
    assert (document["state"], document["next"], document["reason"]) == ("warm", "failed", "MLflow is down")


def test_a_summary_of_an_unknown_run_is_404_in_json(reader: Client) -> None:
    response = reader.get("/api/runs/unheard/")
    assert response.status_code == 404
    assert "unheard" in response.json()["error"]


def test_every_error_under_api_is_json(reader: Client) -> None:
    assert reader.get("/api/nothing/").json() == {"error": "This page does not exist."}
    assert reader.post("/api/runs/").status_code == 405
    assert reader.get("/api/runs/", headers={"Host": "evil.example"}).json()["error"]


def test_a_missing_slash_is_added_within_this_site(reader: Client, sample: Sample) -> None:
    response = reader.get("/api/runs/abc123def456/training-history?resolution=full")
    assert (response.status_code, response["Location"]) == (308, f"{HISTORY}?resolution=full")
    assert not reader.get("//runs/abc").headers.get("Location", "/").startswith("//")


def test_golden_documents_come_out_as_they_went_in(reader: Client) -> None:
    Golden("golden").warm()
    assert reader.get("/api/runs/golden/training-history/?resolution=full").json() == golden("history-full")
    histogram = reader.get("/api/runs/golden/histogram-data/?type=weights&tower=query").json()
    assert histogram == golden("histogram-weights-query-overview")
    assert reader.get("/api/runs/golden/metrics/").json() == golden("metric-index")
    assert reader.get("/api/runs/golden/summaries/").json() == golden("summaries")
    assert reader.get("/api/runs/golden/metrics/0/").json() == golden("metric-chunk-overview")


@pytest.mark.parametrize("prefix", ["/api/runs/wide/", "/api/quick-tests/9/"])
def test_other_metrics_are_an_index_and_chunks(reader: Client, prefix: str) -> None:
    Framework("wide", logged="many", size=100).warm(quick_test=9)
    index = reader.get(f"{prefix}metrics/").json()
    assert index["groups"][0]["name"] == ""
    assert sum(len(group["metrics"]) for group in index["groups"]) == 100
    metric = index["groups"][-1]["metrics"][-1]
    for resolution in Resolution:
        chunk = reader.get(f"{prefix}metrics/{metric['chunk']}/", {"resolution": resolution}).json()
        curve = chunk["metrics"][metric["key"]]
        assert chunk["resolution"] == resolution
        assert curve["values"][-1] == pytest.approx(metric["last"], rel=1e-6)
        assert len(chunk["axes"][curve["axis"]]["steps"]) == len(curve["values"]) == metric["points"]
    assert reader.get(f"{prefix}metrics/0/").json()["resolution"] == "overview"
    assert reader.get(f"{prefix}metrics/0/?resolution=half").status_code == 400
    assert "no chunk 77" in reader.get(f"{prefix}metrics/77/").json()["reason"]


def test_a_run_without_other_metrics_says_so(reader: Client, sample: Sample) -> None:
    document = reader.get("/api/runs/abc123def456/metrics/").json()
    assert (document["available"], document["state"]) == (False, "unknown")
    assert document["reason"] == "The run has no metrics besides those of its history."


def test_documents_are_strict_json(reader: Client, sample: Sample) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    document = json.loads(reader.get(f"{HISTORY}?resolution=full").content, parse_constant=refuse)
    assert {(item["metric"], item["kind"]) for item in document["non_finite"]} == {
        ("loss", "NaN"),
        ("query_grad_norm", "Infinity"),
    }


@pytest.mark.parametrize(("error", "status"), [(OperationalError("away"), 503), (ZeroDivisionError(), 500)])
def test_a_failure_is_told_in_the_reader_s_language(
    reader: Client, sample: Sample, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    reader.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(SessionStore, "load", fail)
        answer, page = reader.get(HISTORY), reader.get("/")
    assert (answer.status_code, page.status_code) == (status, status)
    assert answer.json()["error"]
    assert str(status) in page.content.decode()
