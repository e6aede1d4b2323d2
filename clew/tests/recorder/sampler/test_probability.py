"""Threshold arithmetic and the trace state's member `ot`, with the SDK's own reading of it as the other side."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace._sampling_experimental import composable_traceid_ratio_based, composite_sampler
from opentelemetry.sdk.trace._sampling_experimental._trace_state import OtelTraceState, serialize_th
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from clew.propagation import W3CTraceState
from clew.recorder.sampler import TraceIdRatio
from clew.recorder.sampler.probability import (
    MAX_THRESHOLD,
    randomness,
    threshold_from_ratio,
    threshold_to_text,
    with_threshold,
)

ratios = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 0.25, 0.1, 1 / 3, 1e-6, 2**-56, 2**-57]))
trace_ids = st.integers(1, 2**128 - 1)
sub_keys = st.from_regex(r"\A[a-z][a-z0-9]{0,5}:[A-Za-z0-9._-]{1,12}\Z").filter(
    lambda text: not text.startswith(("th:", "rv:"))
)
vendors = st.lists(
    st.tuples(st.from_regex(r"\A[a-np-z][a-z0-9]{0,5}\Z"), st.from_regex(r"\A[a-zA-Z0-9:]{1,9}\Z")),
    max_size=31,
    unique_by=lambda pair: pair[0],
)


def child_of(state: TraceState, sampled: bool = True) -> Context:
    parent = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(int(sampled)), trace_state=state)
    return set_span_in_context(NonRecordingSpan(parent), Context())


@given(threshold=st.integers(0, MAX_THRESHOLD - 1))
def test_a_threshold_read_back_is_the_threshold_written(threshold: int) -> None:
    text = threshold_to_text(threshold)
    assert re.fullmatch("0|[0-9a-f]{0,13}[1-9a-f]", text)
    assert text == serialize_th(threshold)
    assert OtelTraceState.parse(TraceState([("ot", f"th:{text}")])).threshold == threshold
    assert int(text.ljust(14, "0"), 16) == threshold


@pytest.mark.parametrize(
    ("ratio", "text"), [(1.0, "0"), (0.5, "8"), (0.25, "c"), (0.125, "e"), (2**-56, "ffffffffffffff"), (0.75, "4")]
)
def test_the_specifications_examples_have_their_text(ratio: float, text: str) -> None:
    assert TraceIdRatio(ratio).threshold_text == text
    assert TraceIdRatio(ratio).trace_state == {"ot": f"th:{text}"}


@given(ratio=ratios)
def test_the_threshold_says_the_probability_to_the_last_of_its_bits(ratio: float) -> None:
    threshold = threshold_from_ratio(ratio)
    assert abs((MAX_THRESHOLD - threshold) / MAX_THRESHOLD - ratio) <= 2**-56


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_ratio_that_is_no_probability_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        TraceIdRatio(ratio)


def test_nothing_is_kept_at_zero_and_everything_at_one() -> None:
    assert threshold_from_ratio(0.0) == threshold_from_ratio(2**-58) == MAX_THRESHOLD
    assert TraceIdRatio(0.0).threshold_text is None
    for trace_id in (1, 2**56 - 1, 2**128 - 1):
        assert not TraceIdRatio(0.0).should_sample(None, trace_id, "op").decision.is_sampled()
        assert TraceIdRatio(1.0).should_sample(None, trace_id, "op").decision.is_sampled()
    with pytest.raises(ValueError, match="keeps nothing"):
        threshold_to_text(MAX_THRESHOLD)


@given(one=ratios, other=ratios, trace_id=trace_ids)
def test_a_lower_probability_keeps_a_subset(one: float, other: float, trace_id: int) -> None:
    low, high = sorted((one, other))
    if TraceIdRatio(low).should_sample(None, trace_id, "op").decision.is_sampled():
        assert TraceIdRatio(high).should_sample(None, trace_id, "op").decision.is_sampled()


@given(ratio=ratios, trace_id=trace_ids, rv=st.integers(0, MAX_THRESHOLD - 1))
def test_an_explicit_random_value_decides_in_the_place_of_the_trace_id(ratio: float, trace_id: int, rv: int) -> None:
    context = child_of(TraceState([("ot", f"rv:{rv:014x}")]))
    result = TraceIdRatio(ratio).should_sample(context, trace_id, "op")
    assert result.decision.is_sampled() == (rv >= threshold_from_ratio(ratio))
    assert f"rv:{rv:014x}" in result.trace_state["ot"]


@pytest.mark.parametrize("rv", ["", "1", "0123456789abcde", "0123456789ABCD", "+123456789abcd", "0x123456789abc"])
def test_a_malformed_random_value_is_as_none(rv: str) -> None:
    assert randomness(0x1234, TraceState([("ot", f"rv:{rv};a:b")])) == 0x1234


@given(
    ratio=ratios,
    trace_id=trace_ids,
    parts=st.lists(sub_keys, max_size=5, unique=True),
    rv=st.none() | st.integers(0, MAX_THRESHOLD - 1),
    th=st.none() | st.integers(0, MAX_THRESHOLD - 1),
    others=vendors,
    sampled=st.booleans(),
)
def test_decision_and_trace_state_are_those_of_the_sdks_consistent_sampler(
    ratio: float,
    trace_id: int,
    parts: list[str],
    rv: int | None,
    th: int | None,
    others: list[tuple[str, str]],
    sampled: bool,
) -> None:
    ot = ([] if th is None else [f"th:{serialize_th(th)}"]) + ([] if rv is None else [f"rv:{rv:014x}"]) + parts
    state = TraceState(([("ot", ";".join(ot))] if ot else []) + others)
    theirs = composite_sampler(composable_traceid_ratio_based(ratio))
    expected = theirs.should_sample(child_of(state, sampled), trace_id, "op", trace_state=state)
    result = TraceIdRatio(ratio).should_sample(child_of(state, sampled), trace_id, "op")
    assert result.decision.is_sampled() == expected.decision.is_sampled()
    # Theirs leaves an `ot` in place that has become empty; sub-keys in another order say the same.
    members = dict(expected.trace_state or {})
    if not result.decision.is_sampled() and not rv and not parts and rv is None:
        members.pop("ot", None)
    got = dict(result.trace_state or {})
    assert set(got.pop("ot", "").split(";")) == set(members.pop("ot", "").split(";"))
    assert got == members


def test_other_sub_keys_and_vendors_stay_and_the_changed_member_comes_first() -> None:
    state = TraceState([("a", "1"), ("ot", "p:8;th:8;rv:0123456789abcd"), ("b", "2")])
    kept = with_threshold(state, "c")
    dropped = with_threshold(state, None)
    assert kept is not None
    assert dropped is not None
    assert list(kept.items()) == [("ot", "th:c;p:8;rv:0123456789abcd"), ("a", "1"), ("b", "2")]
    assert list(dropped.items()) == [("ot", "p:8;rv:0123456789abcd"), ("a", "1"), ("b", "2")]
    assert with_threshold(TraceState([("ot", "th:8")]), None) == {}
    assert with_threshold(TraceState([("a", "1")]), None) == {"a": "1"}


@pytest.mark.parametrize("kind", [TraceState, W3CTraceState])
def test_a_full_trace_state_gives_up_its_oldest_member(kind: type[TraceState]) -> None:
    full = kind([(f"k{n}", "v") for n in range(32)])
    kept = with_threshold(full, "8")
    assert kept is not None
    assert len(kept) == 32
    assert next(iter(kept.items())) == ("ot", "th:8")
    assert "k31" not in kept
    assert "k30" in kept


def test_the_threshold_has_room_even_where_sub_keys_fill_the_member() -> None:
    value = "rv:0123456789abcd;a:" + "x" * 100 + ";b:" + "y" * 120
    kept = with_threshold(TraceState([("ot", value)]), "ffffffffffffff")
    assert kept is not None
    assert len(kept["ot"]) <= 256
    assert kept["ot"].startswith("th:ffffffffffffff;rv:0123456789abcd;a:")
    assert "b:" not in kept["ot"]


@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
def test_adjusted_counts_add_up_to_what_there_was(ratio: float) -> None:
    source = random.Random(20)
    sampler, total, spans = TraceIdRatio(ratio), 0.0, 50_000
    for _ in range(spans):
        result = sampler.should_sample(None, source.getrandbits(128), "op")
        if result.decision.is_sampled():
            threshold = OtelTraceState.parse(result.trace_state).threshold
            total += MAX_THRESHOLD / (MAX_THRESHOLD - threshold)
        else:
            assert not result.trace_state
    # Five standard deviations of a binomial count, and the ids are always the same.
    assert total == pytest.approx(spans, abs=5 * (spans * (1 - ratio) / ratio) ** 0.5)
