"""Code written against the opencensus package, recording through clew and through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import opentelemetry.sdk.trace
import pytest
from opencensus.trace import execution_context, link, samplers, status, time_event
from opencensus.trace import span as census_span
from opencensus.trace import tracer as census_tracer
from opencensus.trace.propagation.b3_format import B3FormatPropagator
from opencensus.trace.span_context import SpanContext
from opencensus.trace.trace_options import TraceOptions
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.propagation import default_propagator
from clew.testing import InMemoryExporter, SpanRecorder, assert_span

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"


@pytest.fixture(params=[opentelemetry.sdk.trace.TracerProvider, clew.TracerProvider], ids=["sdk", "clew"])
def provider(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.shutdown()
    execution_context.clear()


@pytest.fixture
def recorder(provider: Any) -> SpanRecorder:
    return SpanRecorder(provider)


@pytest.fixture
def tracer(provider: Any) -> Any:
    return clew.opencensus.Tracer(tracer_provider=provider)


def test_spans_nest_and_have_what_was_said_of_them(tracer: Any, recorder: SpanRecorder) -> None:
    with tracer.span(name="request") as request:
        request.span_kind = census_span.SpanKind.SERVER
        request.add_attribute("user", 7)
        with request.span(name="query") as query:
            query.span_kind = census_span.SpanKind.CLIENT
            query.add_annotation("cache miss", key="tea")
            query.add_message_event(
                time_event.MessageEvent(query_time(), 3, time_event.Type.SENT, uncompressed_size_bytes=12)
            )
            query.add_link(link.Link(TRACE_ID, SPAN_ID, link.Type.PARENT_LINKED_SPAN))
        tracer.add_attribute_to_current_span("late", True)
        request.name = "GET /tea"
    below, above = recorder.spans
    assert_span(above, name="GET /tea", kind=SpanKind.SERVER, attributes={"user": 7, "late": True}, parent_id="")
    assert_span(below, name="query", kind=SpanKind.CLIENT, parent_id=f"{above.context.span_id:016x}")
    note, message = below.events
    assert (note.name, dict(note.attributes)) == ("cache miss", {"key": "tea"})
    assert (message.name, message.timestamp) == ("message", 1_700_000_000_250_000_000)
    assert dict(message.attributes) == {
        "message.type": "SENT",
        "message.id": 3,
        "message.uncompressed_size": 12,
        "message.compressed_size": 12,
    }
    assert f"{below.links[0].context.trace_id:032x}" == TRACE_ID
    assert dict(below.links[0].attributes) == {"opencensus.link_type": "parent"}
    assert_span(above, status=StatusCode.UNSET)


def query_time() -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(1_700_000_000.25, UTC).replace(tzinfo=None)


def test_an_exception_is_an_error_and_passes(tracer: Any, recorder: SpanRecorder) -> None:
    with pytest.raises(ValueError, match="no tea"), tracer.span("work"):
        raise ValueError("no tea")
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "UNKNOWN"})
    assert span.status.description == "no tea"
    assert [event.name for event in span.events] == ["exception"]


def test_a_status_is_told_by_its_name(tracer: Any, recorder: SpanRecorder) -> None:
    with tracer.span("gone") as span:
        span.set_status(status.Status(5, "no such tea"))
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "NOT_FOUND"})


def test_start_and_end_without_blocks(tracer: Any, recorder: SpanRecorder) -> None:
    tracer.start_span("outer")
    tracer.start_span("inner")
    assert tracer.current_span().name == "inner"
    tracer.end_span()
    assert tracer.current_span().name == "outer"
    tracer.start_span("left open")
    tracer.finish()
    assert [span.name for span in recorder.spans] == ["inner", "left open", "outer"]
    assert not get_current_span().get_span_context().is_valid


def test_the_caller_in_the_span_context_is_the_parent(provider: Any, recorder: SpanRecorder) -> None:
    context = SpanContext(TRACE_ID, SPAN_ID, TraceOptions("1"), from_header=True)
    with clew.opencensus.Tracer(span_context=context, tracer_provider=provider).span("answer"):
        pass
    assert_span(recorder.one(), trace_id=TRACE_ID, parent_id=SPAN_ID)
    assert recorder.one().parent.is_remote


def test_the_tracer_s_context_names_the_current_span(tracer: Any, recorder: SpanRecorder) -> None:
    with tracer.span("call"):
        headers = tracer.propagator.to_headers(tracer.span_context)
        b3 = B3FormatPropagator().to_headers(tracer.span_context)
    context = recorder.one().context
    assert headers["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    assert b3["x-b3-spanid"] == f"{context.span_id:016x}"


def test_both_apis_see_the_same_current_span(tracer: Any, provider: Any, recorder: SpanRecorder) -> None:
    modern = provider.get_tracer("app")
    with modern.start_as_current_span("outer") as outer:
        with tracer.span("old") as old:
            assert old.parent_span.span_id == f"{outer.get_span_context().span_id:016x}"
            modern.start_span("inner").end()
        assert get_current_span() is outer
    inner, middle, first = (recorder.one(name=name) for name in ("inner", "old", "outer"))
    assert inner.parent.span_id == middle.context.span_id
    assert middle.parent.span_id == first.context.span_id


def test_each_thread_has_spans_of_its_own(provider: Any, recorder: SpanRecorder) -> None:
    def work(number: int) -> None:
        tracer = clew.opencensus.Tracer(tracer_provider=provider)
        with tracer.span(f"request {number}"), tracer.span(f"query {number}"):
            pass

    threads = [Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = {span.name: span for span in recorder.spans}
    assert len(spans) == 16
    for number in range(8):
        assert spans[f"query {number}"].parent.span_id == spans[f"request {number}"].context.span_id


def test_installed_it_serves_every_tracer_until_it_is_undone(provider: Any, recorder: SpanRecorder) -> None:
    undo = clew.opencensus.install(provider)
    try:
        # Neither OpenCensus' sampler nor its exporter, which would print, has a say.
        theirs = census_tracer.Tracer(sampler=samplers.AlwaysOffSampler())
        with theirs.span("theirs"), execution_context.get_opencensus_tracer().span("an integration's"):
            pass
    finally:
        undo()
    assert [span.name for span in recorder.spans] == ["an integration's", "theirs"]
    with census_tracer.Tracer(sampler=samplers.AlwaysOffSampler()).span("unbridged"):
        pass
    assert len(recorder.spans) == 2


def test_propagators_of_opentelemetry_serve_opencensus(provider: Any, recorder: SpanRecorder) -> None:
    propagator = clew.opencensus.Propagator(default_propagator())
    context = propagator.from_headers({"Traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "tracestate": "a=1"})
    tracer = clew.opencensus.Tracer(span_context=context, propagator=propagator, tracer_provider=provider)
    with tracer.span("answer"):
        headers = tracer.propagator.to_headers(tracer.span_context)
    span = recorder.one()
    assert_span(span, trace_id=TRACE_ID, parent_id=SPAN_ID)
    assert headers["traceparent"].startswith(f"00-{TRACE_ID}-{span.context.span_id:016x}-")
    assert headers["tracestate"] == "a=1"
    assert propagator.from_headers({}).span_id is None


def test_what_is_not_sampled_is_told_on(provider: Any, recorder: SpanRecorder) -> None:
    context = SpanContext(TRACE_ID, SPAN_ID, TraceOptions("0"), from_header=True)
    tracer = clew.opencensus.Tracer(span_context=context, tracer_provider=provider)
    with tracer.span("dropped"):
        assert tracer.propagator.to_headers(tracer.span_context)["traceparent"].endswith("-00")
    assert recorder.spans == []


def test_the_exporter_hands_finished_spans_on_as_they_are() -> None:
    exporter = InMemoryExporter()
    provider = clew.TracerProvider(resource={"service.name": "shop"}, exporter=exporter)
    context = SpanContext(TRACE_ID, SPAN_ID, TraceOptions("1"), from_header=True)
    theirs = census_tracer.Tracer(
        span_context=context, sampler=samplers.AlwaysOnSampler(), exporter=clew.opencensus.Exporter(provider)
    )
    with theirs.span("request") as request:
        request.span_kind = census_span.SpanKind.SERVER
        with theirs.span("query") as query:
            query.add_attribute("rows", 3)
            query.add_annotation("cache miss", key="tea")
            query.add_link(link.Link(TRACE_ID, SPAN_ID, link.Type.CHILD_LINKED_SPAN))
            query.set_status(status.Status(5, "no such tea"))
    assert provider.force_flush()
    below, above = exporter.spans
    assert_span(above, name="request", kind=SpanKind.SERVER, trace_id=TRACE_ID, parent_id=SPAN_ID)
    assert f"{above.context.span_id:016x}" == request.span_id
    assert f"{below.context.span_id:016x}" == query.span_id
    assert_span(
        below, parent_id=request.span_id, status=StatusCode.ERROR, attributes={"rows": 3, "error.type": "NOT_FOUND"}
    )
    assert [(event.name, dict(event.attributes)) for event in below.events] == [("cache miss", {"key": "tea"})]
    assert dict(below.links[0].attributes) == {"opencensus.link_type": "child"}
    assert above.start_time <= below.start_time <= below.end_time <= above.end_time
    assert below.instrumentation_scope.name == "clew.opencensus"
    assert provider.stats()["recorded"] == 2
    provider.shutdown()


def test_the_exporter_wants_a_provider_of_clew() -> None:
    with pytest.raises(TypeError, match="only"):
        clew.opencensus.Exporter(opentelemetry.sdk.trace.TracerProvider())
    with census_tracer.Tracer(sampler=samplers.AlwaysOnSampler(), exporter=clew.opencensus.Exporter()).span("nowhere"):
        pass
