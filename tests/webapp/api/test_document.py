"""The schema says what there is, and what there is keeps to the schema."""

from __future__ import annotations

import json
import re
import types
from copy import deepcopy
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone
from jsonschema import Draft202012Validator
from pytest_django import Settings

import webapp.urls
from store.models import InboxEvent, Run
from tests.webapp.frameworks import Framework
from tests.webapp.samples import Golden, Sample
from warmboard.contract.entries import HistogramType, Resolution, Tower
from webapp.api.document import document, routes
from webapp.api.operation import JSON, Operation, describes
from webapp.api.reading import reading
from webapp.api.schemas import Schemas
from webapp.api.shapes import RunList

PAGES = {"/api/docs/"}
RUN = "/api/runs/abc123def456/"


def closed() -> dict[str, Any]:
    """The schema, in which no shape has a property that it does not name."""
    whole = deepcopy(document())
    for shape in whole["components"]["schemas"].values():
        shape["additionalProperties"] = False
    return whole


def checked(client: Client, path_: str, address: str, status: int = 200) -> Any:
    """The JSON at the address, which keeps to the schema of the path."""
    response = client.get(address)
    assert response.status_code == status
    answer = json.loads(response.getvalue())
    whole = closed()
    schema = whole["paths"][path_]["get"]["responses"][str(status)]["content"][JSON]["schema"]
    Draft202012Validator({**schema, "components": whole["components"]}).validate(answer)
    return answer


def test_every_address_of_the_api_is_in_the_schema_and_no_other() -> None:
    patterns = ["/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(item.pattern)) for item in webapp.urls.urlpatterns]
    assert set(document()["paths"]) == {path for path in patterns if path.startswith("/api/")} - PAGES


def test_a_view_that_declares_nothing_is_found_out(settings: Settings) -> None:
    @reading
    def silent(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    more = types.ModuleType("more")
    more.urlpatterns = [*webapp.urls.urlpatterns, path("api/silent/", silent)]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = more
    with pytest.raises(LookupError, match="/api/silent/"):
        list(routes())


def test_the_schema_is_one_of_openapi(reader: Client) -> None:
    served = reader.get("/api/openapi.json").json()
    assert served == document()
    assert served["openapi"] == "3.1.0"
    for shape in served["components"]["schemas"].values():
        Draft202012Validator.check_schema(shape)
    names = [
        one["operationId"]
        for item in served["paths"].values()
        for method, one in item.items()
        if method != "parameters"
    ]
    assert len(set(names)) == len(names) >= 15


@pytest.mark.parametrize("prefix", ["runs/{run_id}", "quick-tests/{quick_test_id}"])
def test_what_is_allowed_is_what_the_views_allow(prefix: str) -> None:
    parameters = document()["paths"][f"/api/{prefix}/histogram-data/"]["get"]["parameters"]
    allowed = {one["name"]: (one["schema"]["enum"], one["required"]) for one in parameters}
    assert allowed == {
        "type": (list(HistogramType), True),
        "tower": (list(Tower), True),
        "resolution": (list(Resolution), False),
    }


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("training-history/", ""),
        ("training-history/", "?resolution=full"),
        ("histogram-data/", "?type=weights&tower=query"),
        ("histogram-data/", "?type=gradients&tower=query&resolution=full"),
        ("metrics/", ""),
        ("metrics/0/", ""),
        ("metrics/0/", "?resolution=full"),
        ("export.json", "?histograms=with"),
    ],
)
def test_real_answers_keep_to_the_schema(reader: Client, name: str, query: str) -> None:
    Sample("abc123def456").warm(quick_test=7)
    Golden("golden").warm(quick_test=8)
    Framework("wide", logged="many", size=60).warm(quick_test=9)
    Framework("batches", logged="batches", size=50).warm()
    Sample("cold").announce("failed", "MLflow is down")
    described = name.replace("/0/", "/{chunk}/")
    available = set()
    for run in ("abc123def456", "golden", "wide", "batches", "cold", "unheard"):
        answer = checked(reader, f"/api/runs/{{run_id}}/{described}", f"/api/runs/{run}/{name}{query}")
        available.add(answer["available"])
    for number in (7, 8, 9, 404):
        checked(reader, f"/api/quick-tests/{{quick_test_id}}/{described}", f"/api/quick-tests/{number}/{name}{query}")
    assert available == {True, False}


def test_lists_and_summaries_keep_to_the_schema(reader: Client, sample: Sample) -> None:
    Sample("cold").announce("failed", "MLflow is down")
    Sample("only-events").announce()
    Run.objects.get(pk="only-events").delete()
    assert len(checked(reader, "/api/runs/", "/api/runs/?limit=1")["runs"]) == 1
    assert checked(reader, "/api/runs/", "/api/runs/")["next"] is None
    checked(reader, "/api/runs/", "/api/runs/?q=status+%3D", 400)
    checked(reader, "/api/runs/{run_id}/annotation/", "/api/runs/abc123def456/annotation/")
    for run in ("abc123def456", "cold", "only-events"):
        checked(reader, "/api/runs/{run_id}/", f"/api/runs/{run}/")


def test_comparisons_keep_to_the_schema(reader: Client, sample: Sample) -> None:
    Sample("cold").announce("failed", "MLflow is down")
    runs = checked(reader, "/api/compare", "/api/compare?runs=cold,abc123def456,unheard")["runs"]
    assert [run["state"] for run in runs] == ["failed", "warm", "unknown"]
    checked(reader, "/api/compare", "/api/compare?runs=cold", 400)


def test_operations_keep_to_the_schema(sample: Sample) -> None:
    Sample("cold").announce("failed", "MLflow is down")
    Sample("now").announce("warming")
    InboxEvent.objects.create(
        source="s", event_id="e", attributes={"a": 1}, data=b"\xff", published_at=timezone.now(), state="unreadable"
    )
    grace = User.objects.create_superuser("grace")
    operator, viewer = Client(), Client()
    operator.force_login(grace)
    viewer.force_login(User.objects.create_user("viewer"))
    answer = checked(operator, "/api/operations/", "/api/operations/?state=all")
    assert {event["state"] for event in answer["events"]} == {"done", "failed", "unreadable", "warming"}
    assert len(answer["in_flight"]) == 1
    checked(viewer, "/api/operations/", "/api/operations/", 403)
    checked(operator, "/api/operations/", "/api/operations/?state=odd", 400)


def test_errors_keep_to_the_schema(reader: Client, anyone: Client, sample: Sample) -> None:
    path_ = "/api/runs/{run_id}/histogram-data/"
    assert "parameter" in checked(reader, path_, f"{RUN}histogram-data/?type=x", 400)
    checked(reader, path_, "/api/runs/!/histogram-data/", 404)
    checked(anyone, path_, f"{RUN}histogram-data/", 401)
    checked(reader, "/api/runs/{run_id}/", "/api/runs/unheard/", 404)
    checked(reader, "/api/runs/{run_id}/export.csv", f"{RUN}export.csv?metrics=nothing", 400)


def test_a_type_without_a_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON Schema"):
        Schemas().of(set[int])


def test_a_quick_test_without_a_run_refuses_what_one_with_a_run_refuses(reader: Client) -> None:
    assert reader.get("/api/quick-tests/404/training-history/?resolution=half").status_code == 400
    assert reader.post("/api/quick-tests/404/training-history/").status_code == 405


def test_another_method_is_refused_in_json(reader: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = reader.cookies
    for method in (strict.post, strict.put, strict.patch, strict.delete, strict.options):
        response = method("/api/runs/")
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert "not allowed" in response.json()["error"]


def test_the_page_shows_every_operation_with_an_example_that_runs(reader: Client, sample: Sample) -> None:
    page = unescape(reader.get("/api/docs/").content.decode())
    paths = document()["paths"]
    for path_, item in paths.items():
        assert f"<code>{path_}</code>" in page
        assert all(f'id="{one["operationId"]}"' in page for method, one in item.items() if method != "parameters")
    examples = re.findall(
        r"<code>curl -H \"Authorization: Bearer \$WARMBOARD_TOKEN\" 'http://testserver(.+?)'</code>", page
    )
    assert len(examples) == len([item for item in paths.values() if "get" in item])
    for example in examples:
        # Some want a group that this reader is not in.
        assert reader.get(example).status_code in (200, 403)


def test_what_changes_something_is_not_for_tokens(settings: Settings, reader: Client) -> None:
    @describes(Operation("Changes something", RunList, body=RunList), "post")
    def change(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    more = types.ModuleType("more")
    more.urlpatterns = [*webapp.urls.urlpatterns, path("api/change/", change)]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = more
    document.cache_clear()
    try:
        operation = document()["paths"]["/api/change/"]["post"]
        page = reader.get("/api/docs/").content.decode()
    finally:
        document.cache_clear()
    assert operation["security"] == [{"session": []}]
    assert operation["requestBody"]["content"][JSON]["schema"] == {"$ref": "#/components/schemas/RunList"}
    assert "Not for tokens" in page


def test_the_page_is_for_people(anyone: Client, db: None) -> None:
    assert anyone.get("/api/docs/")["Location"] == "/sign-in/?next=/api/docs/"
    assert anyone.get("/api/openapi.json").status_code == 401
