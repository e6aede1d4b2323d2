"""The same calls to clew's tracer and to the SDK's: the messages sent, field by field, and all that is meant to differ.

What differs on purpose is listed here, with the reason, and each of it is tested beneath by what both do:

1. A value or name the SDK's exporter fails on is sent as text: an integer outside 64 bits as its digits (common
   specification), lone surrogates as `?`. The SDK loses the attribute, or with a name the whole request.
2. `bytes` obey the limit on lengths, as the specification asks; so does the text of other objects. The SDK cuts
   strings only.
3. `bytearray` and `memoryview` are bytes, a set is a list; the SDK sends lists of numbers, and the set's text.
4. An object without a text of its own is its `repr`; the SDK sends an empty value. A value whose own methods raise is
   dropped and counted; the SDK lets the exception into the application.
5. Beyond 16 levels a value is text, so that one that holds itself ends; the SDK raises RecursionError.
6. A key that is no string is dropped and counted; the SDK does so in `set_attribute` and takes its text elsewhere.
7. Past a limit the newest attribute, event or link is dropped: what a span begins with (route, peer) is what it is
   found by. The SDK drops the oldest.
8. An attribute that is set again keeps its place; the SDK moves it to the end. OTLP gives the order no meaning.
9. `flags` of spans and links have the W3C flags in their low 8 bits, and links have their trace state, as OTLP
   describes them; the SDK's exporter sends neither.
10. `end(0)`, or an end that is no time, ends the span at its start; the SDK sends 0, or fails.
11. A status that was never set, and a link's id of zero, take no bytes; the SDK sends an empty message and zeros,
    which say the same.
12. The stack trace of an exception that leaves `start_as_current_span` has the application's frames only; in the SDK's
    those of its own context managers come first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.sdk.trace import SpanLimits as SdkSpanLimits
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from clew.recorder import _select
from clew.recorder._select import PURE, Core
from clew.recorder.limits import ONLY_SIMPLE, SpanLimits
from clew.recorder.resource import Resource
from clew.recorder.sdk.readable import Scope

CORES: list[Core] = list({core.name: core for core in (_select._select()[0], PURE)}.values())

pytestmark = pytest.mark.skipif(ONLY_SIMPLE, reason="the API that is installed has simple attributes only")


@pytest.fixture(autouse=True)
def core() -> None:
    """Each test has every twin."""


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    # Both say what they are told wrongly, thousands of times.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# -- both recorders, with the same ids --------------------------------------------------------------------------------------


class Ids(IdGenerator):
    """Counts, and spreads traces so that a ratio keeps some."""

    def __init__(self) -> None:
        self.last = 0

    def generate_trace_id(self) -> int:
        self.last += 1
        return (self.last * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128) or 1

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last << 20

    def is_trace_id_random(self) -> bool:
        return True


class Sink:
    resource = Resource({"service.name": "test"})

    def is_ending(self, span: Any) -> bool:
        return False


class Ours:
    """One of clew's twins, and what it would send."""

    is_sdk = False

    def __init__(self, core: Core, limits: SpanLimits, sampler: Sampler | None) -> None:
        self._buffer = core.Buffer(1000, 1 << 24, 1000, lambda: None)
        scope = Scope("scope", "1", "http://schema", {"of": "scope"})
        self.tracer = core.Tracer(Sink(), scope, limits, sampler, Ids(), self._buffer, False)

    def sent(self) -> ExportTraceServiceRequest:
        count, request = self._buffer.take(1000, 1 << 30)
        stats = self._buffer.stats()
        assert (stats["recorded"], stats["dropped"]) == (count, {})
        return ExportTraceServiceRequest.FromString(request)


class Theirs:
    """The SDK, and what its OTLP exporter would send."""

    is_sdk = True

    def __init__(self, limits: SpanLimits, sampler: Sampler | None) -> None:
        self._memory = InMemorySpanExporter()
        kept = {
            name: _NO_LIMIT if value is None else value
            for name, value in vars(limits).items()
            if not name.endswith("length")
        }
        lengths = {name: value for name, value in vars(limits).items() if name.endswith("length")}
        provider = TracerProvider(
            sampler or ParentBased(ALWAYS_ON),
            id_generator=Ids(),
            span_limits=SdkSpanLimits(**kept, **lengths),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.tracer = provider.get_tracer("scope", "1", schema_url="http://schema", attributes={"of": "scope"})

    def sent(self) -> ExportTraceServiceRequest:
        return encode_spans(self._memory.get_finished_spans())


# For the SDK's limits None is the default.
_NO_LIMIT = 1 << 30


def spans_of(request: ExportTraceServiceRequest) -> list[ProtoSpan]:
    spans = [
        span
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert len({span.span_id for span in spans}) == len(spans)
    return spans


# -- what calls say -----------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    WORD = "word"


class Odd:
    def __str__(self) -> str:
        return "odd one"


class Uncut(str):
    """Text that the SDK does not cut, which asks for the length first."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


def text_for_sdk(text: Any) -> str:
    return str(text).encode("utf-8", "replace").decode()


def value_for_sdk(value: Any, max_length: int | None) -> Any:
    """What the SDK has to be told to send what clew sends for `value`: differences 1 to 3."""
    if isinstance(value, str):
        return text_for_sdk(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return Uncut(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)[:max_length]
    if isinstance(value, Mapping):
        return {
            text_for_sdk(key) if isinstance(key, str) else key: value_for_sdk(item, max_length)
            for key, item in value.items()
        }
    if isinstance(value, Sequence | set | frozenset):
        return [value_for_sdk(item, max_length) for item in value]
    return str(value)


texts = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(["\ud800", "a\udfffb", "é" * 9, ""])
plain = st.one_of(
    texts,
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, -1, 1 << 63, -(1 << 63) - 1, 10**100, (1 << 64) - 1]),
    st.booleans(),
    st.floats(),
    st.none(),
    st.binary(max_size=20),
    st.sampled_from([Colour.RED, Number.ONE, Word.WORD, Odd(), Decimal("1.50"), 1 + 2j, range(3)]),
    st.sampled_from([bytearray(b"bytes"), memoryview(b"memory"), frozenset(["one"])]),
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["a", "b", "", "ключ", 1, 0]), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(["a", "b", "c", "d", "http.route", "ключ", "\ud800", ""])
attributes = st.one_of(st.none(), st.dictionaries(keys, values, max_size=5))
times = st.integers(1, (1 << 64) - 1)
states = st.sampled_from([None, TraceState(), TraceState([("a", "1")]), TraceState([("ot", "th:8"), ("b", "2")])])
contexts = st.builds(
    SpanContext,
    st.sampled_from([0, 1, 0x0AF7651916CD43DD8448EB211C80319C, (1 << 128) - 1]) | st.integers(1, (1 << 128) - 1),
    st.sampled_from([0, 1, (1 << 64) - 1]) | st.integers(1, (1 << 64) - 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    states,
)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        try:
            if cause is not None:
                raise cause
        finally:
            raise error
    except BaseException as caught:
        return caught


exceptions = st.sampled_from(
    [
        raised(ValueError("bad")),
        raised(KeyError("é"), cause=OSError(2, "gone")),
        raised(ExceptionGroup("several", [ValueError("one"), raised(TypeError("two"))])),
        raised(KeyboardInterrupt()),
        type("Local", (Exception,), {"__module__": "shop.till"})("never raised"),
        type("Homeless", (Exception,), {"__module__": None})("of no module"),
    ]
)
statuses = st.one_of(
    st.tuples(st.sampled_from(StatusCode), st.none() | texts),
    st.tuples(st.builds(Status, st.sampled_from(StatusCode)), st.none() | texts),
    st.tuples(st.builds(Status, st.just(StatusCode.ERROR), st.sampled_from(["told", ""])), st.none()),
)
calls = st.one_of(
    st.tuples(st.just("set_attribute"), st.tuples(keys | st.sampled_from([1, None, b"k"]), values)),
    st.tuples(st.just("set_attributes"), st.tuples(st.dictionaries(keys, values, max_size=4))),
    st.tuples(st.just("add_event"), st.tuples(texts, attributes, times)),
    st.tuples(st.just("add_link"), st.tuples(contexts, attributes)),
    st.tuples(st.just("record_exception"), st.tuples(exceptions, attributes, times, st.booleans())),
    st.tuples(st.just("set_status"), statuses),
    st.tuples(st.just("update_name"), st.tuples(texts)),
    st.tuples(st.just("__exit__"), st.tuples(exceptions)),
    st.tuples(st.just("end"), st.tuples(times)),
)
starts = st.fixed_dictionaries(
    {
        "name": texts,
        "kind": st.sampled_from(SpanKind),
        "parent": st.none() | contexts | st.integers(0, 9),
        "attributes": attributes,
        "links": st.none() | st.lists(st.tuples(contexts, attributes), max_size=3),
        "start_time": times,
        "record_exception": st.booleans(),
        "set_status_on_exception": st.booleans(),
    }
)
programs = st.lists(
    st.one_of(starts, st.tuples(st.integers(0, 9), calls), st.tuples(st.integers(0, 9), calls)), max_size=24
)
lengths = st.sampled_from([None, 0, 1, 5])
samplers = st.sampled_from(
    [
        None,
        ALWAYS_ON,
        ALWAYS_OFF,
        TraceIdRatioBased(0.5),
        ParentBased(TraceIdRatioBased(0.5)),
        ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON, local_parent_sampled=ALWAYS_OFF),
    ]
)


# -- the calls -------------------------------------------------------------------------------------------------------------


def perform(recorder: Ours | Theirs, limits: SpanLimits, program: Sequence[Any]) -> list[Any]:
    """Do what the program says; each span's context, and whether it recorded, as the application sees them."""
    spans: list[Any] = []
    span_length, length = limits.max_span_attribute_length, limits.max_attribute_length

    def told(items: Any, max_length: int | None = length) -> Any:
        return value_for_sdk(items, max_length) if recorder.is_sdk and items is not None else items

    def name(given: Any) -> Any:
        return text_for_sdk(given) if recorder.is_sdk and given is not None else given

    for step in program:
        if isinstance(step, dict):
            parent = step["parent"]
            context = Context()
            if isinstance(parent, SpanContext):
                context = set_span_in_context(NonRecordingSpan(parent), context)
            elif parent is not None and spans:
                context = set_span_in_context(spans[parent % len(spans)], context)
            links = step["links"]
            started = dict(
                step,
                name=name(step["name"]),
                attributes=told(step["attributes"], span_length),
                links=links and [Link(linked, told(items)) for linked, items in links],
            )
            del started["parent"]
            spans.append(recorder.tracer.start_span(context=context, **started))
            continue
        number, (method, arguments) = step
        if not spans:
            continue
        span = spans[number % len(spans)]
        first, *rest = arguments
        if method == "set_attribute":
            key = name(first) if isinstance(first, str) else first
            span.set_attribute(key, told(rest[0], span_length))
        elif method == "set_attributes":
            span.set_attributes(told(first, span_length))
        elif method == "add_event":
            span.add_event(name(first), told(rest[0]), rest[1])
        elif method == "add_link":
            span.add_link(first, told(rest[0]))
        elif method == "record_exception":
            span.record_exception(first, told(rest[0]), *rest[1:])
        elif method == "set_status":
            span.set_status(first, name(rest[0]))
        elif method == "update_name":
            span.update_name(name(first))
        elif method == "__exit__":
            # Ends the span now, and records an event of now: both clocks are put aside when messages are compared.
            span.__exit__(type(first), first, first.__traceback__)
        else:
            span.end(first)
    for span in spans:
        span.end(1 << 40)
        span.set_attribute("after", "the end")
    return [(span.get_span_context(), isinstance(span, NonRecordingSpan)) for span in spans]


def alike(span: ProtoSpan, now_ns: int) -> str:
    """A message as text, without differences 8, 9 and 11, and "now" for every time within a minute of it."""
    same = ProtoSpan()
    same.CopyFrom(span)
    same.flags &= ~0xFF
    for link in same.links:
        link.flags &= ~0xFF
        link.trace_state = ""
        link.trace_id, link.span_id = (
            link.trace_id.strip(b"\0") and link.trace_id,
            link.span_id.strip(b"\0") and link.span_id,
        )
    for one in (same, *same.events, *same.links):
        one.attributes.sort(key=lambda item: item.key)
    for timed, field in [(same, "end_time_unix_nano"), *((event, "time_unix_nano") for event in same.events)]:
        if abs(getattr(timed, field) - now_ns) < 60e9:
            setattr(timed, field, now_ns)
    if not same.status.ByteSize():
        same.ClearField("status")
    return str(same)  # of messages, NaN is equal to nothing


@settings(max_examples=400)
@given(programs, samplers, lengths, lengths)
def test_the_same_calls_send_the_same_messages(
    program: list[Any], sampler: Sampler | None, span_length: int | None, length: int | None
) -> None:
    limits = SpanLimits(max_span_attribute_length=span_length, max_attribute_length=length)
    theirs = Theirs(limits, sampler)
    now_ns = time.time_ns()
    expected_seen = perform(theirs, limits, program)
    expected = theirs.sent()
    for core in CORES:
        ours = Ours(core, limits, sampler)
        assert perform(ours, limits, program) == expected_seen
        request = ours.sent()
        actual = spans_of(request)
        assert [alike(span, now_ns) for span in actual] == [alike(span, now_ns) for span in spans_of(expected)]
        if actual:
            [[mine], [other]] = [one.resource_spans[0].scope_spans for one in (request, expected)]
            assert (mine.scope, mine.schema_url) == (other.scope, other.schema_url)


class Leaves(Exception):
    """Raised inside a block."""


blocks = st.lists(
    st.tuples(
        texts,
        st.sampled_from(SpanKind),
        st.sampled_from([None, None, Leaves("left"), ValueError("\u00e9"), KeyboardInterrupt(), GeneratorExit()]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def nest(tracer: Any, remaining: list[Any]) -> None:
    """Blocks inside each other; each may be left by an exception, which ends there."""
    if not remaining:
        return
    name, kind, error, record, set_status = remaining[0]
    try:
        with tracer.start_as_current_span(
            name, kind=kind, start_time=1, record_exception=record, set_status_on_exception=set_status
        ) as span:
            nest(tracer, remaining[1:])
            if error is not None:
                raise error.with_traceback(None)
            span.set_attribute("got", "here")
    except BaseException as caught:
        if caught is not error:
            raise


@given(blocks)
def test_blocks_inside_each_other_send_the_same(nested: list[Any]) -> None:
    nested = [(text_for_sdk(name), *rest) for name, *rest in nested]
    theirs = Theirs(SpanLimits(), None)
    now_ns = time.time_ns()
    nest(theirs.tracer, nested)
    expected = spans_of(theirs.sent())
    for core in CORES:
        ours = Ours(core, SpanLimits(), None)
        nest(ours.tracer, nested)
        actual = spans_of(ours.sent())
        for span in (*actual, *expected):
            for event in span.events:
                for one in event.attributes:
                    if one.key == "exception.stacktrace":
                        # Where it was raised, and what.
                        one.value.string_value = "\n".join(one.value.string_value.splitlines()[-2:])
        assert [alike(span, now_ns) for span in actual] == [alike(span, now_ns) for span in expected]


# -- limits ---------------------------------------------------------------------------------------------------------------

counts = st.sampled_from([None, 0, 1, 2])
timed_calls = st.tuples(st.integers(0, 9), calls.filter(lambda call: call[0] != "__exit__"))


@settings(max_examples=150)
@given(starts, st.lists(timed_calls, max_size=24), counts, counts, counts, counts, counts)
def test_past_a_limit_clew_keeps_the_first_and_the_sdk_the_last_and_both_count_the_rest(
    start: dict[str, Any],
    told: list[Any],
    attributes: int | None,
    event_attributes: int | None,
    link_attributes: int | None,
    events: int | None,
    links: int | None,
) -> None:
    limits = SpanLimits(attributes, event_attributes, link_attributes, events, links)
    none = SpanLimits(None, None, None, None, None)
    program = [dict(start, parent=None), *told]

    def span_of(recorder: Ours | Theirs, limit: SpanLimits) -> ProtoSpan:
        perform(recorder, limit, program)
        [span] = spans_of(recorder.sent())
        return span

    theirs = span_of(Theirs(limits, None), limits)
    for core in CORES:
        span, full = span_of(Ours(core, limits, None), limits), span_of(Ours(core, none, None), none)
        assert list(span.attributes) == list(full.attributes[:attributes])
        lost = len(full.attributes) - len(span.attributes)
        # Each time it is set, an attribute past the limit is dropped.
        assert span.dropped_attributes_count >= full.dropped_attributes_count + lost
        assert len(span.attributes) == len(theirs.attributes)
        for field, most, most_attributes in [("events", events, event_attributes), ("links", links, link_attributes)]:
            every, kept, kept_there = [getattr(one, field) for one in (full, span, theirs)]
            assert len(kept) == len(kept_there) == min(len(every), len(every) if most is None else most)
            for one, whole in zip(kept, every, strict=False):
                assert (getattr(one, "name", ""), getattr(one, "trace_id", b"")) == (
                    getattr(whole, "name", ""),
                    getattr(whole, "trace_id", b""),
                )
                assert list(one.attributes) == list(whole.attributes[:most_attributes])
                assert one.dropped_attributes_count == (
                    whole.dropped_attributes_count + len(whole.attributes) - len(one.attributes)
                )
            if field == "events":
                assert [one.name for one in kept_there] == [one.name for one in every][len(every) - len(kept) :]
        assert span.dropped_events_count == theirs.dropped_events_count == len(full.events) - len(span.events)
        assert span.dropped_links_count == theirs.dropped_links_count == len(full.links) - len(span.links)


# -- each difference ------------------------------------------------------------------------------------------------------


def both(do: Any, limits: SpanLimits | None = None) -> tuple[ProtoSpan, ProtoSpan]:
    """The span of `do(tracer)` as clew's twins send it, which are alike, and as the SDK does."""
    limits = limits or SpanLimits()
    sent = []
    for recorder in [*(Ours(core, limits, None) for core in CORES), Theirs(limits, None)]:
        do(recorder.tracer)
        sent.append(spans_of(recorder.sent())[0])
    *ours, theirs = sent
    assert all(one == ours[0] for one in ours)
    return ours[0], theirs


def value_sent(value: Any, limits: SpanLimits | None = None) -> tuple[str, str]:
    """An attribute's value as it is sent, on one line, by clew and by the SDK; "" where it is lost."""

    def record(tracer: Any) -> None:
        tracer.start_span("span", attributes={"key": value}, start_time=1).end(2)

    return tuple(
        " ".join(str(one.attributes[0].value).split()) if one.attributes else "" for one in both(record, limits)
    )  # type: ignore[return-value]


class Nothing:
    """Has no text of its own."""


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("broken")


def test_1_what_otlp_has_no_form_for_is_text() -> None:
    assert value_sent(1 << 63) == ('string_value: "9223372036854775808"', "")
    assert value_sent([1, -(1 << 70)])[1] == ""
    assert value_sent("a\ud800") == ('string_value: "a?"', "")
    ours = Ours(CORES[0], SpanLimits(), None)
    ours.tracer.start_span("\ud800").end()
    assert spans_of(ours.sent())[0].name == "?"
    theirs = Theirs(SpanLimits(), None)
    theirs.tracer.start_span("\ud800").end()
    with pytest.raises(UnicodeEncodeError):
        theirs.sent()


def test_2_bytes_and_the_text_of_objects_are_cut_at_the_limit() -> None:
    limits = SpanLimits(max_attribute_length=3)
    assert value_sent("long text", limits) == ('string_value: "lon"', 'string_value: "lon"')
    assert value_sent(b"long text", limits) == ('bytes_value: "lon"', 'bytes_value: "long text"')
    assert value_sent(Odd(), limits) == ('string_value: "odd"', 'string_value: "odd one"')


def test_3_what_holds_bytes_is_bytes_and_a_set_is_a_list() -> None:
    assert value_sent(bytearray(b"a"))[0] == value_sent(memoryview(b"a"))[0] == 'bytes_value: "a"'
    assert value_sent(bytearray(b"a"))[1] == "array_value { values { int_value: 97 } }"
    assert value_sent({1}) == ("array_value { values { int_value: 1 } }", 'string_value: "{1}"')


def test_4_an_object_without_a_text_is_its_repr_and_one_that_raises_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = value_sent(Nothing())
    assert "test_same_as_sdk.Nothing object at" in ours
    assert theirs == ""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under pytest clew lets failures through
    for core in CORES:
        recorder = Ours(core, SpanLimits(), None)
        recorder.tracer.start_span("span", attributes={"broken": Broken(), "kept": 1}).end()
        [span] = spans_of(recorder.sent())
        assert ([one.key for one in span.attributes], span.dropped_attributes_count) == (["kept"], 1)
    with pytest.raises(RuntimeError, match="broken"):
        Theirs(SpanLimits(), None).tracer.start_span("span", attributes={"broken": Broken()})


def test_5_a_value_that_holds_itself_ends_in_text() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for core in CORES:
        recorder = Ours(core, SpanLimits(), None)
        recorder.tracer.start_span("span", attributes={"circle": circle}).end()
        value = spans_of(recorder.sent())[0].attributes[0].value
        depth = 0
        while value.HasField("array_value"):
            value, depth = value.array_value.values[0], depth + 1
        assert (depth, value.string_value) == (16, "[[...]]")
    with pytest.raises(RecursionError):
        Theirs(SpanLimits(), None).tracer.start_span("span", attributes={"circle": circle})


def test_6_a_key_that_is_no_string_is_dropped_wherever_it_is_given() -> None:
    def record(tracer: Any) -> None:
        span = tracer.start_span("span", attributes={1: "a"}, start_time=1)
        span.set_attribute(2, "b")
        span.set_attributes({3: "c"})
        span.end(2)

    ours, theirs = both(record)
    assert (len(ours.attributes), ours.dropped_attributes_count) == (0, 3)
    assert ([one.key for one in theirs.attributes], theirs.dropped_attributes_count) == (["1", "3"], 1)


def test_7_past_the_limit_the_newest_attribute_is_dropped() -> None:
    def record(tracer: Any) -> None:
        tracer.start_span("span", attributes={"a": 1, "b": 2, "c": 3}, start_time=1).end(2)

    ours, theirs = both(record, SpanLimits(max_span_attributes=2))
    assert [one.key for one in ours.attributes] == ["a", "b"]
    assert [one.key for one in theirs.attributes] == ["b", "c"]
    assert ours.dropped_attributes_count == theirs.dropped_attributes_count == 1


def test_8_an_attribute_that_is_set_again_keeps_its_place() -> None:
    def record(tracer: Any) -> None:
        span = tracer.start_span("span", attributes={"a": 1, "b": 2}, start_time=1)
        span.set_attribute("a", 3)
        span.end(2)

    ours, theirs = both(record)
    assert [(one.key, one.value.int_value) for one in ours.attributes] == [("a", 3), ("b", 2)]
    assert [(one.key, one.value.int_value) for one in theirs.attributes] == [("b", 2), ("a", 3)]


def test_9_flags_have_the_w3c_flags_and_links_their_trace_state() -> None:
    linked = SpanContext(1, 2, True, TraceFlags(1), TraceState([("a", "1")]))

    def record(tracer: Any) -> None:
        tracer.start_span("span", Context(), links=[Link(linked)], start_time=1).end(2)

    ours, theirs = both(record)
    assert (ours.flags, ours.links[0].flags, ours.links[0].trace_state) == (0x103, 0x301, "a=1")
    assert (theirs.flags, theirs.links[0].flags, theirs.links[0].trace_state) == (0x100, 0x300, "")


def test_10_an_end_that_is_no_time_is_the_start() -> None:
    ours, theirs = both(lambda tracer: tracer.start_span("span", start_time=7).end(0))
    assert (ours.end_time_unix_nano, theirs.end_time_unix_nano) == (7, 0)


def test_11_what_was_never_set_takes_no_bytes() -> None:
    nowhere = SpanContext(0, 0, False, TraceFlags(0), TraceState([("a", "1")]))
    ours, theirs = both(lambda tracer: tracer.start_span("span", links=[Link(nowhere)], start_time=1).end(2))
    assert (ours.HasField("status"), theirs.HasField("status")) == (False, True)
    assert ours.status == theirs.status
    assert (ours.links[0].trace_id, theirs.links[0].trace_id) == (b"", bytes(16))


@pytest.mark.parametrize("value", [10**5000, [10**5000], {"k": -(10**5000)}], ids=["one", "list", "map"])
def test_no_number_is_too_long_to_be_sent(value: Any) -> None:
    # In decimal it would be refused, for that takes quadratic time.
    for core in CORES:
        recorder = Ours(core, SpanLimits(), None)
        recorder.tracer.start_span("span", attributes={"huge": value, "kept": 1}).end()
        [span] = spans_of(recorder.sent())
        assert [one.key for one in span.attributes] == ["huge", "kept"]
        assert hex(10**5000) in str(span.attributes[0])


def test_12_a_stack_trace_has_the_applications_frames_only() -> None:
    def record(tracer: Any) -> None:
        with pytest.raises(Leaves), tracer.start_as_current_span("span", start_time=1):
            raise Leaves

    traces = []
    for recorder in [*(Ours(core, SpanLimits(), None) for core in CORES), Theirs(SpanLimits(), None)]:
        record(recorder.tracer)
        [event] = spans_of(recorder.sent())[0].events
        [trace] = [one.value.string_value for one in event.attributes if one.key == "exception.stacktrace"]
        traces.append(trace)
    *ours, theirs = traces
    assert all(trace.count("  File ") == 1 and "in record" in trace for trace in ours)
    assert theirs.count("  File ") > 1
    assert theirs.endswith(ours[0].splitlines()[-1] + "\n")


@pytest.mark.parametrize(
    "given", [None, 5, "text", [5], object(), Broken(), Exception], ids=lambda given: str(type(given))
)
def test_whatever_is_passed_nothing_raises_into_the_application(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under pytest clew lets failures through
    for core in CORES:
        recorder = Ours(core, SpanLimits(), None)
        span = recorder.tracer.start_span("span")
        for method in (
            "set_attributes",
            "set_status",
            "add_link",
            "add_event",
            "record_exception",
            "update_name",
        ):
            getattr(span, method)(given)
        span.set_attribute("key", given)
        span.set_attribute(given, 1)
        span.set_status(StatusCode.ERROR, given)
        span.add_event("event", given, given)
        span.add_link(SpanContext(1, 2, False), given)
        span.record_exception(ValueError("bad"), given, given, given)
        span.end(given)
        for argument in ("name", "context", "kind", "attributes", "links", "start_time"):
            recorder.tracer.start_span(**{"name": "child", argument: given}).end()
        assert len(spans_of(recorder.sent())) == 7
