"""One trace from the publisher to the store: its spans, their parents, and what they send to a collector."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.environment import GIVEN
from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.warmboard.servers import pubsub_server
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.test_inbox import message
from workers import inbox, subscriber, tracing
from workers.errors import PermanentError
from workers.fetch.fetcher import Fetcher
from workers.settings import Settings
from workers.warm import pipeline
from workers.warm.attempt import warm

SETTINGS = Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test"})
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
PUBLISH = """
from datetime import UTC, datetime

from warmboard.announce.publisher import publish
from warmboard.contract.events import RunEvent, RunStatus
from warmboard.settings import Settings

event = RunEvent.completed(
    run_id="r1", tracking_server="default", experiment_name="e", status=RunStatus.FINISHED,
    end_time=datetime(2026, 1, 2, tzinfo=UTC), epochs=3,
)
print(publish(event, Settings.read()))
"""

TRACE_ONE = """
from workers.settings import setup_django

setup_django()

from workers import tracing

tracing.begin("warmboard-worker", "as the environment says")
with tracing.span("fetch", server="default"):
    pass
"""


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.use("warmboard-worker", SimpleSpanProcessor(exporter))
    yield exporter
    tracing.end()


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    transport = FakeMlflow(golden_run.metrics(), golden_run.params())
    monkeypatch.setattr(pipeline, "fetcher", lambda server, settings: Fetcher(server, transport=transport))
    return transport


def receive(**attributes: str) -> None:
    found = message(run_id=RUN_ID)
    subscriber.receive(
        SimpleNamespace(
            message_id=found.message_id, data=found.data, publish_time=found.published_at, ack=lambda: None,
            attributes={**found.attributes, "ce-subject": RUN_ID, **attributes},
        )
    )  # fmt: skip


def named(spans: InMemorySpanExporter) -> dict[str, Any]:
    return {span.name: span for span in spans.get_finished_spans()}


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """The address of one that takes OTLP over HTTP, and what it has got."""
    got: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            got.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def published(**environ: str) -> tuple[dict[str, str], str]:
    """The attributes of an event that a program of its own publishes, and what it logged."""
    with pubsub_server() as pubsub:
        given = {
            **GIVEN,
            "PUBSUB_EMULATOR_HOST": pubsub.address,
            "MLFLOW_TRACKING_URI": "http://mlflow.test",
            **environ,
        }
        done = subprocess.run(
            [sys.executable, "-c", PUBLISH], cwd=ROOT, env=given, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        [found] = pubsub.messages
        return dict(found.attributes), done.stderr


@pytest.mark.usefixtures("tables", "queue", "mlflow")
def test_a_run_has_one_trace_from_its_event_to_the_store(spans: InMemorySpanExporter) -> None:
    receive(**{"ce-traceparent": TRACEPARENT})
    warm(RUN_ID, SETTINGS, "w1")
    found = named(spans)
    assert found.keys() == {"receive", "warm", "fetch", "encode", "store"}
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {TRACE}
    assert {f"{found[name].parent.span_id:016x}" for name in ("receive", "warm")} == {PARENT}
    assert {found[name].parent.span_id for name in ("fetch", "encode", "store")} == {found["warm"].context.span_id}
    assert found["warm"].attributes == {"warmboard.run_id": RUN_ID, "warmboard.attempt": 1}
    assert found["receive"].attributes == {"warmboard.run_id": RUN_ID}


@pytest.mark.usefixtures("tables", "queue", "mlflow")
@pytest.mark.parametrize("name", ["traceparent", "googclient_traceparent"])
def test_others_name_the_context_in_other_ways(spans: InMemorySpanExporter, name: str) -> None:
    receive(**{name: TRACEPARENT})
    assert f"{named(spans)['receive'].context.trace_id:032x}" == TRACE


@pytest.mark.usefixtures("tables", "queue", "mlflow")
@pytest.mark.parametrize("context", [None, "", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 10_000])
def test_an_event_without_a_context_begins_a_trace(spans: InMemorySpanExporter, context: str | None) -> None:
    receive(**({} if context is None else {"ce-traceparent": context}))
    warm(RUN_ID, SETTINGS, "w1")
    assert named(spans)["warm"].parent is None


@pytest.mark.usefixtures("tables")
def test_an_error_is_in_its_span(spans: InMemorySpanExporter, mlflow: FakeMlflow) -> None:
    mlflow.lifecycle_stage = "deleted"
    assert inbox.record(message(run_id=RUN_ID))
    with pytest.raises(PermanentError):
        warm(RUN_ID, SETTINGS, "w1")
    found = named(spans)
    assert not found["fetch"].status.is_ok
    assert "deleted in MLflow" in found["warm"].status.description


@pytest.mark.usefixtures("tables", "queue", "mlflow")
def test_without_a_collector_nothing_is_traced() -> None:
    tracing.begin("warmboard-worker", None)
    receive(**{"ce-traceparent": TRACEPARENT})
    assert "warm" in warm(RUN_ID, SETTINGS, "w1")
    attributes, _ = published()
    assert "ce-traceparent" not in attributes


def test_a_published_event_carries_its_span() -> None:
    with collector() as (address, got):
        attributes, _ = published(OTEL_EXPORTER_OTLP_ENDPOINT=address)
    [request] = got
    [of_resource] = request.resource_spans
    [span] = of_resource.scope_spans[0].spans
    assert span.name.startswith("publish ")
    assert attributes["ce-traceparent"].startswith(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-")
    assert {"warmboard-trainer"} == {
        each.value.string_value for each in of_resource.resource.attributes if each.key == "service.name"
    }


def test_a_collector_that_is_down_stops_no_event() -> None:
    attributes, _ = published(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert attributes["ce-id"]


# OpenTelemetry's SDK raises ValueError for it.
WRONG = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x"}


def test_variables_that_opentelemetry_can_not_use_stop_no_event() -> None:
    attributes, logged = published(**WRONG)
    assert "ce-traceparent" not in attributes
    assert "Nothing is traced: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer" in logged


def test_nor_a_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRACE_ONE], cwd=ROOT, env={**os.environ, **WRONG}, capture_output=True, text=True,
        check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nothing is traced" in done.stderr


def test_a_worker_sends_its_spans_to_the_collector() -> None:
    with collector() as (address, got):
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "ours"}
        subprocess.run([sys.executable, "-c", TRACE_ONE], cwd=ROOT, env=environ, check=True, timeout=PATIENCE)
    [request] = got
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "fetch"
    assert "ours" in {each.value.string_value for each in request.resource_spans[0].resource.attributes}
