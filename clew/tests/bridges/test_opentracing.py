"""Code written against the opentracing package, recording through clew and through the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import opentelemetry.sdk.trace
import opentracing
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from opentracing import Format, UnsupportedFormatException, child_of, follows_from

import clew
from clew.propagation import default_propagator
from clew.testing import SpanRecorder, assert_span


@pytest.fixture(params=[opentelemetry.sdk.trace.TracerProvider, clew.TracerProvider], ids=["sdk", "clew"])
def provider(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.shutdown()


@pytest.fixture
def recorder(provider: Any) -> SpanRecorder:
    return SpanRecorder(provider)


@pytest.fixture
def tracer(provider: Any) -> opentracing.Tracer:
    return clew.opentracing.tracer(provider, default_propagator())


def test_spans_nest_and_the_kind_is_the_span_s_kind(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    with tracer.start_active_span("request", tags={"span.kind": "server", "http.method": "GET"}) as scope:
        with tracer.start_active_span("query") as inner:
            inner.span.set_tag("span.kind", "client").set_tag("rows", 3)
        assert tracer.active_span is scope.span
    assert tracer.active_span is None
    query, request = recorder.spans
    assert_span(
        request, name="request", kind=SpanKind.SERVER, status=StatusCode.UNSET, attributes={"http.method": "GET"}
    )
    assert_span(query, kind=SpanKind.CLIENT, parent_id=f"{request.context.span_id:016x}", attributes={"rows": 3})
    assert not {"span.kind", "error"} & (set(request.attributes) | set(query.attributes))


def test_error_is_the_status(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    tracer.start_span("a", tags={"error": True}).finish()
    tracer.start_span("b").set_tag("error", "true").finish()
    tracer.start_span("c").set_tag("error", False).finish()
    a, b, c = recorder.spans
    assert_span(a, status=StatusCode.ERROR)
    assert_span(b, status=StatusCode.ERROR)
    assert_span(c, status=StatusCode.UNSET, attributes={"error": False})


def test_an_exception_that_leaves_a_scope_or_a_span_is_recorded_once(
    tracer: opentracing.Tracer, recorder: SpanRecorder
) -> None:
    with pytest.raises(ValueError, match="no tea"), tracer.start_active_span("scope"):
        raise ValueError("no tea")
    with pytest.raises(ValueError, match="no tea"), tracer.start_span("span"):
        raise ValueError("no tea")
    for span in recorder.spans:
        assert_span(span, status=StatusCode.ERROR)
        assert [event.name for event in span.events] == ["exception"]
        assert span.status.description == "no tea"


def test_logs_are_events_and_logged_exceptions_are_exceptions(
    tracer: opentracing.Tracer, recorder: SpanRecorder
) -> None:
    span = tracer.start_span("work")
    span.log_kv({"event": "cache miss", "key": 7, "owner": object}, timestamp=1_700_000_000.25)
    span.log_kv({"event": "error", "error.object": KeyError("gone"), "stack": "…", "shelf": 3})
    span.log_kv({"message": "hello"})
    span.finish()
    miss, error, hello = recorder.one().events
    assert (miss.name, miss.timestamp, dict(miss.attributes)) == (
        "cache miss",
        1_700_000_000_250_000_000,
        {"key": 7, "owner": "<class 'object'>"},
    )
    assert error.name == "exception"
    assert error.attributes["exception.type"] == "KeyError"
    assert error.attributes["shelf"] == 3
    assert (hello.name, dict(hello.attributes)) == ("log", {"message": "hello"})


def test_references_are_parents_and_links_that_say_what_they_are(
    tracer: opentracing.Tracer, recorder: SpanRecorder
) -> None:
    first, second = tracer.start_span("first"), tracer.start_span("second")
    tracer.start_span("after", references=[follows_from(first.context), child_of(second.context)]).finish()
    tracer.start_span("below", references=child_of(first.context)).finish()
    tracer.start_span("alone", references=[], ignore_active_span=True).finish()
    first.finish()
    second.finish()
    spans = {span.name: span for span in recorder.spans}
    ids = {name: span.context.span_id for name, span in spans.items()}
    assert spans["after"].parent.span_id == ids["first"]
    assert [(link.context.span_id, link.attributes["opentracing.ref_type"]) for link in spans["after"].links] == [
        (ids["first"], "follows_from"),
        (ids["second"], "child_of"),
    ]
    assert spans["below"].parent.span_id == ids["first"]
    assert list(spans["below"].links) == []
    assert spans["alone"].parent is None


def test_baggage_is_inherited_and_travels_with_the_trace(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    headers: dict[str, str] = {}
    with tracer.start_active_span("request") as scope:
        scope.span.set_baggage_item("tenant", "acme")
        with tracer.start_active_span("call") as call:
            assert call.span.get_baggage_item("tenant") == "acme"
            tracer.inject(call.span.context, Format.HTTP_HEADERS, headers)
    assert headers["baggage"] == "tenant=acme"
    context = tracer.extract(Format.HTTP_HEADERS, headers)
    assert context is not None
    assert dict(context.baggage) == {"tenant": "acme"}
    tracer.start_span("answer", child_of=context).finish()
    answer, call_span = recorder.one(name="answer"), recorder.one(name="call")
    assert answer.parent.span_id == call_span.context.span_id
    assert answer.context.trace_id == call_span.context.trace_id
    assert answer.parent.is_remote


def test_headers_that_name_no_span_and_formats_nobody_knows(tracer: opentracing.Tracer) -> None:
    assert tracer.extract(Format.TEXT_MAP, {}) is None
    with pytest.raises(UnsupportedFormatException):
        tracer.extract(Format.BINARY, bytearray())
    with pytest.raises(UnsupportedFormatException):
        tracer.inject(tracer.start_span("x").context, Format.BINARY, bytearray())


def test_both_apis_see_the_same_current_span(tracer: opentracing.Tracer, provider: Any, recorder: SpanRecorder) -> None:
    modern = provider.get_tracer("app")
    with modern.start_as_current_span("outer") as outer:
        assert tracer.active_span.unwrap() is outer
        with tracer.start_active_span("old") as old:
            modern.start_span("inner").end()
        tracer.scope_manager.active.close()
        assert old.span.unwrap() is not outer
    inner, middle, first = (recorder.one(name=name) for name in ("inner", "old", "outer"))
    assert inner.parent.span_id == middle.context.span_id
    assert middle.parent.span_id == first.context.span_id


def test_a_scope_that_does_not_finish_its_span_leaves_it_open(
    tracer: opentracing.Tracer, recorder: SpanRecorder
) -> None:
    with tracer.start_active_span("kept", finish_on_close=False) as scope:
        pass
    assert recorder.spans == []
    with tracer.scope_manager.activate(scope.span, True):
        pass
    assert [span.name for span in recorder.spans] == ["kept"]


def test_times_are_taken_as_they_are_given(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    tracer.start_span("old", start_time=1_700_000_000.000001).finish(1_700_000_001.5)
    span = recorder.one()
    assert (span.start_time, span.end_time) == (1_700_000_000_000_001_000, 1_700_000_001_500_000_000)


def test_asyncio_tasks_keep_their_own_spans(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    async def task(name: str) -> None:
        with tracer.start_active_span(name):
            await asyncio.sleep(0)
            with tracer.start_active_span(f"{name} below"):
                await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(task("a"), task("b"))

    asyncio.run(work())
    spans = {span.name: span for span in recorder.spans}
    for name in "ab":
        assert spans[f"{name} below"].parent.span_id == spans[name].context.span_id


def test_the_global_tracer_of_the_package_can_be_ours(tracer: opentracing.Tracer, recorder: SpanRecorder) -> None:
    before = opentracing.global_tracer()
    opentracing.set_global_tracer(tracer)
    try:
        with opentracing.global_tracer().start_active_span("global"):
            pass
    finally:
        opentracing.set_global_tracer(before)
    assert recorder.one().name == "global"
