"""So many a second and no more, by a clock the tests hold."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from clew.recorder.sampler import ParentBased, RateLimited
from clew.recorder.sampler.rate_limited import MAX_OPERATIONS, OperationBuckets, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def sampled(sampler: Any, name: str = "op", context: Context | None = None) -> bool:
    result: bool = sampler.should_sample(context if context is not None else Context(), 7, name).decision.is_sampled()
    return result


def test_a_second_gives_so_many_and_a_pause_no_more_than_a_seconds_worth() -> None:
    clock = Clock()
    sampler = RateLimited(10, clock=clock)
    assert sum(sampled(sampler) for _ in range(100)) == 10
    clock.now_s += 0.5
    assert sum(sampled(sampler) for _ in range(100)) == 5
    clock.now_s += 3600
    assert sum(sampled(sampler) for _ in range(100)) == 10


def test_a_rate_below_one_gives_one_now_and_then() -> None:
    clock = Clock()
    sampler = RateLimited(0.1, clock=clock)
    kept = 0
    for _ in range(1000):
        kept += sampled(sampler)
        clock.now_s += 0.125
    assert kept in (13, 14)


def test_each_operation_has_its_own_allowance() -> None:
    sampler = RateLimited(2, per_operation=True, clock=Clock())
    assert [sampled(sampler, name) for name in "aaabbb"] == [True, True, False, True, True, False]
    name: Any = ["no", "text"]
    assert sampled(sampler, name)


def test_names_without_end_do_not_cost_memory_without_end() -> None:
    buckets = OperationBuckets(1, Clock())
    assert all(buckets.take(f"GET /{n}") for n in range(MAX_OPERATIONS))
    assert [buckets.take(f"more {n}") for n in range(3)] == [True, False, False]
    assert len(buckets._of) == MAX_OPERATIONS


def test_as_root_of_parent_based_it_counts_traces() -> None:
    sampler = ParentBased(RateLimited(1, clock=Clock()))
    assert sampled(sampler)
    assert not sampled(sampler)
    parent = SpanContext(7, 8, True, TraceFlags(1))
    assert all(sampled(sampler, context=set_span_in_context(NonRecordingSpan(parent), Context())) for _ in range(9))


def test_no_probability_is_recorded_and_a_parents_does_not_stay() -> None:
    sampler = RateLimited(1, clock=Clock())
    parent = SpanContext(7, 8, True, TraceFlags(1), TraceState([("a", "1"), ("ot", "th:8;rv:ffffffffffffff")]))
    context = set_span_in_context(NonRecordingSpan(parent), Context())
    for expected in (True, False):
        result = sampler.should_sample(context, 7, "op")
        assert result.decision.is_sampled() == expected
        assert result.trace_state == {"a": "1", "ot": "rv:ffffffffffffff"}
    assert RateLimited(1).should_sample(Context(), 7, "op").trace_state is None


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateLimited(rate)


def test_threads_together_get_what_one_would() -> None:
    sampler = RateLimited(500, clock=Clock())
    kept: list[int] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        kept.append(sum(sampled(sampler) for _ in range(500)))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sum(kept) == 500


def test_a_signal_handler_that_starts_a_span_inside_a_decision_does_not_wait_for_ever() -> None:
    inner: list[bool] = []
    bucket: TokenBucket

    def handler(*_: Any) -> None:
        inner.append(bucket.take())

    class Interrupting(Clock):
        def __call__(self) -> float:
            if inner == []:
                inner.append(True)
                signal.raise_signal(signal.SIGUSR1)
            return super().__call__()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        clock = Interrupting()
        inner.append(True)
        bucket = TokenBucket(5, clock)
        inner.clear()
        assert bucket.take()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert inner == [True, True]
