"""What operations do inside traces of one root operation, against counting by hand over the same traces."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.usual import ENOUGH, Operation, Within
from clew_server.store import chdb_usual
from clew_server.store.chdb_usual import ChdbUsual
from clew_server.store.contract import TracesLike

MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
AT = time.time_ns()
FROM = AT // MINUTE * MINUTE - HOUR
SERVER, CLIENT = 2, 3
NO_TRACE = b"\1" * 16


@dataclass(frozen=True)
class One:
    """A span as the tests know it."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    operation: Operation
    start: int
    duration: int
    kind: int = SERVER
    status: int = 0


def request_of(spans: Iterable[One]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    by_service: dict[str, Any] = {}
    for one in spans:
        scope = by_service.get(one.operation.service)
        if scope is None:
            of_resource = request.resource_spans.add()
            of_resource.resource.attributes.add(key="service.name").value.string_value = one.operation.service
            scope = by_service[one.operation.service] = of_resource.scope_spans.add()
        span = scope.spans.add(
            trace_id=one.trace_id,
            span_id=one.span_id,
            parent_span_id=one.parent_id,
            name=one.operation.name,
            kind=one.kind,
            start_time_unix_nano=one.start,
            end_time_unix_nano=one.start + one.duration,
        )
        span.status.code = one.status
    return request


def trace_of(root: Operation, others: Sequence[Operation], start: int, rng: random.Random, calls: int) -> list[One]:
    """A root and some calls below it or below each other."""
    trace_id = rng.randbytes(16)
    spans = [One(trace_id, rng.randbytes(8), b"", root, start, rng.randrange(1, SECOND))]
    for _ in range(calls):
        parent = rng.choice(spans)
        begin = parent.start + rng.randrange(-MS, 100 * MS)
        below = One(
            trace_id, rng.randbytes(8), parent.span_id, rng.choice(others), begin, rng.randrange(SECOND), CLIENT
        )
        spans.append(replace(below, status=rng.choice((0, 0, 2))))
    return spans


def exact(values: list[int], level: float) -> int:
    return sorted(values)[min(int(level * len(values)), len(values) - 1)]


def by_hand(traces: Sequence[Sequence[One]]) -> dict[Operation, Within]:
    counts: dict[Operation, dict[bytes, int]] = defaultdict(lambda: defaultdict(int))
    durations: dict[Operation, list[int]] = defaultdict(list)
    delays: dict[Operation, list[int]] = defaultdict(list)
    failed: dict[Operation, int] = defaultdict(int)
    for spans in traces:
        starts = {one.span_id: one.start for one in spans}
        for one in spans:
            counts[one.operation][one.trace_id] += 1
            durations[one.operation].append(one.duration)
            failed[one.operation] += one.status == 2
            if one.parent_id in starts:
                delays[one.operation].append(max(0, one.start - starts[one.parent_id]))
    return {
        operation: Within(
            traces=len(of_traces),
            spans=sum(of_traces.values()),
            failed=failed[operation],
            p50_ns=exact(durations[operation], 0.5),
            p95_ns=exact(durations[operation], 0.95),
            calls_p50=exact(list(of_traces.values()), 0.5),
            calls_p95=exact(list(of_traces.values()), 0.95),
            delay_p50_ns=exact(delays[operation], 0.5) if delays[operation] else 0,
            delay_p95_ns=exact(delays[operation], 0.95) if delays[operation] else 0,
        )
        for operation, of_traces in counts.items()
    }


def like(root: Operation, *, but: bytes = NO_TRACE, roots: int = 100, is_root: bool = True) -> TracesLike:
    return TracesLike(root, SERVER, is_root, but, roots)


@pytest.fixture(scope="module")
def usual(opened: Any) -> Any:
    return opened.store.usual


def some_traces(name: str, count: int, *, calls: int = 12, seed: int = 15) -> tuple[list[Operation], list[list[One]]]:
    rng = random.Random(f"{name} {seed}")
    root = Operation(name, "GET /x")
    others = [Operation(f"{name} db", "SELECT"), Operation(f"{name} db", ""), Operation(name, "süd 'o\\n\t{a}")]
    starts = [rng.choice((AT, AT - DAY)) - 1 - rng.randrange(AT - FROM) for _ in range(count)]
    traces = [trace_of(root, others, start, rng, rng.randrange(calls)) for start in starts]
    return [root, *others], traces


def test_calls_durations_failures_and_delays_are_those_of_a_count_by_hand(opened: Any, usual: ChdbUsual) -> None:
    operations, traces = some_traces("counted", 150)
    root = operations[0]
    # The same operation inside another root's traces, outside of the hours, and as a client's span is not looked at.
    rng = random.Random(7)
    foreign = [trace_of(Operation("counted", "POST /y"), operations, AT - MINUTE, rng, 5) for _ in range(50)]
    foreign += [trace_of(root, operations[1:], start, rng, 5) for start in (FROM - 1, AT, AT - DAY, FROM - DAY - 1)]
    foreign += [
        [replace(trace[0], kind=CLIENT), *trace[1:]]
        for trace in (trace_of(root, operations[1:], AT - MINUTE, rng, 5) for _ in range(20))
    ]
    spans = [one for trace in [*traces, *foreign] for one in trace]
    rng.shuffle(spans)
    for at in range(3):
        opened.put([request_of(spans[at::3])])
    opened.put([request_of(spans[::7])])  # sent once more, in another request
    assert usual.within(like(root), operations, AT) == (by_hand(traces), 150, None)
    but_one = usual.within(like(root, but=traces[0][0].trace_id), operations, AT)
    assert but_one == (by_hand(traces[1:]), 149, None)
    assert set(usual.within(like(root), operations[:2], AT).found) == set(operations[:2])


def test_of_many_traces_two_hundred_are_looked_at_and_always_the_same(opened: Any, usual: ChdbUsual) -> None:
    operations, traces = some_traces("many", 450, calls=4)
    opened.put([request_of(one for trace in traces for one in trace)])
    first = usual.within(like(operations[0], roots=450), operations, AT)
    assert first.sampled == chdb_usual.SAMPLE_TRACES == first.found[operations[0]].traces
    assert usual.within(like(operations[0], roots=450), operations, AT) == first


def test_fewer_than_thirty_traces_are_counted_and_not_compared(opened: Any, usual: ChdbUsual) -> None:
    operations, traces = some_traces("few", ENOUGH)
    opened.put([request_of(one for trace in traces for one in trace)])
    found = usual.within(like(operations[0], but=traces[0][0].trace_id), operations, AT)
    assert found == ({}, ENOUGH - 1, None)
    assert usual.within(like(operations[0]), operations, AT) == (by_hand(traces), ENOUGH, None)
    assert usual.within(like(Operation("nobody", "")), operations, AT) == ({}, 0, None)


def test_traces_that_are_too_large_for_the_sample_are_left_out(
    opened: Any, usual: ChdbUsual, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations, traces = some_traces("large", 60, calls=6)
    large = trace_of(operations[0], operations[1:], AT - MINUTE, random.Random(3), 500)
    opened.put([request_of(one for trace in [*traces, large] for one in trace)])
    monkeypatch.setattr(chdb_usual, "SAMPLE_SPANS", 500)
    assert usual.within(like(operations[0]), operations, AT) == (by_hand(traces), 60, None)


def test_where_there_are_very_many_roots_stretches_of_both_hours_are_looked_at(
    opened: Any, usual: ChdbUsual, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations, traces = some_traces("busy", 900, calls=2)
    opened.put([request_of(one for trace in traces for one in trace)])
    monkeypatch.setattr(chdb_usual, "SAMPLE_FROM", 90)
    monkeypatch.setattr(chdb_usual, "SAMPLE_TRACES", 1_000)
    found = usual.within(like(operations[0], roots=900), operations, AT)
    assert 45 <= found.sampled <= 180  # about a tenth of them
    assert found.found[operations[0]].traces == found.sampled


def test_roots_whose_caller_sends_no_spans_are_compared_with_their_like(opened: Any, usual: ChdbUsual) -> None:
    operations, traces = some_traces("called", 40)
    called = [[replace(trace[0], parent_id=b"\7" * 8), *trace[1:]] for trace in traces]
    opened.put([request_of(one for trace in called for one in trace)])
    assert usual.within(like(operations[0]), operations, AT).sampled == 0
    assert usual.within(like(operations[0], is_root=False), operations, AT) == (by_hand(called), 40, None)
