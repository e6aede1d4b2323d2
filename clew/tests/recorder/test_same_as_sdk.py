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
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import assume, given, settings
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
from clew.recorder.readable import Scope
from clew.recorder.resource import Resource

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
