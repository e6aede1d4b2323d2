"""W3C trace context; the cases are those of the recommendation's own test suite and of its level 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

from clew.carriers import DictCarrier, getter, setter
from clew.propagation import TraceContextPropagator, W3CTraceState

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def extracted(traceparent: str | list[str], tracestate: str | list[str] | None = None) -> SpanContext:
    headers: dict[str, str | list[str]] = {"traceparent": traceparent}
    if tracestate is not None:
        headers["tracestate"] = tracestate
    context = TraceContextPropagator().extract(DictCarrier(headers), Context(), getter)
    return get_current_span(context).get_span_context()


def injected(span_context: SpanContext) -> dict[str, str]:
    carrier = DictCarrier()
    context = set_span_in_context(NonRecordingSpan(span_context), Context())
    TraceContextPropagator().inject(carrier, context, setter)
    return dict(carrier.headers)


def state_sent_on(tracestate: str | list[str]) -> str:
    """What a service that changes nothing sends on."""
    return injected(extracted(GOOD, tracestate)).get("tracestate", "")


@pytest.mark.parametrize(
    "traceparent",
    [
        GOOD,
        f"  {GOOD}\t",
        f"00-{TRACE}-{SPAN}-00",
        f"cc-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
    ],
)
def test_well_formed_parents_are_read(traceparent: str) -> None:
    context = extracted(traceparent)
    assert f"{context.trace_id:032x}" == TRACE
    assert f"{context.span_id:016x}" == SPAN
    assert context.is_remote


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-.0",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{'٠' * 32}-{SPAN}-01",
        f"{GOOD},{GOOD}",
        [GOOD, GOOD],
        [GOOD, "nonsense"],
    ],
)
def test_anything_else_starts_a_new_trace(traceparent: str | list[str]) -> None:
    assert not extracted(traceparent, "foo=1").is_valid


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    extracted(text, text)
    extracted(GOOD, text)


@pytest.mark.parametrize(("came", "goes"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03")])
def test_sampled_and_random_are_sent_on_and_no_other_flag(came: str, goes: str) -> None:
    carrier, propagator = DictCarrier({}), TraceContextPropagator()
    context = propagator.extract(DictCarrier({"traceparent": f"00-{TRACE}-{SPAN}-{came}"}), Context(), getter)
    propagator.inject(carrier, context, setter)
    assert carrier.headers["traceparent"] == f"00-{TRACE}-{SPAN}-{goes}"


def test_of_a_trace_begun_here_only_sampled_is_sent_as_older_receivers_take_more_for_broken() -> None:
    for flags, goes in ((1, "01"), (3, "01"), (2, "00")):
        context = SpanContext(int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=TraceFlags(flags))
        assert injected(context)["traceparent"] == f"00-{TRACE}-{SPAN}-{goes}"


def test_flags_of_our_own_that_nobody_knows_are_not_sent() -> None:
    assert injected(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0xFD)))["traceparent"].endswith("-01")


def test_a_later_version_is_answered_in_ours() -> None:
    assert injected(extracted(f"cc-{TRACE}-{SPAN}-01-more"))["traceparent"] == GOOD


def test_without_a_span_nothing_is_sent() -> None:
    carrier = DictCarrier()
    TraceContextPropagator().inject(carrier, Context(), setter)
    assert carrier.headers == {}


LONG_KEY = "a" * 256
LONG_TENANT = "t" * 241 + "@" + "v" * 14


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        ("foo=1,bar=2", "foo=1,bar=2"),
        (["foo=1", "bar=2"], "foo=1,bar=2"),
        (["foo=1", "", "bar=2"], "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("foo=1\t \t,\t \tbar=2,\t \tbaz=3", "foo=1,bar=2,baz=3"),
        (" foo=1", "foo=1"),
        ("foo=1,", "foo=1"),
        ("foo=1,,,bar=2", "foo=1,bar=2"),
        ("", ""),
        # Repeated keys: kept.
        ("foo=1,foo=1", "foo=1,foo=1"),
        ("foo=1,foo=2", "foo=1,foo=2"),
        (["foo=1", "foo=2"], "foo=1,foo=2"),
        # Keys of level 2: `@` is a character like others.
        ("foo@=1,bar=2", "foo@=1,bar=2"),
        ("foo@@bar=1,bar=2", "foo@@bar=1,bar=2"),
        ("foo@bar@baz=1,bar=2", "foo@bar@baz=1,bar=2"),
        ("0a=1", "0a=1"),
        ("t/_-*=1", "t/_-*=1"),
        (f"{LONG_KEY}=1", f"{LONG_KEY}=1"),
        (f"{LONG_TENANT}=1", f"{LONG_TENANT}=1"),
        (f"{'t' * 242}@v=1", f"{'t' * 242}@v=1"),
        (f"t@{'v' * 15}=1", f"t@{'v' * 15}=1"),
        ("foo=" + "v" * 256, "foo=" + "v" * 256),
        ("foo=a:b c", "foo=a:b c"),
        # Malformed members cost all of it.
        ("@foo=1,bar=2", ""),
        ("foo =1", ""),
        ("FOO=1", ""),
        ("foo.bar=1", ""),
        ("foo", ""),
        ("foo=", ""),
        ("foo=1=2", ""),
        ("foo=ä", ""),
        ("foo=1,bar", ""),
        ("a" * 257 + "=1", ""),
        ("foo=" + "v" * 257, ""),
    ],
)
def test_tracestate_is_sent_on_as_it_came_or_not_at_all(came: str | list[str], goes: str) -> None:
    assert state_sent_on(came) == goes
    assert extracted(GOOD, came).is_valid


def test_32_members_pass_and_33_do_not() -> None:
    members = [f"bar{n}=1" for n in range(33)]
    assert state_sent_on(",".join(members[:32])) == ",".join(members[:32])
    assert state_sent_on([",".join(members[:10]), ",".join(members[10:])]) == ""


def test_an_entry_of_our_own_comes_first_and_replaces_its_key() -> None:
    state = W3CTraceState.from_header(["foo=1,ot=2,foo=3,ot=4"])
    assert state.update("ot", "9").to_header() == "ot=9,foo=1,foo=3"
    assert state.add("mine", "1").to_header() == "mine=1,foo=1,ot=2,foo=3,ot=4"
    assert state.add("foo", "9") is state
    assert state.update("Bad Key", "1") is state
    assert state.delete("foo").to_header() == "ot=2,ot=4"
    assert dict(state) == {"foo": "1", "ot": "2"}
    full = W3CTraceState([(f"k{n}", "v") for n in range(32)])
    assert full.add("one-more", "1") is full
    assert len(full.update("k3", "2")) == 32
