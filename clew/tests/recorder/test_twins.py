"""The same calls to both twins: the same bytes, the same counts."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from opentelemetry.context import Context
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

from clew.otlp import encode
from clew.recorder import _select
from clew.recorder._select import PURE, Core
from clew.recorder.limits import SpanLimits
from clew.recorder.resource import Resource
from clew.recorder.sampler import AlwaysOff, AlwaysOn, ParentBased, TraceIdRatio
from clew.recorder.sdk.readable import Scope

NATIVE: Core = _select._select()[0]

pytestmark = pytest.mark.skipif(NATIVE.name != "native", reason="there is one twin only (test_native.py asks for both)")


@pytest.fixture(autouse=True)
def core() -> None:
    """Each test has both twins."""


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    WORD = "word"


class Odd:
    def __str__(self) -> str:
        return "odd"


class Ids:
    """Counts, so that both twins get the same."""

    def __init__(self) -> None:
        self.last = 0

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last * 0x1_0000_0001_0000_0001_0001

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last << 20


class Sink:
    resource = Resource({"service.name": "test"})

    def started(self, span: Any, parent_context: Context | None) -> None:
        raise AssertionError("not observed")

    ending = ended = started

    def is_ending(self, span: Any) -> bool:
        return False


texts = st.text(st.characters(codec=None), max_size=200)  # surrogates included
plain = st.one_of(
    texts,
    st.integers(),
    st.integers(-(1 << 63) - 2, (1 << 64) + 2),
    st.booleans(),
    st.floats(),
    st.none(),
    st.binary(max_size=200),
    st.sampled_from([Colour.RED, Number.ONE, Word.WORD, Odd(), bytearray(b"ab"), memoryview(b"cd"), 1 + 2j, range(3)]),
    st.frozensets(st.integers(), max_size=1),
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(texts | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.one_of(texts, st.sampled_from(["a", "b", "", Word.WORD, 1, None, b"k"]))
attributes = st.one_of(st.none(), st.dictionaries(st.one_of(texts, st.sampled_from(["a", "b"])), values, max_size=4))
times = st.one_of(st.integers(1, (1 << 64) - 1), st.sampled_from([0, -5, 1 << 70, 1.5, "no time"]))
states = st.sampled_from([None, TraceState([("a", "1")]), TraceState([("ot", "th:8"), ("b", "2")])])
contexts = st.builds(
    SpanContext,
    st.integers(0, (1 << 128) - 1),
    st.integers(0, (1 << 64) - 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    states,
)
statuses = st.one_of(
    st.tuples(st.sampled_from(StatusCode), st.none()),
    st.tuples(st.just(StatusCode.ERROR), texts),
    st.tuples(st.builds(Status, st.just(StatusCode.ERROR), texts), st.none()),
)
calls = st.one_of(
    st.tuples(st.just("set_attribute"), st.tuples(keys, values)),
    st.tuples(st.just("set_attributes"), st.tuples(attributes.filter(lambda one: one is not None))),
    st.tuples(st.just("add_event"), st.tuples(texts, attributes, times)),
    st.tuples(st.just("add_link"), st.tuples(contexts, attributes)),
    st.tuples(st.just("set_status"), statuses),
    st.tuples(st.just("update_name"), st.tuples(st.one_of(texts, st.integers()))),
)
limits = st.builds(
    SpanLimits,
    max_span_attributes=st.sampled_from([None, 0, 2, 128]),
    max_event_attributes=st.sampled_from([None, 0, 1]),
    max_link_attributes=st.sampled_from([None, 0, 1]),
    max_events=st.sampled_from([None, 0, 1]),
    max_links=st.sampled_from([None, 0, 1]),
    max_span_attribute_length=st.sampled_from([None, 0, 5]),
    max_attribute_length=st.sampled_from([None, 0, 5]),
)
samplers = st.sampled_from(
    [
        None,
        AlwaysOn(),
        AlwaysOff(),
        TraceIdRatio(0.5),
        ParentBased(AlwaysOn()),
        ParentBased(AlwaysOff()),
        ParentBased(TraceIdRatio(0.5)),
        ParentBased(TraceIdRatio(0.5), remote_parent_not_sampled=AlwaysOn(), local_parent_sampled=AlwaysOff()),
    ]
)
spans = st.fixed_dictionaries(
    {
        "name": st.one_of(texts, st.integers(), st.none()),
        "kind": st.sampled_from([*SpanKind, 3, "server"]),
        "parent": st.one_of(st.none(), contexts, st.just("previous")),
        "attributes": attributes,
        "links": st.lists(contexts, max_size=2),
        "start": times,
        "end": times,
        "calls": st.lists(calls, max_size=6),
    }
)


def outcome(core: Core, limit: SpanLimits, sampler: Any, given_spans: list[dict[str, Any]]) -> Any:
    buffer = core.Buffer(1000, 1 << 24, 1000, lambda: None)
    scope = Scope("näme", "1", "http://schema", {"of": "scope"})
    tracer = core.Tracer(Sink(), scope, limit, sampler, Ids(), buffer, False)
    previous: Any = None
    seen: list[Any] = []
    for one in given_spans:
        parent = one["parent"]
        context = Context()
        if isinstance(parent, SpanContext):
            context = set_span_in_context(NonRecordingSpan(parent), context)
        elif parent is not None and previous is not None:
            context = set_span_in_context(previous, context)
        span = previous = tracer.start_span(
            one["name"], context, one["kind"], one["attributes"], [Link(link) for link in one["links"]], one["start"]
        )
        for method, arguments in one["calls"]:
            getattr(span, method)(*arguments)
        span.end(one["end"])
        seen.append((span.get_span_context(), span.is_recording(), isinstance(span, NonRecordingSpan)))
        if not isinstance(span, NonRecordingSpan):
            seen.append((span.name, span.kind, span.parent, span.start_time, span.end_time, repr(span.attributes)))
            seen.append((span.dropped_attributes, span.dropped_events, span.dropped_links, span.to_json()))
    return seen, buffer.held, buffer.take(1000, 1 << 30), buffer.stats()


@given(limits, samplers, st.lists(spans, max_size=4))
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore")
def test_the_same_calls_make_the_same_bytes(limit: SpanLimits, sampler: Any, given_spans: list[dict[str, Any]]) -> None:
    assert outcome(NATIVE, limit, sampler, given_spans) == outcome(PURE, limit, sampler, given_spans)


@pytest.mark.parametrize("length", [0, 1, 100, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16383, 16384, 70000])
def test_lengths_around_the_sizes_of_varints_are_written_alike(length: int) -> None:
    given_spans = [
        {
            "name": "n" * length,
            "kind": SpanKind.CLIENT,
            "parent": None,
            "attributes": {
                "k" * length: "v" * length,
                "list": ["v" * length, {"k": "é" * length}],
                "raw": b"r" * length,
            },
            "links": [],
            "start": 1,
            "end": 2,
            "calls": [
                ("add_event", ("e" * length, {"k": "v" * length}, 3)),
                ("set_status", (StatusCode.ERROR, "m" * length)),
                ("set_attribute", ("j" * length, True)),
                ("set_attribute", ("i" * length, 1 << 40)),
            ],
        }
    ]
    both = [outcome(core, SpanLimits(), None, given_spans) for core in (NATIVE, PURE)]
    assert both[0] == both[1]


class Buffers(RuleBasedStateMachine):
    """Both twins' buffers, told the same."""

    @initialize(
        max_spans=st.integers(1, 12),
        max_bytes=st.integers(1, 400),
        urgent=st.integers(2, 8),
        urgent_bytes=st.sampled_from([0, 50, 200]),
        max_span_bytes=st.sampled_from([0, 30, 100]),
        drop_oldest=st.booleans(),
    )
    def begin(self, max_spans: int, max_bytes: int, urgent: int, **options: Any) -> None:
        self.woken: dict[str, int] = {"native": 0, "pure": 0}
        self.both = [
            core.Buffer(max_spans, max_bytes, urgent, self.counter(core.name), **options) for core in (NATIVE, PURE)
        ]
        assert self.both[0].max_span_bytes == self.both[1].max_span_bytes
        # The users of each number.
        self.scopes = [0]
        assert [one.scope(b"", "") for one in self.both] == [0, 0]

    def counter(self, name: str) -> Any:
        def wake() -> None:
            self.woken[name] += 1

        return wake

    def same(self, method: str, *arguments: Any) -> Any:
        first, second = [getattr(one, method)(*arguments) for one in self.both]
        assert first == second
        return first

    @rule(scope=st.binary(max_size=3), schema=st.sampled_from(["", "s", "t"]))
    def scope(self, scope: bytes, schema: str) -> None:
        self.scopes.append(self.same("scope", scope, schema))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if len(self.scopes) > 1:
            self.same("release", self.scopes.pop(data.draw(st.integers(0, len(self.scopes) - 1))))

    @rule(data=st.data(), name=st.text(max_size=20), attribute=st.text(max_size=150))
    def add(self, data: st.DataObject, name: str, attribute: str) -> None:
        number = data.draw(st.sampled_from(self.scopes))
        span = encode.span_in_scope(
            1, 2, "", 0, name, 1, 3, 4, {"a": attribute} if attribute else {}, 0, b"", b"", 0, "", 0x101
        )
        self.same("add", number, span)

    @rule(
        spans=st.integers(1, 12),
        size=st.integers(0, 300),
        resource=st.sampled_from([(), (b"r",), (b"r" * 200, "u" * 200), (b"", "u")]),
    )
    def take(self, spans: int, size: int, resource: tuple[Any, ...]) -> None:
        self.same("take", spans, size, *resource)

    @rule(spans=st.integers(0, 3))
    def sent(self, spans: int) -> None:
        self.same("count_sent", spans)

    @rule(spans=st.integers(0, 3), reason=st.sampled_from(["a", "buffer_full", "shutdown"]))
    def dropped(self, spans: int, reason: str) -> None:
        self.same("count_dropped", reason, spans)

    @rule()
    def lost(self) -> None:
        self.same("count_lost", "encoding")

    @rule()
    def write_off(self) -> None:
        self.same("write_off", "shutdown")

    @rule(often=st.integers(0, 9))
    def close(self, often: int) -> None:
        if not often:
            self.same("close", "shutdown")

    @rule(often=st.integers(0, 9))
    def reset(self, often: int) -> None:
        if not often:
            self.same("reset")

    @invariant()
    def alike(self) -> None:
        if hasattr(self, "both"):
            assert self.both[0].held == self.both[1].held
            assert self.both[0].stats() == self.both[1].stats()
            assert self.woken["native"] == self.woken["pure"]


def test_both_buffers_do_the_same_whatever_they_are_told() -> None:
    run_state_machine_as_test(Buffers, settings=settings(max_examples=150, stateful_step_count=40))


@pytest.mark.parametrize("most", [1, 7, 300, 999, 10_000])
@pytest.mark.parametrize("drop_oldest", [False, True])
def test_batches_across_many_chunks_of_memory_are_the_same(most: int, drop_oldest: bool) -> None:
    both = [core.Buffer(3_000, 1 << 20, 10_000, lambda: None, drop_oldest=drop_oldest) for core in (NATIVE, PURE)]
    for one in both:
        scopes = [one.scope(f"scope {n}".encode(), "url" * (n % 2)) for n in range(5)]
        for n in range(4_000):
            one.add(scopes[n % 5 if n % 3 else 0], bytes([n % 251]) * (1 + n * 37 % 900))
    while True:
        taken = [one.take(most, 200_000, b"resource", "http://schema") for one in both]
        assert taken[0] == taken[1]
        assert both[0].held == both[1].held
        assert both[0].stats() == both[1].stats()
        if not taken[0][0]:
            break
