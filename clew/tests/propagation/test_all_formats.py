"""What every format promises: what is sent is read again, and nothing that is sent does harm."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context
from opentelemetry.trace.propagation import _SPAN_KEY

from clew.carriers import AsgiCarrier, DictCarrier, GrpcCarrier, HttpxCarrier, WsgiCarrier, getter, setter
from clew.propagation import (
    BaggagePropagator,
    TraceContextPropagator,
    W3CTraceState,
    peer_service,
    propagators_from_names,
)
from clew.recorder.provider import TracerProvider
from clew.recorder.sampler import ParentBased, RateLimited

TRACES = [
    "tracecontext",
    "b3",
    "b3multi",
    "jaeger",
    "skywalking",
    "pinpoint",
    "cat",
    "eagleeye",
    "sofatracer",
    "opencensus",
    "datadog",
    "sentry",
    "xray",
]
WITH_BAGGAGE = ["baggage", "jaeger", "skywalking", "eagleeye", "sofatracer"]
HEADERS = [
    *("traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"),
    *("uber-trace-id", "jaeger-debug-id", "jaeger-baggage", "uberctx-k", "sw8", "sw8-correlation", "sw8-x"),
    *("pinpoint-traceid", "pinpoint-spanid", "pinpoint-pspanid", "pinpoint-sampled", "pinpoint-pappname"),
    *("x-cat-root-id", "x-cat-parent-id", "x-cat-id", "eagleeye-traceid", "eagleeye-rpcid", "eagleeye-sampled"),
    *("eagleeye-userdata", "sftc_head", "baggage-k", "grpc-trace-bin", "x-cloud-trace-context", "x-amzn-trace-id"),
    *("sentry-trace", "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-tags"),
    *("x-md-service-name", "x-md-global-k"),
]
# Pieces of what is well formed, so that garbage comes close to it.
_pieces = st.sampled_from(
    [
        *("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "0" * 32, "0" * 16, "00", "01", "1", "0", "d", "s0"),
        *("-", ":", ";", ",", "=", ".", "^", "%", "%3A", "/", "|", " ", "Root=1-", "Parent=", "Sampled=", "T"),
        *(
            "dGlkMS4yLjM=",
            "9" * 25,
            "tcid=",
            "spid=",
            "agent^1^1",
            "web-c0000202-498707-5",
            "0.1.1",
            "\0",
            "é",
            "\udcff",
        ),
    ]
)
_garbage = st.one_of(st.text(max_size=60), st.lists(_pieces, max_size=16).map("".join), st.just("x" * 9_000))
_ids = st.tuples(st.integers(1, 2**128 - 1), st.integers(2**32, 2**64 - 1), st.booleans())


def span_context(parts: tuple[int, int, bool], state: W3CTraceState | None = None) -> SpanContext:
    return SpanContext(parts[0], parts[1], False, TraceFlags(parts[2]), state)


def context_of(parts: tuple[int, int, bool]) -> Context:
    return set_span_in_context(NonRecordingSpan(span_context(parts)), Context())


def found_in(context: Context) -> SpanContext:
    return get_current_span(context).get_span_context()


def through(propagator: TextMapPropagator, context: Context) -> Context:
    carrier: dict[str, str] = {}
    propagator.inject(carrier, context)
    return propagator.extract(carrier, Context())


@pytest.mark.parametrize("name", TRACES)
@settings(max_examples=40)
@given(parts=_ids)
def test_what_is_sent_is_read_again(name: str, parts: tuple[int, int, bool]) -> None:
    found = found_in(through(propagators_from_names([name]), context_of(parts)))
    assert found.is_remote
    assert (found.trace_id, found.span_id) == parts[:2]
    # CAT has no way to say it.
    assert found.trace_flags == (TraceFlags(1) if name == "cat" else TraceFlags(parts[2]))


@given(
    parts=_ids,
    random=st.booleans(),
    members=st.lists(
        st.tuples(
            st.from_regex(r"[a-z0-9][a-z0-9_*/@-]{0,9}", fullmatch=True), st.from_regex(r"[!-+]{1,9}", fullmatch=True)
        ),
        max_size=32,
    ),
)
def test_w3c_keeps_flags_and_state(parts: tuple[int, int, bool], random: bool, members: list[tuple[str, str]]) -> None:
    state = W3CTraceState(members)
    flags = TraceFlags(int(parts[2]) | 2 * random)
    context = set_span_in_context(NonRecordingSpan(SpanContext(*parts[:2], False, flags, state)), Context())
    found = found_in(through(TraceContextPropagator(), context))
    # That the id is random is said only of a trace that came with it.
    assert found.trace_flags == flags & 1
    assert found.trace_state.to_header() == state.to_header()


@pytest.mark.parametrize("name", WITH_BAGGAGE)
@settings(max_examples=40)
@given(
    members=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
        st.text(st.characters(codec="utf-8"), max_size=20),
        max_size=3,
    )
)
def test_baggage_that_is_sent_is_read_again(name: str, members: dict[str, str]) -> None:
    context = Context()
    for key, value in members.items():
        context = baggage.set_baggage(key, value, context)
    expected = {key: value for key, value in members.items() if not (name == "sofatracer" and key.startswith("sys-"))}
    found = dict(baggage.get_all(through(propagators_from_names([name]), context)))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", [*TRACES, "baggage", "kratos"])
@settings(max_examples=40)
@given(headers=st.dictionaries(st.sampled_from(HEADERS), _garbage, max_size=12))
def test_garbage_raises_nothing_and_makes_no_invalid_parent(name: str, headers: dict[str, str]) -> None:
    propagator = entry_point(name)
    for read in (
        lambda: propagator.extract(headers, Context()),
        lambda: propagator.extract({key.title(): [value] for key, value in headers.items()}, Context()),
        lambda: propagator.extract(DictCarrier(headers), Context(), getter),
    ):
        context = read()
        assert _SPAN_KEY not in context or found_in(context).is_valid
        propagator.inject({}, context)


@pytest.mark.parametrize("name", [*TRACES, "baggage", "kratos"])
@pytest.mark.parametrize("value", [None, 7, b"\xff\xfe", [], ["a", "b"], [7], [None], {"a": "b"}])
def test_values_that_are_no_text_raise_nothing(name: str, value: Any) -> None:
    propagator = propagators_from_names([name])
    propagator.extract(dict.fromkeys(HEADERS, value), Context())


def entry_point(name: str) -> TextMapPropagator:
    """The one made by the entry point that clew registers."""
    registered = "clew_" + name if name in ("tracecontext", "baggage") else name
    (entry,) = [
        entry
        for entry in entry_points(group="opentelemetry_propagator", name=registered)
        if entry.value.startswith("clew.")
    ]
    made: TextMapPropagator = entry.load()()
    return made


@pytest.mark.parametrize("name", [*TRACES, "baggage", "kratos"])
def test_every_format_is_an_entry_point_of_the_same_class(name: str) -> None:
    (ours,) = propagators_from_names([name]).propagators  # type: ignore[attr-defined]
    assert type(entry_point(name)) is type(ours)


class _Headers(dict[str, str]):
    def get_list(self, key: str) -> list[str]:
        return [self[key]] if key in self else []


@pytest.mark.parametrize("name", [name for name in TRACES if name != "cat"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: DictCarrier({}),
        lambda: AsgiCarrier([(b"host", b"shop")]),
        lambda: WsgiCarrier({}),
        lambda: GrpcCarrier([("user-agent", "x")]),
        lambda: HttpxCarrier(_Headers()),
    ],
)
def test_every_carrier_of_ours_holds_every_format(name: str, make: Callable[[], Any]) -> None:
    propagator = propagators_from_names([name])
    carrier = make()
    context = baggage.set_baggage("k", "v", context_of((7 << 70, 2**63, True)))
    propagator.inject(carrier, context, setter)
    extracted = propagator.extract(carrier, Context(), getter)
    found = found_in(extracted)
    assert (found.trace_id, found.span_id, found.trace_flags) == (7 << 70, 2**63, 1)
    if name in WITH_BAGGAGE:
        assert dict(baggage.get_all(extracted)) == {"k": "v"}


@pytest.mark.parametrize("name", [name for name in WITH_BAGGAGE if name != "skywalking"])
def test_baggage_is_limited_both_ways(name: str) -> None:
    propagator = propagators_from_names([name])
    context = Context()
    for number in range(300):
        context = baggage.set_baggage(f"key{number}", "v" * 40, context)
    carrier: dict[str, str] = {}
    propagator.inject(carrier, context)
    assert sum(map(len, carrier.values())) <= 8_192
    assert len(baggage.get_all(propagator.extract(carrier, Context()))) <= 180


@pytest.mark.parametrize("name", TRACES)
def test_nothing_is_sent_without_a_trace(name: str) -> None:
    carrier: dict[str, str] = {}
    propagators_from_names([name]).inject(carrier, Context())
    assert carrier == {}


def test_the_apis_getter_finds_names_in_any_case() -> None:
    headers = {"TraceParent": TRACEPARENT, "TRACESTATE": "a=1", "Baggage": ["k=v"], "X-Md-Service-Name": "user"}
    context = propagators_from_names(["tracecontext", "baggage", "kratos"]).extract(headers, Context())
    assert found_in(context).trace_id >> 112 == 0x0AF7
    assert found_in(context).trace_state.to_header() == "a=1"
    assert dict(baggage.get_all(context)) == {"k": "v"}
    assert peer_service(context) == "user"


# Composite

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
B3 = "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1"


@pytest.mark.parametrize(
    ("names", "headers", "trace"),
    [
        (["tracecontext", "b3"], {"traceparent": TRACEPARENT, "b3": B3}, "0af7"),
        (["b3", "tracecontext"], {"traceparent": TRACEPARENT, "b3": B3}, "463a"),
        (["tracecontext", "b3"], {"traceparent": "00-zz", "b3": B3}, "463a"),
        (["tracecontext", "b3"], {"b3": B3}, "463a"),
    ],
)
def test_the_first_valid_trace_wins(names: list[str], headers: dict[str, str], trace: str) -> None:
    for carrier in (DictCarrier(headers), AsgiCarrier([(key.encode(), headers[key].encode()) for key in headers])):
        found = found_in(propagators_from_names(names).extract(carrier, Context(), getter))
        assert f"{found.trace_id:032x}".startswith(trace)


def test_a_trace_that_came_replaces_the_one_that_was_current() -> None:
    before = context_of((1, 2**40, True))
    names = ["tracecontext", "b3"]
    assert found_in(propagators_from_names(names).extract({"b3": B3}, before)).trace_id >> 112 == 0x463A
    assert found_in(propagators_from_names(names).extract({"b3": "no"}, before)).trace_id == 1


def test_baggage_is_read_whoever_found_the_trace() -> None:
    headers = {"traceparent": TRACEPARENT, "uber-trace-id": "1:2:0:1", "uberctx-j": "1", "baggage": "w=2"}
    context = propagators_from_names(["tracecontext", "jaeger", "baggage"]).extract(headers, Context())
    assert found_in(context).trace_id >> 112 == 0x0AF7
    assert dict(baggage.get_all(context)) == {"j": "1", "w": "2"}


def test_all_are_sent() -> None:
    carrier: dict[str, str] = {}
    propagators_from_names(["tracecontext", "b3", "xray"]).inject(carrier, context_of((1, 2, True)))
    assert set(carrier) == {"traceparent", "b3", "x-amzn-trace-id"}


# Callers that mark everything


@pytest.mark.parametrize(
    "header", [{"b3": B3}, {"b3": re.sub("1$", "d", B3)}, {"uber-trace-id": "1:2:0:3"}, {"traceparent": TRACEPARENT}]
)
def test_a_caller_that_marks_everything_sampled_is_capped(header: dict[str, str]) -> None:
    sampler = ParentBased(RateLimited(5), remote_parent_sampled=RateLimited(5, clock=lambda: 0.0))
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    propagator = propagators_from_names(["tracecontext", "b3", "jaeger"])
    try:
        spans = [tracer.start_span("request", propagator.extract(header, Context())) for _ in range(50)]
        assert sum(span.is_recording() for span in spans) == 5
        carrier: dict[str, str] = {}
        propagator.inject(carrier, set_span_in_context(spans[-1], propagator.extract(header, Context())))
        assert carrier["traceparent"].endswith("-00")
        assert carrier["b3"].endswith("-0")
        assert carrier["uber-trace-id"].endswith(":0")
    finally:
        provider.shutdown()


def test_baggage_of_other_formats_is_not_for_the_w3c_reader() -> None:
    assert dict(baggage.get_all(BaggagePropagator().extract({"uberctx-k": "v"}, Context()))) == {}
