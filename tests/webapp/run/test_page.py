"""The pages of runs as the server sends them; tests/browser looks at them as a person does."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Callable

import pytest
import zstandard
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from store.models import QuickTest, Run
from tests.webapp.frameworks import Framework
from tests.webapp.samples import Known, Sample


def test_a_run_page_costs_the_same_queries_however_much_there_is(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 12):
        for number in range(count):
            Sample(f"run{count}x{number}").announce(quick_test=100 * count + number)
        with django_assert_num_queries(10):
            reader.get(f"/runs/run{count}x0/")


@pytest.mark.parametrize(("epochs", "resolution"), [(20, "full"), (2000, "overview")])
def test_a_run_page_asks_for_every_epoch_of_a_short_run(reader: Client, epochs: int, resolution: str) -> None:
    Sample("run", epochs=epochs).announce()
    assert f'data-resolution="{resolution}"' in reader.get("/runs/run/").content.decode()


def test_a_run_page_holds_the_summary(reader: Client, sample: Sample) -> None:
    page = reader.get("/runs/abc123def456/").content.decode()
    found = re.search(r'<script id="summary" type="application/json">(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == reader.get("/api/runs/abc123def456/").json()


CARRIED = re.compile(r'<script type="application/json" data-address="(.*?)" data-etag="(.*?)">(.*?)</script>')


@pytest.mark.parametrize(("epochs", "addresses"), [(20, {"full"}), (100, {"full", "overview"}), (2000, {"overview"})])
def test_the_page_of_a_warm_run_carries_what_it_shows_first(reader: Client, epochs: int, addresses: set[str]) -> None:
    Sample("carried", epochs=epochs).warm()
    found = CARRIED.findall(reader.get("/runs/carried/").content.decode())
    assert len(found) == 5, "the history, the summaries, what MLflow knows, and a histogram of each tower"
    assert {address.rpartition("=")[2] for address, _, _ in found if "=" in address} == addresses
    for address, etag, text in found:
        answer = reader.get(html.unescape(address))
        assert json.loads(text) == answer.json()
        same = reader.get(html.unescape(address), headers={"If-None-Match": html.unescape(etag)})
        assert same.status_code == 304


def test_a_nested_run_and_its_parent_know_each_other(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    Sample("mother", name="search").warm()
    for number in range(102):
        Known(f"child{number:03}", name=f"trial {number}", logged_tags={"mlflow.parentRunId": "mother"}).announce()
    Run.objects.filter(run_id__startswith="child").update(parent="mother")
    found = reader.get("/api/runs/mother/").json()
    assert (found["parent"], found["children_total"], len(found["children"])) == (None, 102, 100)
    assert found["children"][0] == {"mlflow_run_id": "child000", "name": "trial 0", "status": "FINISHED"}
    child = reader.get("/api/runs/child007/").json()
    assert child["parent"] == {"mlflow_run_id": "mother", "name": "search", "status": "FINISHED"}
    assert (child["children"], child["children_total"]) == ([], 0)
    with django_assert_num_queries(11):
        reader.get("/runs/mother/")


def test_a_warming_stores_the_parent(reader: Client) -> None:
    Known("child", logged_tags={"mlflow.parentRunId": "mother"}).warm()
    assert reader.get("/api/runs/child/").json()["parent"] is None, "it has not been announced"
    Sample("mother").announce()
    assert reader.get("/api/runs/child/").json()["parent"]["mlflow_run_id"] == "mother"
    assert [run["mlflow_run_id"] for run in reader.get("/api/runs/?q=parent+=+mother").json()["runs"]] == ["child"]


def test_a_run_that_is_its_own_parent_has_no_family(reader: Client) -> None:
    Known("loop", logged_tags={"mlflow.parentRunId": "loop"}).warm()
    found = reader.get("/api/runs/loop/").json()
    assert (found["parent"], found["children"]) == (None, [])


def test_a_page_links_to_mlflow_as_the_settings_say(reader: Client, sample: Sample, settings: Settings) -> None:
    assert 'data-mlflow=""' in reader.get("/runs/abc123def456/").content.decode()
    settings.MLFLOW_UI_URLS = {"default": "https://mlflow.example.org", "other": "https://other.example.org"}
    assert 'data-mlflow="https://mlflow.example.org"' in reader.get("/runs/abc123def456/").content.decode()
    assert 'data-mlflow=""' in reader.get("/runs/unheard/").content.decode()


def test_what_a_page_carries_ends_no_element(reader: Client) -> None:
    name = "</script><script>alert(1)</script><!--"
    Sample("carried", name=name).warm()
    page = reader.get("/runs/carried/").content.decode()
    assert "<script>" not in page
    assert "<!--" not in page
    assert json.loads(CARRIED.findall(page)[0][2])["run_name"] == name


@pytest.mark.parametrize("query", ["?what=gradients", "?epoch=3", "?resolution=full"])
def test_a_page_with_a_choice_of_its_own_carries_no_histograms(reader: Client, sample: Sample, query: str) -> None:
    found = CARRIED.findall(reader.get(f"/runs/abc123def456/{query}").content.decode())
    assert [address.split("/")[4] for address, _, _ in found] == ["training-history", "summaries", "about"]


def test_a_page_carries_the_metrics_of_its_first_charts(reader: Client) -> None:
    Framework("torch", logged="training", size=2000).warm()
    found = CARRIED.findall(reader.get("/runs/torch/").content.decode())
    told = {address.split("/")[4]: json.loads(text) for address, _, text in found}
    assert told["summaries"]["charts"][0]["metrics"] == ["train/loss", "val/loss"]
    carried = told["metrics"]["metrics"].keys() | told["training-history"]["metrics"].keys()
    assert carried >= {key for chart in told["summaries"]["charts"] for key in chart["metrics"]}


@pytest.mark.parametrize(
    ("accepted", "coding", "unpack"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("gzip, deflate, br, zstd", "zstd", zstandard.ZstdDecompressor().decompress),
    ],
)
def test_a_page_is_packed_as_its_reader_likes(
    reader: Client, sample: Sample, accepted: str, coding: str, unpack: Callable[[bytes], bytes]
) -> None:
    plain = reader.get("/runs/abc123def456/")
    packed = reader.get("/runs/abc123def456/", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in plain
    assert packed["Content-Encoding"] == coding
    assert len(packed.content) == int(packed["Content-Length"]) < len(plain.content) / 2
    assert "Accept-Encoding" in packed["Vary"]
    assert b'data-address="' in unpack(packed.content)


def test_a_page_of_an_unknown_run_is_there_and_waits(reader: Client) -> None:
    response = reader.get("/runs/unheard/")
    assert response.status_code == 200
    assert b'"state": "unknown"' in response.content


def test_a_quick_test_leads_to_its_run(reader: Client, sample: Sample) -> None:
    assert reader.get("/quick-tests/7/")["Location"] == "/runs/abc123def456/"


def test_a_quick_test_without_a_run_waits_for_one(reader: Client) -> None:
    QuickTest.objects.create(pk=9)
    for number in (9, 10):
        page = reader.get(f"/quick-tests/{number}/")
        assert page.status_code == 200
        assert f"Quick test {number}" in page.content.decode()
        assert f'data-api="/api/quick-tests/{number}/"' in page.content.decode()
