"""Rates over time against counting by hand: which minutes a point counts, by service and by operation, and its quantile."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.rates import RatePoint, RatesAsked

MINUTE = 60
NOW_S = 1_795_000_020 // MINUTE * MINUTE
SECOND_NS = 1_000_000_000
SERVICES = ("cart", "süd 'o\\nder")
NAMES = ("GET /", "POST")


class One(NamedTuple):
    service: str
    name: str
    kind: int
    failed: bool
    minute_s: int
    duration_ns: int


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, list[One]]:
    chance = random.Random(5)
    known, request = [], ExportTraceServiceRequest()
    for service in SERVICES:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scoped = resource.scope_spans.add()
        for _ in range(150):
            minute_s = NOW_S - chance.randrange(0, 40) * MINUTE
            one = One(service, chance.choice(NAMES), chance.choice([2, 3]), chance.random() < 0.3, minute_s, 0)
            one = one._replace(duration_ns=chance.randrange(1, 1_000) * 1_000_000)
            start = (minute_s + chance.randrange(MINUTE)) * SECOND_NS
            span = scoped.spans.add(
                trace_id=chance.randbytes(16),
                span_id=chance.randbytes(8),
                name=one.name,
                kind=one.kind,
                start_time_unix_nano=start,
                end_time_unix_nano=start + one.duration_ns,
            )
            span.status.code = 2 if one.failed else 0
            known.append(one)
    opened.put([request])
    return opened.store.rates, known


def by_hand(known: list[One], asked: RatesAsked) -> list[RatePoint]:
    found = []
    names = NAMES if asked.by_operation else ("",)
    for service in sorted(set(asked.services)):
        for name in sorted(names):
            for before in range(asked.points, -1, -1):
                at = asked.to_unix_s - before * asked.step_s
                seen = [
                    one
                    for one in known
                    if one.service == service
                    and name in ("", one.name)
                    and one.kind in asked.kinds
                    and at - asked.window_s <= one.minute_s < at
                    and one.minute_s >= asked.to_unix_s - asked.points * asked.step_s - asked.window_s
                ]
                if seen:
                    failed = sum(one.failed for one in seen)
                    found.append(RatePoint(service, name, at, len(seen), failed, None))
    return found


@pytest.mark.parametrize(
    ("services", "kinds", "to_s", "points", "step_s", "window_s", "by_operation"),
    [
        (("cart",), (2,), NOW_S + MINUTE, 10, 60, 600, False),
        (SERVICES, (2, 3), NOW_S + MINUTE, 5, 300, 60, True),
        (SERVICES, (3,), NOW_S - 7, 40, 61, 601, True),
        (("cart", "nobody"), (2, 3), NOW_S, 0, 60, 3_600, False),
        (("nobody",), (2, 3), NOW_S, 10, 60, 600, False),
        (("cart",), (0, 1, 2, 3, 4, 5), NOW_S - 86_400, 10, 60, 600, False),
    ],
)
def test_each_point_counts_the_minutes_of_its_window(
    shop: Any,
    services: tuple[str, ...],
    kinds: tuple[int, ...],
    to_s: int,
    points: int,
    step_s: int,
    window_s: int,
    by_operation: bool,
) -> None:
    rates, known = shop
    asked = RatesAsked(services, kinds, to_s, points, step_s, window_s, by_operation)
    found, missing = rates.rates(asked)
    assert missing is None
    assert found == by_hand(known, asked)


def test_a_point_has_the_quantile_of_the_durations_in_its_window(shop: Any) -> None:
    rates, known = shop
    for level in (0.5, 0.75, 0.95):
        (point,), _ = rates.rates(RatesAsked(("cart",), (2, 3), NOW_S + MINUTE, 0, 60, 3_600, level=level))
        durations = sorted(one.duration_ns for one in known if one.service == "cart")
        assert point.duration_ns == pytest.approx(durations[int(level * len(durations))], rel=0.1)
