"""OpenTelemetry: the span of publishing an event, whose context the event carries on.

CloudEvents' extension for distributed tracing names the attributes ``traceparent`` and ``tracestate``.
https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from warmboard.contract.events import RunEvent

log = logging.getLogger(__name__)
SERVICE = "warmboard-trainer"
EXPORT_SECONDS = 2.0
"""A collector that is down delays publishing by this at most."""


@contextmanager
def publishing(event: RunEvent, collector: str | None) -> Iterator[dict[str, str]]:
    """The span of publishing the event. Yields attributes for its message: none if nothing is traced.

    The span belongs to the trace of the program, if it uses OpenTelemetry itself. If it doesn't, spans are sent to
    ``collector``; without one there are none.
    """
    tracer = _tracer(collector)
    if tracer is None:
        yield {}
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    said = {"cloudevents.event_id": event.id, "cloudevents.event_type": event.type, "warmboard.run_id": event.run_id}
    with tracer.start_as_current_span(f"publish {event.type}", kind=SpanKind.PRODUCER, attributes=said):
        context: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(context)
        yield {f"ce-{name}": value for name, value in context.items()}


@cache
def _tracer(collector: str | None) -> Any:
    """The program's tracer. None without OpenTelemetry, or if it can't be set up for a collector: no event is lost for
    that.
    """
    try:
        from opentelemetry import trace

        if collector and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _set_up()
        return trace.get_tracer("warmboard")
    except ImportError as error:
        if collector:
            log.warning("Nothing is traced: %s. Install warmboard[tracing].", error)
    except Exception as error:  # a variable of OpenTelemetry's that it can't use, in one of many ways
        log.warning("Nothing is traced: %s", error, exc_info=True)
    return None


def _set_up() -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    # What the environment says of the service wins.
    resource = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    # Each span at once: a program publishes a few, and its last one just before it ends.
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
    trace.set_tracer_provider(provider)
