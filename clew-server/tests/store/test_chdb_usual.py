"""What is usual for operations, against counting by hand: the hour before and the same hour a day earlier, to the nanosecond."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import Unavailable
from clew_server.model.usual import ENOUGH, Durations, Operation
from clew_server.store.chdb_usual import ChdbUsual

MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
AT = time.time_ns() // MINUTE * MINUTE + 17 * SECOND + 123_456_789
"""In the middle of a minute."""
FROM = AT // MINUTE * MINUTE - HOUR
SERVER, CLIENT = 2, 3


@dataclass(frozen=True)
class One:
    """A span as the tests know it."""

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
            if one.operation.service:
                pair = of_resource.resource.attributes.add(key="service.name")
                pair.value.string_value = one.operation.service
            scope = by_service[one.operation.service] = of_resource.scope_spans.add()
        span = scope.spans.add(
            trace_id=random.randbytes(16),
            span_id=random.randbytes(8),
            name=one.operation.name,
            kind=one.kind,
            start_time_unix_nano=one.start,
            end_time_unix_nano=one.start + one.duration,
        )
        span.status.code = one.status
    return request


@pytest.fixture(scope="module")
def usual(opened: Any) -> Any:
    return opened.store.usual


def ask(usual: ChdbUsual, operation: Operation, at: int = AT) -> Durations:
    return usual.durations([operation], at).found[operation, None]


def near(value: int | None, durations: list[int], level: float) -> bool:
    """Is the value a quantile of these to a hundredth of the ranks (the digest's error), one rank where they are few?"""
    ordered = sorted(durations)
    rank, slack = level * len(ordered), max(1.0, len(ordered) / 100)
    low = ordered[max(0, math.floor(rank - slack) - 1)]
    high = ordered[min(len(ordered) - 1, math.ceil(rank + slack))]
    assert value is not None
    return low * (1 - 1e-6) <= value <= high * (1 + 1e-6)  # the digest keeps 24 bits of a duration


def test_an_empty_store_says_that_it_has_none(usual: ChdbUsual) -> None:
    operation = Operation("nobody", "nothing")
    assert usual.durations([operation], AT) == ({(operation, None): Durations(0, 0, None, None, None, FROM, AT)}, None)


def test_the_hours_begin_with_a_whole_minute_and_end_at_the_nanosecond(opened: Any, usual: ChdbUsual) -> None:
    operation = Operation("edges", "GET /")
    inside = [FROM, AT - 1, AT // MINUTE * MINUTE, AT // MINUTE * MINUTE - 1, FROM - DAY, AT - DAY - 1]
    outside = [FROM - 1, AT, AT + HOUR, FROM - DAY - 1, AT - DAY, AT - 2 * HOUR, AT - 2 * DAY]
    opened.put([request_of(One(operation, start, 5 * MS, status=2) for start in inside + outside)])
    found = ask(usual, operation)
    assert (found.count, found.failed) == (len(inside), len(inside))
    assert (found.from_unix_nano, found.to_unix_nano) == (FROM, AT)
    at_a_minute = ask(usual, operation, AT // MINUTE * MINUTE)
    assert at_a_minute.count == 3  # neither what starts with the minute nor after it, on both days
    assert at_a_minute.from_unix_nano == FROM


def test_percentiles_are_those_of_a_count_by_hand(opened: Any, usual: ChdbUsual) -> None:
    rng = random.Random(15)
    operations = [Operation(f"sorted {n}", name) for n in range(3) for name in ("GET /", "", "süd 'o\\n\t{a}")]
    operations.append(Operation("", "no service"))
    spans = [
        One(
            rng.choice(operations),
            rng.choice((AT, AT - DAY)) - rng.randrange(2 * HOUR),
            int(rng.lognormvariate(16, 2)),
            rng.choice((SERVER, CLIENT)),
            rng.choice((0, 1, 2)),
        )
        for _ in range(20_000)
    ]
    for at in range(4):  # several segments, so that a minute has several rows
        opened.put([request_of(spans[at::4])])
    found, missing = usual.durations(operations, AT)
    assert missing is None
    in_windows = [s for s in spans if FROM <= s.start < AT or FROM - DAY <= s.start < AT - DAY]
    for operation in operations:
        for kind in (None, SERVER, CLIENT):
            expected = [s for s in in_windows if s.operation == operation and kind in (None, s.kind)]
            durations = [s.duration for s in expected]
            got = found[operation, kind]
            assert got.count == len(expected) > ENOUGH
            assert got.failed == sum(s.status == 2 for s in expected)
            assert near(got.p50_ns, durations, 0.5)
            assert near(got.p95_ns, durations, 0.95)
            assert near(got.p99_ns, durations, 0.99)
            assert len(got.percentiles_ns) == 99
            assert list(got.percentiles_ns) == sorted(got.percentiles_ns)
            for level, value in enumerate(got.percentiles_ns, 1):
                assert near(value, durations, level / 100), (operation, kind, level)


@pytest.mark.parametrize("count", [1, ENOUGH - 1, ENOUGH])
def test_few_samples_are_counted_and_give_no_percentiles(opened: Any, usual: ChdbUsual, count: int) -> None:
    operation = Operation("few", f"{count} times")
    opened.put([request_of(One(operation, AT - n * MINUTE - 1, (n + 1) * MS) for n in range(count))])
    found = ask(usual, operation)
    assert found.count == count
    assert (found.p50_ns is None) == (found.p95_ns is None) == (found.p99_ns is None) == (count < ENOUGH)
    assert len(found.percentiles_ns) == (99 if count >= ENOUGH else 0)
    if count == ENOUGH:  # few enough to be exact
        assert found.p50_ns == pytest.approx(15 * MS, rel=1e-6)
        assert found.p95_ns == pytest.approx(29 * MS, abs=MS)


def test_a_time_at_the_ends_of_all_time_has_no_samples(usual: ChdbUsual) -> None:
    for at in (0, 1, 946_684_800 * SECOND, 4_102_444_800 * SECOND, 2**63 - 1):
        assert ask(usual, Operation("few", "1 times"), at).count == 0


def test_what_retention_dropped_is_not_counted(opened: Any, usual: ChdbUsual) -> None:
    operation = Operation("old", "GET /")
    arrived_earlier = AT - 40 * DAY
    opened.put([request_of(One(operation, AT - MINUTE, MS) for _ in range(40))], arrived_earlier)
    opened.put([request_of(One(operation, AT - MINUTE, 2 * MS) for _ in range(35))])
    assert ask(usual, operation).count == 75
    opened.store.maintenance.expire(
        now_unix_nano=time.time_ns(), retention_s=30 * 86_400, max_disk_bytes=1 << 40, beside_bytes=0
    )
    found = ask(usual, operation)
    assert found.count == 35
    assert found.p50_ns == pytest.approx(2 * MS, rel=1e-6)


def test_more_operations_than_a_trace_is_asked_for_are_one_statement(opened: Any, usual: ChdbUsual) -> None:
    operations = [Operation("many", f"operation {n} with a name of some length, as names can be") for n in range(500)]
    opened.put([request_of(One(operation, AT - MINUTE, MS) for operation in operations)])
    found, _ = usual.durations(operations, AT)
    assert [found[operation, None].count for operation in operations] == [1] * 500


def test_a_question_that_takes_too_long_is_not_an_empty_answer(
    opened: Any, usual: ChdbUsual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew_server.store.chdb_usual.QUESTION_S", 0.0)
    with pytest.raises(Unavailable, match="did not answer"):
        ask(usual, Operation("few", "1 times"))
