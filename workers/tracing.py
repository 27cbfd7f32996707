"""OpenTelemetry: the spans of a run's way through the workers. Off unless OTEL_EXPORTER_OTLP_ENDPOINT names a
collector.

A span belongs to the trace of the event that it is about, whose message carries its context.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workers.logged import TRACES

log = logging.getLogger(__name__)
EXPORT_SECONDS = 2.0
"""A collector that is down delays the end of a process by this."""
_tracer: Any = None


def begin(service: str, collector: str | None) -> None:
    """Send this process's spans to the collector, as ``service``. In a child of prefork: after the fork. If that can't
    be set up, nothing is traced, and the log says why.
    """
    if not collector:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        use(service, BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
    except Exception:
        log.exception("nothing is traced")


def use(service: str, processor: Any) -> None:
    """Give this process's spans to a processor of OpenTelemetry's SDK."""
    global _tracer
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider

    # What the environment says of the service wins.
    resource = Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("warmboard")


def end() -> None:
    """Trace nothing any more."""
    global _tracer
    _tracer = None


@contextmanager
def span(name: str, attributes: Mapping[str, str] | None = None, **said: str | int) -> Iterator[None]:
    """A span of the block, with what is ``said`` of it. ``attributes`` are of the message that it is about; without
    them it is part of the span around it. An error of the block is recorded.
    """
    if _tracer is None:
        yield
        return
    told = {f"warmboard.{key}": value for key, value in said.items()}
    context = None if attributes is None else _context(attributes)
    with _tracer.start_as_current_span(name, context=context, attributes=told):
        yield


def _context(attributes: Mapping[str, str]) -> Any:
    """The context in a message; an empty one begins a trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found = next((name for name in TRACES if attributes.get(name)), "ce-traceparent")
    prefix = found.removesuffix("traceparent")
    carrier = {name: attributes.get(f"{prefix}{name}", "") for name in ("traceparent", "tracestate")}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
