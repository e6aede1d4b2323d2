"""Objects of the OpenTelemetry SDK given to our provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceState

from clew.recorder.provider import TracerProvider


class Counting(IdGenerator):
    def __init__(self) -> None:
        self.last = 0

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def is_trace_id_random(self) -> bool:
        return False


class Noting(Sampler):
    """Records without sampling, adds an attribute and a trace state."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def should_sample(self, *arguments: Any, **keywords: Any) -> SamplingResult:
        return SamplingResult(self.decision, {"by": "sampler"}, TraceState([("s", "1")]))

    def get_description(self) -> str:
        return "noting"


def test_an_sdk_exporter_gets_readable_spans_and_is_counted() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "sdk", "n": 1}), exporter=memory)
    tracer = provider.get_tracer("tests", "1")
    with tracer.start_as_current_span("parent") as parent:
        span = tracer.start_span("op", attributes={"k": [1, 2]}, links=[Link(SpanContext(1, 2, True), {"l": 1})])
        span.add_event("e", {"x": 1}, timestamp=5)
        span.set_status(StatusCode.ERROR, "no")
        span.end()
    assert provider.force_flush()
    op, _ = memory.get_finished_spans()
    assert isinstance(op, ReadableSpan)
    assert (op.name, dict(op.attributes or {})) == ("op", {"k": (1, 2)})
    assert op.parent == parent.get_span_context()
    assert op.resource.attributes["n"] == 1
    assert [(e.name, e.timestamp, dict(e.attributes or {})) for e in op.events] == [("e", 5, {"x": 1})]
    assert [dict(link.attributes or {}) for link in op.links] == [{"l": 1}]
    assert op.status.description == "no"
    assert op.instrumentation_scope is not None
    assert op.instrumentation_scope.version == "1"
    assert '"name": "op"' in op.to_json()
    assert provider.stats() == {"recorded": 2, "sent": 2, "dropped": {}}
    provider.shutdown()


def test_an_sdk_exporter_that_fails_is_counted_as_dropped() -> None:
    class Failing(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.FAILURE

    provider = TracerProvider(resource={}, exporter=Failing())
    provider.get_tracer("tests").start_span("op").end()
    provider.force_flush()
    assert provider.stats() == {"recorded": 1, "sent": 0, "dropped": {"exporter_failed": 1}}
    provider.shutdown()


def test_a_processor_sees_the_live_span_and_may_write_to_it() -> None:
    memory = InMemorySpanExporter()

    class Stamping(SpanProcessor):
        def on_start(self, span: Any, parent_context: Context | None = None) -> None:
            span.set_attribute("stamped", span.name)

    provider = TracerProvider(resource={})
    tracer = provider.get_tracer("made before the processors")
    provider.add_span_processor(Stamping())
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer.start_span("op").end()
    (span,) = memory.get_finished_spans()
    assert dict(span.attributes or {}) == {"stamped": "op"}
    provider.shutdown()


def test_dropped_counts_reach_an_sdk_exporter() -> None:
    memory = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1, max_event_attributes=1)
    provider = TracerProvider(resource={}, span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    link = Link(SpanContext(1, 2, False))
    span = provider.get_tracer("tests").start_span("op", attributes={"a": 1, "b": 2}, links=[link, link])
    span.add_event("e", {"a": 1, "b": 2})
    span.add_event("e")
    span.end()
    (read,) = memory.get_finished_spans()
    assert (read.dropped_attributes, read.dropped_events, read.dropped_links) == (1, 1, 1)
    assert read.events[0].dropped_attributes == 1
    provider.shutdown()


def test_sdk_samplers_and_id_generators_decide() -> None:
    provider = TracerProvider(ParentBased(ALWAYS_OFF), {}, id_generator=Counting())
    span = provider.get_tracer("tests").start_span("op")
    assert not span.is_recording()
    context = span.get_span_context()
    assert (context.trace_id, context.span_id, context.trace_flags) == (1, 2, 0)
    provider.shutdown()


def test_what_a_sampler_adds_is_on_the_span() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(Noting(Decision.RECORD_AND_SAMPLE), {})
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("tests").start_span("op", attributes={"own": 1}).end()
    (span,) = memory.get_finished_spans()
    assert dict(span.attributes or {}) == {"own": 1, "by": "sampler"}
    assert span.context is not None
    assert span.context.trace_state.to_header() == "s=1"
    provider.shutdown()


def test_a_span_that_is_recorded_only_is_not_exported() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(Noting(Decision.RECORD_ONLY), {}, exporter=memory)
    span = provider.get_tracer("tests").start_span("op")
    assert span.is_recording()
    assert not span.get_span_context().trace_flags.sampled
    span.end()
    provider.force_flush()
    assert memory.get_finished_spans() == ()
    assert provider.stats()["recorded"] == 0
    provider.shutdown()


def test_a_processor_that_raises_stops_neither_the_others_nor_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raising(SpanProcessor):
        def _raise(self, *arguments: Any, **keywords: Any) -> bool:
            raise RuntimeError("no")

        on_start = _on_ending = on_end = shutdown = force_flush = _raise  # type: ignore[assignment]

    # Under pytest errors of the recorder show; in an application they do not.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource={})
    provider.add_span_processor(Raising())
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("tests").start_span("op").end()
    assert not provider.force_flush()
    provider.shutdown()
    assert [span.name for span in memory.get_finished_spans()] == ["op"]
    assert memory.export([]).name == "FAILURE"  # it was shut down


def test_the_list_of_processors_is_there_before_the_first_and_may_be_added_to() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource={})
    tracer = provider.get_tracer("tests")
    assert provider._active_span_processor._span_processors == ()
    provider._active_span_processor.add_span_processor(SimpleSpanProcessor(memory))
    tracer.start_span("op").end()
    assert [span.name for span in memory.get_finished_spans()] == ["op"]
    provider.shutdown()


def test_the_provider_is_one_of_the_sdk_to_isinstance() -> None:
    provider = TracerProvider(resource={})
    assert isinstance(provider, SdkTracerProvider)
    assert isinstance(provider, TracerProvider)
    provider.shutdown()
