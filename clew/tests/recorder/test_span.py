"""Spans through OpenTelemetry's API: rules of the specification, and the same calls made to the SDK's provider."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from enum import Enum, IntEnum, StrEnum
from time import time_ns
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from clew.recorder.export.exporter import Outcome
from clew.recorder.limits import SpanLimits
from clew.recorder.provider import TracerProvider


class Kept:
    """An exporter that keeps the requests it is given."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        self.requests.append(request)
        return Outcome("delivered")

    def forget(self) -> None:
        self.requests = []

    def close(self) -> None:
        pass


class Recording:
    """A provider and the spans it exported, parsed."""

    def __init__(self, **options: Any) -> None:
        self.kept = Kept()
        self.provider = TracerProvider(resource={"service.name": "test"}, exporter=self.kept, **options)
        self.tracer = self.provider.get_tracer("tests", "1", "http://schema", {"of": "scope"})

    def spans(self) -> list[ProtoSpan]:
        assert self.provider.force_flush()
        parsed = [ExportTraceServiceRequest.FromString(request) for request in self.kept.requests]
        assert [one.SerializeToString() for one in parsed] == self.kept.requests
        return [
            span
            for one in parsed
            for resource_spans in one.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]

    def only(self) -> ProtoSpan:
        (span,) = self.spans()
        return span


@pytest.fixture
def recording() -> Iterator[Recording]:
    made = Recording()
    yield made
    made.provider.shutdown()


def remote_parent(flags: int = 0x03, state: str = "vendor=1") -> Context:
    context = SpanContext(0xA1, 0xB2, True, TraceFlags(flags), TraceState.from_header([state]))
    return set_span_in_context(NonRecordingSpan(context), Context())


def attributes_of(span: ProtoSpan) -> dict[str, Any]:
    return {item.key: item.value for item in span.attributes}


# -- the same calls to both ---------------------------------------------------------------------------------------------


def everything(tracer: Tracer) -> None:
    with tracer.start_as_current_span("parent", kind=SpanKind.SERVER, start_time=1_000) as parent:
        parent.set_attribute("text", "täxt")
        parent.set_attributes({"int": -5, "large": 2**62, "float": 1.5, "yes": True, "raw": b"\x00\xff", "none": None})
        parent.set_attribute("list", [1, 2, 3])
        parent.set_attribute("nested", {"a": [1, {"b": "c"}], "d": None})
        parent.set_attribute("text", "changed")
        parent.set_attribute("", "no key")
        parent.add_event("event", {"k": "v"}, timestamp=1_500)
        parent.add_link(SpanContext(5, 6, True, TraceFlags(1)), {"why": "because"})
        parent.add_link(SpanContext(0, 0, False))
        parent.update_name("renamed")
        child = tracer.start_span("child", kind=SpanKind.CLIENT, attributes={"at": "start"}, start_time=1_100)
        child.set_status(StatusCode.ERROR, "went wrong")
        child.set_status(StatusCode.UNSET)
        child.end(1_900)
        child.set_attribute("late", 1)
        child.end(2_900)
    linked = tracer.start_span("linked", links=[Link(SpanContext(7, 8, False), {"l": 1})], start_time=3_000)
    linked.set_status(Status(StatusCode.OK))
    linked.set_status(StatusCode.ERROR, "too late")
    linked.record_exception(KeyError("k"), {"extra": 1}, timestamp=3_100)
    linked.end(3_200)


def test_the_same_calls_make_the_same_spans_as_the_sdk(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    memory = InMemorySpanExporter()
    sdk = SdkTracerProvider(shutdown_on_exit=False)
    sdk.add_span_processor(SimpleSpanProcessor(memory))
    everything(sdk.get_tracer("tests"))
    everything(recording.tracer)
    (theirs,) = encode_spans(memory.get_finished_spans()).resource_spans
    expected = {span.name: span for span in theirs.scope_spans[0].spans}
    actual = {span.name: span for span in recording.spans()}
    assert actual.keys() == expected.keys() == {"renamed", "child", "linked"}
    for name, span in actual.items():
        other = expected[name]
        # The SDK keeps an overwritten attribute's last place, the recorder its first; OTLP gives it no meaning.
        assert attributes_of(span) == attributes_of(other)
        assert [(e.name, e.time_unix_nano, e.attributes) for e in span.events] == [
            (e.name, e.time_unix_nano, e.attributes) for e in other.events
        ]
        assert [(k.trace_id, k.span_id, k.attributes, k.flags & 0x300) for k in span.links] == [
            (k.trace_id, k.span_id, k.attributes, k.flags & 0x300) for k in other.links
        ]
        assert (span.kind, span.status) == (other.kind, other.status)
        assert span.start_time_unix_nano == other.start_time_unix_nano
        if name != "renamed":
            assert span.end_time_unix_nano == other.end_time_unix_nano
        assert bool(span.parent_span_id) == bool(other.parent_span_id)
        assert span.dropped_attributes_count == other.dropped_attributes_count
    assert actual["child"].parent_span_id == actual["renamed"].span_id
    assert actual["child"].trace_id == actual["renamed"].trace_id


# -- parents, ids, flags --------------------------------------------------------------------------------------------------


def test_a_root_has_random_ids_and_says_so(recording: Recording) -> None:
    span = recording.tracer.start_span("root", context=Context())
    context = span.get_span_context()
    assert context.is_valid
    assert not context.is_remote
    assert context.trace_flags == 0x03
    assert context is span.get_span_context()
    span.end()
    sent = recording.only()
    assert (sent.trace_id, sent.span_id) == (context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big"))
    assert sent.parent_span_id == b""
    assert sent.flags == 0x103


def test_seeding_the_random_module_does_not_repeat_ids(recording: Recording) -> None:
    random.seed(1)
    first = recording.tracer.start_span("a", context=Context()).get_span_context()
    random.seed(1)
    second = recording.tracer.start_span("b", context=Context()).get_span_context()
    assert first.trace_id != second.trace_id


def test_a_remote_parent_is_followed_with_its_state_and_marked(recording: Recording) -> None:
    span = recording.tracer.start_span("child", context=remote_parent())
    assert span.get_span_context().trace_state.to_header() == "vendor=1"
    span.end()
    sent = recording.only()
    assert (sent.trace_id[-1], sent.parent_span_id[-1]) == (0xA1, 0xB2)
    assert sent.trace_state == "vendor=1"
    assert sent.flags == 0x303


def test_the_random_flag_of_a_parent_is_passed_on_and_never_invented(recording: Recording) -> None:
    span = recording.tracer.start_span("child", context=remote_parent(flags=0x01))
    assert span.get_span_context().trace_flags == 0x01
    span.end()


def test_an_unsampled_parent_makes_a_span_that_records_nothing(recording: Recording) -> None:
    span = recording.tracer.start_span("child", context=remote_parent(flags=0x02))
    assert not span.is_recording()
    assert span.get_span_context().trace_flags == 0x02
    assert span.get_span_context().trace_id == 0xA1
    assert span.get_span_context().span_id != 0xB2
    span.end()
    assert recording.spans() == []
    assert recording.provider.stats()["recorded"] == 0


def test_an_explicit_context_wins_over_the_current_span(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("current"):
        assert recording.tracer.start_span("own", context=Context()).parent is None  # type: ignore[attr-defined]


def test_a_child_is_timed_on_the_clock_of_its_local_root(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    before = time_ns()
    with recording.tracer.start_as_current_span("root"):
        # The wall clock is set back an hour in the middle of the trace.
        monkeypatch.setattr("clew.recorder._pure.time_ns", lambda: before - 3_600 * 10**9)
        with recording.tracer.start_as_current_span("child"):
            pass
    spans = {span.name: span for span in recording.spans()}
    root, child = spans["root"], spans["child"]
    assert before <= root.start_time_unix_nano <= child.start_time_unix_nano
    assert child.start_time_unix_nano <= child.end_time_unix_nano <= root.end_time_unix_nano


# -- attributes, limits -----------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class TextColour(StrEnum):
    BLUE = "blue"


class Sulking:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_values_of_foreign_types_become_what_otlp_can_carry(recording: Recording) -> None:
    span = recording.tracer.start_span("op")
    span.set_attributes(
        {
            "enum": Colour.RED,  # type: ignore[dict-item]
            "int enum": Level.HIGH,
            "text enum": TextColour.BLUE,
            "set": {1},  # type: ignore[dict-item]
            "huge": 2**70,
            "bytearray": bytearray(b"a"),
        }
    )
    endless: list[Any] = []
    endless.append(endless)
    span.set_attribute("endless", endless)
    span.end()
    sent = attributes_of(recording.only())
    assert sent["enum"].string_value == "Colour.RED"
    assert sent["int enum"].int_value == 3
    assert sent["text enum"].string_value == "blue"
    assert sent["set"].array_value.values[0].int_value == 1
    assert sent["huge"].string_value == str(2**70)
    assert sent["bytearray"].bytes_value == b"a"
    assert "endless" in sent


def test_a_list_changed_afterwards_is_recorded_as_it_was(recording: Recording) -> None:
    values = [1, 2]
    span = recording.tracer.start_span("op", attributes={"list": values})
    values.append(3)
    span.end()
    assert len(attributes_of(recording.only())["list"].array_value.values) == 2


def test_a_value_that_cannot_be_read_is_dropped_and_not_raised(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    span = recording.tracer.start_span("op")
    with pytest.raises(RuntimeError, match="no"):
        span.set_attribute("sulking", Sulking())  # type: ignore[arg-type]
    # Under pytest errors of the recorder show; in an application they do not.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    span.set_attribute("sulking", Sulking())  # type: ignore[arg-type]
    span.add_event("event", {"sulking": Sulking()})  # type: ignore[dict-item]
    span.record_exception(RuntimeError(Sulking()))
    span.end()
    sent = recording.only()
    # The first call raised before it could count; outside of tests none does.
    assert sent.dropped_attributes_count == 1
    assert sent.events[0].dropped_attributes_count == 1
    assert sent.events[1].name == "exception"


def test_limits_drop_what_comes_last_cut_what_is_long_and_count() -> None:
    limits = SpanLimits(2, 1, 1, 2, 1, 4, 3)
    recording = Recording(span_limits=limits)
    link = Link(SpanContext(1, 2, False), {"a": "abcdef", "b": 1})
    span = recording.tracer.start_span(
        "op", attributes={"a": "abcdef", "b": [b"abcdef", "ab"], "c": 1}, links=[link, link]
    )
    span.set_attribute("a", "ghijkl")
    for _ in range(3):
        span.add_event("e", {"a": "abcdef", "b": 1})
    span.end()
    sent = recording.only()
    assert attributes_of(sent)["a"].string_value == "ghij"
    assert [v.bytes_value or v.string_value for v in attributes_of(sent)["b"].array_value.values] == [b"abcd", "ab"]
    assert (sent.dropped_attributes_count, sent.dropped_events_count, sent.dropped_links_count) == (1, 1, 1)
    assert len(sent.events) == 2
    assert sent.events[0].attributes[0].value.string_value == "abc"
    assert sent.events[0].dropped_attributes_count == 1
    assert sent.links[0].attributes[0].value.string_value == "abc"
    assert sent.links[0].dropped_attributes_count == 1
    assert sent.links[0].flags == 0x100
    recording.provider.shutdown()


@pytest.mark.parametrize("time", [-1, 2**70, "now", None, 5.5])
def test_a_time_that_is_none_does_not_lose_the_span(recording: Recording, time: Any) -> None:
    recording.tracer.start_span("op", start_time=time).end(time)
    assert recording.only().name == "op"


def test_names_that_are_no_text_become_text(recording: Recording) -> None:
    span = recording.tracer.start_span(b"raw")  # type: ignore[arg-type]
    span.add_event(7)  # type: ignore[arg-type]
    span.end()
    sent = recording.only()
    assert (sent.name, sent.events[0].name) == ("b'raw'", "7")


# -- current spans, exceptions ----------------------------------------------------------------------------------------


def test_an_exception_is_recorded_once_and_passes_through(recording: Recording) -> None:
    error = ValueError("wrong")
    with pytest.raises(ValueError, match="wrong") as caught, recording.tracer.start_as_current_span("op"):
        raise error
    assert caught.value is error
    sent = recording.only()
    assert [event.name for event in sent.events] == ["exception"]
    recorded = {item.key: item.value.string_value for item in sent.events[0].attributes}
    assert recorded["exception.type"] == "ValueError"
    assert recorded["exception.message"] == "wrong"
    assert "raise error" in recorded["exception.stacktrace"]
    assert (sent.status.code, sent.status.message) == (2, "ValueError: wrong")


def test_leaving_by_no_error_is_no_error(recording: Recording) -> None:
    with pytest.raises(KeyboardInterrupt), recording.tracer.start_as_current_span("op"):
        raise KeyboardInterrupt
    sent = recording.only()
    assert (len(sent.events), sent.status.code) == (0, 0)


def test_a_span_as_context_manager_ends_and_records(recording: Recording) -> None:
    with pytest.raises(ValueError, match="wrong"), recording.tracer.start_span("op"):
        raise ValueError("wrong")
    with (
        pytest.raises(ValueError, match="wrong"),
        recording.tracer.start_span("quiet", record_exception=False, set_status_on_exception=False),
    ):
        raise ValueError("wrong")
    spans = {span.name: span for span in recording.spans()}
    assert (len(spans["op"].events), spans["op"].status.code) == (1, 2)
    assert (len(spans["quiet"].events), spans["quiet"].status.code) == (0, 0)


def test_the_span_is_current_inside_and_no_longer_after(recording: Recording) -> None:
    before = trace.get_current_span()
    with recording.tracer.start_as_current_span("op", end_on_exit=False) as span:
        assert trace.get_current_span() is span
    assert trace.get_current_span() is before
    assert span.is_recording()
    span.end()
    assert not span.is_recording()


def test_use_span_of_the_api_works_with_our_spans(recording: Recording) -> None:
    with (
        pytest.raises(ValueError, match="wrong"),
        trace.use_span(recording.tracer.start_span("op"), end_on_exit=True),
    ):
        raise ValueError("wrong")
    assert recording.only().status.code == 2


def test_as_decorator_every_call_has_a_span(recording: Recording) -> None:
    @recording.tracer.start_as_current_span("plain")
    def double(value: int) -> int:
        return value * 2

    @recording.tracer.start_as_current_span("async")
    async def triple(value: int) -> int:
        await asyncio.sleep(0)
        return value * 3

    assert [double(1), double(2)] == [2, 4]
    assert asyncio.run(triple(3)) == 9
    assert double.__name__ == "double"
    assert sorted(span.name for span in recording.spans()) == ["async", "plain", "plain"]


def test_tasks_keep_their_own_current_span(recording: Recording) -> None:
    async def work(name: str) -> None:
        with recording.tracer.start_as_current_span(name):
            await asyncio.sleep(0)
            with recording.tracer.start_as_current_span(f"{name} child"):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(both())
    spans = {span.name: span for span in recording.spans()}
    assert spans["a child"].parent_span_id == spans["a"].span_id
    assert spans["b child"].parent_span_id == spans["b"].span_id
    assert spans["a"].trace_id != spans["b"].trace_id


@pytest.mark.parametrize(
    "call",
    [
        lambda span: span.set_attribute("k", 1),
        lambda span: span.set_attributes({"k": 1}),
        lambda span: span.add_event("e"),
        lambda span: span.add_link(SpanContext(1, 2, False)),
        lambda span: span.update_name("n"),
        lambda span: span.set_status(StatusCode.ERROR),
        lambda span: span.record_exception(ValueError()),
        lambda span: span.end(),
    ],
)
def test_an_ended_span_no_longer_changes(recording: Recording, call: Callable[[Any], None]) -> None:
    span: Any = recording.tracer.start_span("op")
    span.end(span.start_time + 5)
    call(span)
    assert (span.name, dict(span.attributes), span.events, span.links) == ("op", {}, (), ())
    assert span.status.status_code is StatusCode.UNSET
    assert span.end_time == span.start_time + 5
    assert len(recording.spans()) == 1


def test_a_span_can_be_read(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("parent") as parent:
        span: Any = recording.tracer.start_span("op", kind=SpanKind.CLIENT, attributes={"k": 1})
    assert (span.name, span.kind, dict(span.attributes)) == ("op", SpanKind.CLIENT, {"k": 1})
    assert span.parent == parent.get_span_context()
    assert span.context == span.get_span_context()
    assert span.end_time is None
    assert span.resource.attributes["service.name"] == "test"
    scope = span.instrumentation_scope
    assert (scope.name, scope.version, scope.schema_url, dict(scope.attributes)) == (
        "tests",
        "1",
        "http://schema",
        {"of": "scope"},
    )
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (0, 0, 0)
    assert isinstance(span, trace.Span)


def test_the_same_scope_gives_the_same_tracer() -> None:
    provider = TracerProvider(resource={})
    assert provider.get_tracer("a", "1") is provider.get_tracer("a", "1")
    assert provider.get_tracer("a", "1") is not provider.get_tracer("a", "2")
    provider.get_tracer("without an exporter").start_span("goes nowhere").end()
    assert provider.stats() == {"recorded": 0, "sent": 0, "dropped": {}}
    provider.shutdown()
