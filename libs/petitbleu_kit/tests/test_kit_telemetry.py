"""A span says where and how long, never what an error said."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from petitbleu_kit import telemetry

CANARY = "canary-51d0"


@pytest.fixture(autouse=True)
def _looked_up_anew() -> Iterator[None]:
    telemetry.tracing_on.cache_clear()
    yield
    telemetry.tracing_on.cache_clear()


def test_the_text_of_an_error_is_not_in_the_span(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(telemetry, "tracer", lambda: trace.get_tracer("test", tracer_provider=provider))
    with pytest.raises(ValueError, match=CANARY), telemetry.span("work"):
        assert telemetry.current_traceparent()
        raise ValueError(CANARY)
    (span,) = exporter.get_finished_spans()
    assert span.name == "work"
    assert CANARY not in span.to_json()


def test_without_an_endpoint_a_span_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    with telemetry.span("work") as span:
        assert not span.is_recording()
        assert telemetry.current_traceparent() == ""
