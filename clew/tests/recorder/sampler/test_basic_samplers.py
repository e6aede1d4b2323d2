"""Parent-based, always on and off beside the SDK's own, in both providers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace import sampling as sdk
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from clew.recorder.provider import TracerProvider
from clew.recorder.sampler import AlwaysOff, AlwaysOn, Decision, ParentBased, SamplingResult, TraceIdRatio
from clew.recorder.sampler.contract import DROPPED, KEPT


def parent(
    sampled: bool = True, remote: bool = True, state: dict[str, str] | None = None, trace_id: int = 7
) -> Context:
    context = SpanContext(trace_id, 8, remote, TraceFlags(int(sampled)), TraceState(list((state or {}).items())))
    return set_span_in_context(NonRecordingSpan(context), Context())


class Named:
    """A sampler that says which delegate was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = 0

    def should_sample(self, *arguments: Any, **keywords: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE, {"by": self.name})

    def close(self) -> None:
        self.closed += 1

    def get_description(self) -> str:
        return self.name


class NamedSdk(sdk.Sampler):
    def __init__(self, name: str) -> None:
        self.name = name

    def should_sample(self, *arguments: Any, **keywords: Any) -> sdk.SamplingResult:
        return sdk.SamplingResult(sdk.Decision.RECORD_AND_SAMPLE, {"by": self.name})

    def get_description(self) -> str:
        return self.name


DELEGATES = (
    "remote_parent_sampled",
    "remote_parent_not_sampled",
    "local_parent_sampled",
    "local_parent_not_sampled",
)

contexts = st.one_of(
    st.just(Context()),
    st.just(parent(trace_id=0)),
    st.builds(
        parent,
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, {"a": "1"}, {"ot": "th:8", "a": "1"}, {"ot": "rv:ffffffffffffff"}]),
    ),
)


@given(context=contexts, delegates=st.sets(st.sampled_from(DELEGATES)))
def test_each_parent_is_judged_by_the_delegate_the_sdk_would_ask(context: Context, delegates: set[str]) -> None:
    ours = ParentBased(Named("root"), **{name: Named(name) for name in delegates})
    theirs = sdk.ParentBased(NamedSdk("root"), **{name: NamedSdk(name) for name in delegates})
    result, expected = ours.should_sample(context, 7, "op"), theirs.should_sample(context, 7, "op")
    assert result.decision.name == expected.decision.name
    assert dict(result.attributes) == dict(expected.attributes)
    assert dict(result.trace_state or {}) == dict(expected.trace_state or {})
    assert ours.get_description() == theirs.get_description()


@given(context=contexts)
def test_always_on_and_off_decide_as_the_sdks(context: Context) -> None:
    for ours, theirs in ((AlwaysOn(), sdk.ALWAYS_ON), (AlwaysOff(), sdk.ALWAYS_OFF)):
        result, expected = ours.should_sample(context, 7, "op"), theirs.should_sample(context, 7, "op")
        assert result.decision.name == expected.decision.name
        assert ours.get_description() == theirs.get_description()
        others = dict(expected.trace_state or {})
        others.pop("ot", None)
        got = dict(result.trace_state or {})
        got.pop("ot", None)
        assert got == others


def test_a_span_that_is_always_on_does_not_count_for_more_than_itself_whatever_its_parent_was() -> None:
    kept = AlwaysOn().should_sample(parent(state={"ot": "th:8;rv:ffffffffffffff"}), 7, "op")
    assert kept.trace_state == {"ot": "th:0;rv:ffffffffffffff"}
    dropped = AlwaysOff().should_sample(parent(state={"ot": "th:8", "a": "1"}), 7, "op")
    assert dropped.trace_state == {"a": "1"}


@pytest.mark.parametrize("explicit", [False, True])
def test_children_of_a_sampled_parent_carry_its_probability(explicit: bool) -> None:
    more: dict[str, Any] = {"remote_parent_sampled": AlwaysOn(), "local_parent_sampled": AlwaysOn()} if explicit else {}
    sampler = ParentBased(TraceIdRatio(0.001), **more)
    for remote in (False, True):
        result = sampler.should_sample(parent(remote=remote, state={"ot": "th:8"}), 7, "op")
        assert result.decision.is_sampled()
        assert result.trace_state == {"ot": "th:8"}


def test_delegates_that_follow_the_parent_anyway_are_none() -> None:
    sampler = ParentBased(AlwaysOn(), AlwaysOn(), AlwaysOff(), AlwaysOff(), AlwaysOn())
    assert sampler.remote_parent_sampled is None
    assert sampler.remote_parent_not_sampled is None
    assert sampler.local_parent_sampled is not None
    assert sampler.local_parent_not_sampled is not None


def test_a_decision_that_leaves_the_trace_state_empty_makes_no_object() -> None:
    sampler = ParentBased(TraceIdRatio(0.5))
    assert sampler.should_sample(None, 1, "op") is DROPPED
    assert sampler.should_sample(None, 2**56 - 1, "op") is sampler.should_sample(None, 2**56 - 2, "op")
    assert sampler.should_sample(parent(), 1, "op") is KEPT
    assert sampler.should_sample(parent(sampled=False), 1, "op") is DROPPED


def test_closing_reaches_the_root_and_every_delegate_that_can_be_closed() -> None:
    root, delegate = Named("root"), Named("delegate")
    ParentBased(ParentBased(root), AlwaysOff(), local_parent_sampled=delegate).close()
    assert (root.closed, delegate.closed) == (1, 1)


def test_the_current_span_is_the_parent_where_no_context_is_given() -> None:
    token = context_api.attach(parent(sampled=False, state={"a": "1"}))
    try:
        result = ParentBased(AlwaysOn()).should_sample(None, 7, "op")
    finally:
        context_api.detach(token)
    assert not result.decision.is_sampled()
    assert result.trace_state == {"a": "1"}


def test_a_span_of_the_recorder_records_its_probability_and_passes_it_on() -> None:
    provider = TracerProvider(sampler=ParentBased(TraceIdRatio(0.5)))
    tracer = provider.get_tracer("t")
    seen = set()
    for _ in range(100):
        root = tracer.start_span("root", Context())
        child = tracer.start_span("child", set_span_in_context(root, Context()))
        context = root.get_span_context()
        is_kept = context.trace_id & 2**56 - 1 >= 2**55
        seen.add(is_kept)
        for span in (root, child):
            assert span.is_recording() == is_kept == span.get_span_context().trace_flags.sampled
            assert span.get_span_context().trace_state.to_header() == ("ot=th:8" if is_kept else "")
    assert seen == {True, False}
    provider.shutdown()


class Untouchable:
    """Attributes nobody may look at."""

    def __bool__(self) -> bool:
        raise AssertionError("touched")

    __len__ = __iter__ = keys = items = __getitem__ = __bool__


@pytest.mark.parametrize(
    "sampler", [ParentBased(AlwaysOff()), AlwaysOff(), ParentBased(TraceIdRatio(0)), TraceIdRatio(0)]
)
def test_a_sampled_out_span_touches_no_attribute(sampler: Any) -> None:
    provider = TracerProvider(sampler=sampler)
    attributes: Any = Untouchable()
    span = provider.get_tracer("t").start_span("op", Context(), attributes=attributes)
    assert not span.is_recording()
    provider.shutdown()


@pytest.mark.parametrize("sampler", [TraceIdRatio(1.0), AlwaysOn(), ParentBased(TraceIdRatio(1.0))])
def test_the_samplers_serve_the_sdks_provider_and_its_parent_based_too(sampler: Any) -> None:
    provider = SdkTracerProvider(sampler=sdk.ParentBased(sampler), shutdown_on_exit=False)
    with provider.get_tracer("t").start_as_current_span("root", context=Context()) as span:
        assert span.get_span_context().trace_flags.sampled
    assert sdk.AlwaysRecordSampler(sampler).should_sample(Context(), 7, "op").decision.is_sampled()
