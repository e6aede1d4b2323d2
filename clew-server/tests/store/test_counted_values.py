"""Values of very many spans, of which some are kept by chance when they are stored."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.completion import ValuesAsked
from clew_server.model.search import Search
from clew_server.query.language.parser import parse
from clew_server.store import chdb_completion

HOUR = 3_600_000_000_000
DAY = 1_764_374_400_000_000_000  # a midnight


def put_drawn(opened: Any, begin: int, spans: int, services: int) -> Counter[tuple[str, str, str]]:
    """Spans of a day, each service with some of the routes as its operations. Of each (service, route, tier) how many."""
    chance = random.Random(spans)
    counts: Counter[tuple[str, str, str]] = Counter()
    request = ExportTraceServiceRequest()
    scopes = []
    for number in range(services):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = f"s{number}"
        group.resource.attributes.add(key="host").value.string_value = f"h{number % 4}"
        scopes.append(group.scope_spans.add())
    for number in range(spans):
        service = chance.randrange(services)
        route, tier = f"/{service}/{chance.randrange(8)}", chance.choice(["gold", "free", "free", "free"])
        counts[f"s{service}", route, tier] += 1
        span = scopes[service].spans.add(name=route, trace_id=(begin + number).to_bytes(16, "big"))
        span.span_id = number.to_bytes(8, "big")
        span.start_time_unix_nano = span.end_time_unix_nano = begin + chance.randrange(24 * HOUR)
        span.attributes.add(key="http.route").value.string_value = route
        span.attributes.add(key="tier").value.string_value = tier
        if service != 1:
            span.attributes.add(key="http.method").value.string_value = "OLD"
        if service != 0:
            span.attributes.add(key="http.request.method").value.string_value = "NEW"
        span.attributes.add(key="text").value.string_value = "t" * (1_000 + 100 * service)
        if number % 5 == 0:
            span.attributes.add(key="host").value.string_value = "own"
        if number % 7 == 0:
            span.attributes.add(key="odd").value.string_value = "with\x1fseparator" if number % 2 else ""
    opened.put([request])
    return counts


def test_values_of_spans_that_were_kept_by_chance_have_their_share(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of attributes that go with the service and operation by which spans are sorted, of which a sample of blocks has a few."""
    monkeypatch.setattr(chdb_completion, "LOOKED_AT", 4_096)
    begin, spans = DAY, 40_000
    counts = put_drawn(opened, begin, spans, 3)
    completion = opened.store.completion
    day = Search(from_unix_nano=begin, to_unix_nano=begin + 24 * HOUR)

    def values(place: Any, key: str, search: Search = day, **more: Any) -> tuple[dict[str, int], str]:
        found = completion.attribute_values(search, ValuesAsked(place, key, limit=500, **more))
        assert found.of_many
        return {one.value: one.spans for one in found.found}, found.reason or ""

    def off(found: dict[str, int], expected: Counter[str]) -> float:
        """Which part of the spans is counted for another value than it has."""
        all_found, all_ = sum(found.values()), expected.total()
        return sum(abs(found.get(one, 0) / all_found - expected[one] / all_) for one in found | expected) / 2

    def by(place: int, service: str = "") -> Counter[str]:
        some: Counter[str] = Counter()
        for named, count in counts.items():
            if service in ("", named[0]):
                some[named[place]] += count
        return some

    for place in ("attr", "of_span"):
        routes, reason = values(place, "http.route")
        assert set(routes) == set(by(1))
        assert off(routes, by(1)) < 0.15
        (seen, of) = re.fullmatch(r"counted in ([\d,]+) of about ([\d,]+) spans that have it", reason).groups()
        assert 1_000 < sum(routes.values()) - 50 <= int(seen.replace(",", "")) < 13_000
        assert spans * 0.85 < int(of.replace(",", "")) < spans * 1.05  # values that hold the separator are left out
        tiers, _ = values(place, "tier")
        assert off(tiers, by(2)) < 0.05
    of_service = Search(from_unix_nano=begin, to_unix_nano=day.to_unix_nano, where=parse("service=s1", int))
    routes, _ = values("attr", "http.route", of_service)
    assert set(routes) == set(by(1, "s1"))
    assert set(values("attr", "http.route", prefix="0/7")[0]) == {"/0/7"}
    # Of both names of an attribute a span counts under the present one.
    for key in ("http.method", "http.request.method"):
        methods, _ = values("attr", key)
        assert off(methods, Counter(OLD=by(0)["s0"], NEW=spans - by(0)["s0"])) < 0.05
    assert set(values("attr", "http.method", exact=True)[0]) == {"OLD"}
    # What is too long is not suggested.
    texts, reason = values("attr", "text")
    assert {len(one) for one in texts} == {1_000}
    assert sum(texts.values()) * 2 < int(reason.split()[2].replace(",", ""))
    # A span's own value hides that of its resource.
    hosts, _ = values("attr", "host")
    expected = Counter({"own": spans // 5})
    for number in range(3):
        expected[f"h{number % 4}"] += by(0)[f"s{number}"] * 4 // 5
    assert off(hosts, expected) < 0.05
    of_resources, reason = values("of_resource", "host")
    assert (sum(of_resources.values()), reason) == (spans, "")
    # A value that holds the separator of texts is not taken for two; an empty one is one.
    assert set(values("of_span", "odd")[0]) == {"", "with\x1fseparator"}
    assert values("of_span", "nobody has it") == ({}, "")
    # After a merge the spans that were kept are as good.
    opened.store._connections.write.run("OPTIMIZE TABLE spans FINAL")
    routes, _ = values("attr", "http.route")
    assert off(routes, by(1)) < 0.15
