"""The in-memory exporter: what clew's recorder sends comes back whole, without the SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState, set_span_in_context
from opentelemetry.trace.span import NonRecordingSpan

import clew
from clew.testing import InMemoryExporter, Spans, exceptions_of, spans_from_otlp

REMOTE = SpanContext(1 << 100, 1 << 40, True, TraceFlags(1), TraceState([("a", "1"), ("b", "2")]))


def test_everything_of_a_span_comes_back_as_the_sdk_shows_it() -> None:
    exporter, sdk_exporter = InMemoryExporter(), InMemorySpanExporter()
    provider = clew.TracerProvider(resource={"service.name": "shop", "n": 1}, exporter=exporter)
    provider.add_span_processor(SimpleSpanProcessor(sdk_exporter))
    tracer = provider.get_tracer("scope", "1.2", "https://schema", {"of": "scope"})
    with tracer.start_as_current_span(
        "root",
        set_span_in_context(NonRecordingSpan(REMOTE)),
        SpanKind.SERVER,
        {"s": "x", "i": -7, "f": 0.5, "b": True, "l": ["p", "q"], "e": ""},
        [Link(SpanContext(5, 6, True, TraceFlags(1), TraceState([("l", "k")])), {"why": "retry"})],
    ) as root:
        root.add_event("halfway", {"at": 50}, 1_700_000_000_000_000_000)
        with pytest.raises(KeyError), tracer.start_as_current_span("child", kind=SpanKind.CLIENT):
            raise KeyError("gone")
        root.set_status(StatusCode.OK)
    assert provider.force_flush()
    for span, sdk in zip(exporter.spans, sdk_exporter.get_finished_spans(), strict=True):
        assert (span.name, span.kind, span.start_time, span.end_time) == (
            sdk.name,
            sdk.kind,
            sdk.start_time,
            sdk.end_time,
        )
        assert span.context == sdk.context == span.get_span_context()
        assert span.parent is not None
        assert sdk.parent is not None
        assert (span.parent.span_id, span.parent.is_remote) == (sdk.parent.span_id, sdk.parent.is_remote)
        assert (span.status.status_code, span.status.description) == (sdk.status.status_code, sdk.status.description)
        assert dict(span.attributes) == dict(sdk.attributes or {})
        assert [(e.name, e.timestamp, dict(e.attributes)) for e in span.events] == [
            (e.name, e.timestamp, dict(e.attributes or {})) for e in sdk.events
        ]
        assert [(one.context, dict(one.attributes)) for one in span.links] == [
            (one.context, dict(one.attributes or {})) for one in sdk.links
        ]
        assert dict(span.resource.attributes) == dict(sdk.resource.attributes)
        scope = sdk.instrumentation_scope
        assert scope is not None
        assert span.instrumentation_scope[:3] == (scope.name, scope.version, scope.schema_url)
        assert dict(span.instrumentation_scope.attributes) == dict(scope.attributes or {})
    child, parent = exporter.spans
    assert exceptions_of(child)[0]["exception.type"] == "KeyError"
    assert parent.parent is not None
    assert parent.parent.is_remote
    assert not child.parent.is_remote  # type: ignore[union-attr]
    provider.shutdown()


def test_dropped_counts_come_back() -> None:
    from opentelemetry.sdk.trace import SpanLimits

    exporter = InMemoryExporter()
    limits = SpanLimits(max_attributes=1, max_events=1, max_links=1, max_event_attributes=1, max_link_attributes=1)
    provider = clew.TracerProvider(exporter=exporter, span_limits=limits)
    span = provider.get_tracer("t").start_span("s", attributes={"a": 1, "b": 2, "c": 3})
    for _ in range(3):
        span.add_event("e", {"a": 1, "b": 2})
        span.add_link(REMOTE, {"a": 1, "b": 2})
    span.end()
    provider.force_flush()
    (found,) = exporter.spans
    assert (found.dropped_attributes, found.dropped_events, found.dropped_links) == (2, 2, 2)
    assert (found.events[0].dropped_attributes, found.links[0].dropped_attributes) == (1, 1)
    provider.shutdown()


def test_the_requests_are_kept_and_clear_forgets() -> None:
    exporter = InMemoryExporter()
    provider = clew.TracerProvider(exporter=exporter)
    provider.get_tracer("t").start_span("one").end()
    provider.force_flush()
    assert [span.name for request in exporter.requests for span in spans_from_otlp(request)] == ["one"]
    assert provider.stats()["sent"] == 1
    exporter.clear()
    assert (exporter.spans, exporter.requests) == ([], [])
    provider.get_tracer("t").start_span("two").end()
    provider.shutdown()
    assert Spans(exporter).names == ["two"]


def test_bytes_that_are_no_request_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no field|cut short|end inside"):
        list(spans_from_otlp(b"\x0a\xff"))


def test_neither_the_sdk_nor_pytest_is_needed() -> None:
    program = (
        "import sys, clew\n"
        "from clew.testing import InMemoryExporter, Spans, recording\n"
        "with recording() as spans:\n"
        "    clew.trace(lambda: None)()\n"
        "    assert len(spans) == 1\n"
        "print([name for name in ('opentelemetry.sdk', 'pytest', 'google.protobuf') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
