"""OpenTelemetry traces, on only when an OTLP endpoint is configured, so that they cost nothing otherwise."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


@functools.cache
def tracing_on() -> bool:
    """Whether an OTLP endpoint is configured: looked up once, as it is asked for each request and the environment stays."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def configure_tracing(service: str) -> None:
    """Export spans by OTLP over HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; otherwise do nothing."""
    if not tracing_on():
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"petitbleu-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def shutdown_tracing() -> None:
    """Send what is still buffered."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def tracer() -> trace.Tracer:
    """Return the tracer; its spans are no-ops when tracing is off."""
    return trace.get_tracer("petitbleu")


def span(
    name: str, context: Context | None = None, links: Sequence[trace.Link] = ()
) -> AbstractContextManager[trace.Span]:
    """Return a span around a block, current inside it. An error in the block is not recorded: its text may quote a mail."""
    if not tracing_on():
        return nullcontext(trace.INVALID_SPAN)
    return tracer().start_as_current_span(
        name, context, links=links, record_exception=False, set_status_on_exception=False
    )


def current_traceparent() -> str:
    """W3C traceparent of the current span, empty when none is recorded."""
    if not trace.get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def links_to(traceparents: Iterable[str]) -> list[trace.Link]:
    """Links from a batch's span to the span of each of its messages (at most 128)."""
    links: list[trace.Link] = []
    for traceparent in traceparents:
        if traceparent and len(links) < 128:
            context = trace.get_current_span(_propagator.extract({"traceparent": traceparent})).get_span_context()
            if context.is_valid:
                links.append(trace.Link(context))
    return links


def parent_of(traceparent: str) -> Context | None:
    """Context whose span is the remote parent named by a traceparent, or None."""
    return _propagator.extract({"traceparent": traceparent}) if traceparent else None
