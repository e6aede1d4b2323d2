"""Search against counting by hand: the same traces, in the same order, in exact pages, whatever the condition."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput
from clew_server.model.query_tree import ANY, And, Braces, Op, Or, Relation, SpanTerm, TraceTerm, Value
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Compare, Search, SpanCondition
from clew_server.store import chdb_search, queries
from clew_server.store.contract import TraceSummary
from clew_server.store.macros import expand

SECOND = 1_000_000_000
NOW = time.time_ns()
SERVICES = ["cart", "payment", "süd 'o\\nder", "", "a=b"]
NAMES = ["GET /", "POST /pay", "", "tab\there"]
TEXTS: dict[str, list[AnyValue]] = {
    "n": [AnyValue(int_value=value) for value in (0, -5, 127, 128, 2**56, 2**63 - 1, -(2**63))],
    "ok": [AnyValue(bool_value=True), AnyValue(bool_value=False)],
    "http.route": [AnyValue(string_value=value) for value in ("/pay", "", "x" * 200, "ü'\\\t{a}", "5")],
    "odd=key": [AnyValue(string_value="a=b")],
    "ratio": [AnyValue(double_value=0.5), AnyValue(double_value=-2.25)],
}


EVENTS = [(name, value) for name in ("exception", "ü'\\") for value in ("1", "", "two")]


@dataclass
class One:
    service: str
    zone: str
    name: str
    kind: int
    status: int
    start: int
    duration: int
    has_parent: bool
    attributes: list[tuple[str, str]]
    events: list[tuple[str, str]]
    """Name and value of `k`, whether in the span or in a fragment of it."""
    links: list[str] = field(default_factory=list)
    """Ids of traces."""


@dataclass
class Known:
    """What was stored, as Python values."""

    traces: dict[str, list[One]] = field(default_factory=dict)

    def expected(self, search: Search) -> list[TraceSummary]:
        found = []
        for trace_id, spans in self.traces.items():
            start = min(span.start for span in spans)
            duration = max(span.start + span.duration for span in spans) - start
            begin, end = search.span_from_unix_nano or 0, search.span_to_unix_nano or NOW * 2
            of_time = [span for span in spans if begin <= span.start < end]
            if not any(all(holds(span, condition) for condition in search.span) for span in of_time):
                continue
            if isinstance(search.where, TraceTerm):
                (value,) = search.where.values
                if not compare(duration, search.where.op, int(value.text)):
                    continue
            if search.from_unix_nano is not None and start < search.from_unix_nano:
                continue
            if search.to_unix_nano is not None and start >= search.to_unix_nano:
                continue
            first = min(spans, key=lambda span: (span.has_parent, span.start, span.service, span.name, span.duration))
            errors = sum(span.status == 2 for span in spans)
            services = tuple(sorted({span.service for span in spans}))
            found.append(
                TraceSummary(
                    trace_id,
                    start,
                    duration,
                    len(spans),
                    errors,
                    first.service,
                    first.name,
                    not first.has_parent,
                    services,
                )
            )
        return sorted(found, key=lambda trace: (trace.start_unix_nano, trace.trace_id), reverse=True)


def text_of(value: AnyValue) -> str:
    which = value.WhichOneof("value")
    plain = getattr(value, which)
    return str(plain).lower() if which == "bool_value" else str(plain)


def compare(left: int, op: str, right: int) -> bool:
    return {"=": left == right, ">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[op]


def holds(span: One, condition: SpanCondition) -> bool:
    if condition.field == "dur":
        assert isinstance(condition.value, int)
        return compare(span.duration, condition.op, condition.value)
    if condition.op == "!=":
        return not holds(span, replace(condition, op="="))
    if condition.field == "link_trace":
        return condition.value in span.links
    if condition.field == "event":
        return any(condition.value == (value if condition.key else name) for name, value in span.events)
    if condition.field in ("attr", "anywhere"):
        return (condition.key, condition.value) in [
            *(("k", value) for _, value in span.events if condition.field == "anywhere"),
            *span.attributes,
            ("service.name", span.service),
            ("zone", span.zone),
        ]
    return condition.value == {
        "service": span.service,
        "name": span.name,
        "kind": KIND_WORDS[span.kind],
        "status": STATUS_WORDS[span.status],
    }.get(condition.field)


def add_event(span: Span, event: tuple[str, str]) -> None:
    span.events.add(name=event[0]).attributes.add(key="k").value.string_value = event[1]


def made(chance: random.Random, traces: int) -> tuple[Known, list[ExportTraceServiceRequest]]:
    """Traces from minutes to years ago, their spans in different requests; some equal starts, some very long traces."""
    known = Known()
    requests = [ExportTraceServiceRequest() for _ in range(8)]
    groups = {}
    for number in range(traces):
        trace_id = chance.randbytes(16)
        ago_s = chance.choice([10, 200, 2_000, 20_000, 200_000, 5_000_000, 80_000_000]) * chance.random()
        begin = NOW - int(ago_s * SECOND)
        if number % 5 == 0:
            begin = begin // (60 * SECOND) * 60 * SECOND  # several traces start at one instant
        spans = []
        rootless = chance.random() < 0.2
        for at in range(chance.choice([1, 2, 5])):
            one = One(
                service=chance.choice(SERVICES),
                zone=chance.choice(["north", "5"]),
                name=chance.choice(NAMES),
                kind=chance.randrange(6),
                status=chance.choice([0, 0, 1, 2]),
                start=begin + (chance.choice([0, SECOND, 7_200 * SECOND]) if at else 0),
                duration=chance.choice([0, 1, 500_000_000, 3 * SECOND]),
                has_parent=bool(at) or rootless,
                attributes=[],
                events=[],
            )
            where = chance.randrange(len(requests))
            group = groups.get((where, one.service, one.zone))
            if group is None:
                resource = requests[where].resource_spans.add()
                if one.service:
                    resource.resource.attributes.add(key="service.name").value.string_value = one.service
                resource.resource.attributes.add(key="zone").value.string_value = one.zone
                group = groups[where, one.service, one.zone] = resource.scope_spans.add(schema_url="s")
            span = group.spans.add(
                trace_id=trace_id,
                span_id=chance.randbytes(8),
                name=one.name,
                kind=one.kind,
                start_time_unix_nano=one.start,
                end_time_unix_nano=one.start + one.duration,
                parent_span_id=chance.randbytes(8) if one.has_parent else b"",
            )
            span.status.code = one.status
            for key in chance.sample(sorted(TEXTS), chance.randrange(4)):
                for value in chance.sample(TEXTS[key], min(len(TEXTS[key]), chance.choice([1, 1, 2]))):
                    span.attributes.add(key=key).value.CopyFrom(value)  # now and then one key twice
                    one.attributes.append((key, text_of(value)))
            for _ in range(chance.choice([0, 0, 0, 1, 2])):
                event = chance.choice(EVENTS)
                one.events.append(event)
                if chance.random() < 0.5:
                    add_event(span, event)
                    continue
                # As from a log: anywhere among the requests, of a service that has no spans.
                resource = requests[chance.randrange(len(requests))].resource_spans.add()
                resource.resource.attributes.add(key="service.name").value.string_value = "logger"
                fragment = resource.scope_spans.add().spans.add(trace_id=trace_id, span_id=span.span_id)
                fragment.start_time_unix_nano = fragment.end_time_unix_nano = one.start + chance.randrange(SECOND)
                fragment.attributes.add(key="clew.fragment").value.string_value = "log"
                add_event(fragment, event)
            if known.traces and chance.random() < 0.1:
                one.links.append(chance.choice(sorted(known.traces)))
                span.links.add(trace_id=bytes.fromhex(one.links[-1]), span_id=chance.randbytes(8))
            spans.append(one)
        known.traces[trace_id.hex()] = spans
    return known, requests


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(3), 700)
    for at in range(0, len(requests), 3):  # three segments, so that summaries lie in several rows
        opened.put(requests[at : at + 3])
    return opened.store.reader, known


def drawn(chance: random.Random) -> Search:
    """Any search; most of its conditions hold for something."""
    span: list[SpanCondition] = []

    def equal() -> Compare:
        return chance.choice(["=", "=", "!="])

    if chance.random() < 0.4:
        span.append(SpanCondition("service", equal(), chance.choice(SERVICES)))
    if chance.random() < 0.2:
        span.append(SpanCondition("name", equal(), chance.choice(NAMES)))
    if chance.random() < 0.2:
        span.append(SpanCondition("kind", equal(), chance.choice(KIND_WORDS)))
    if chance.random() < 0.2:
        span.append(SpanCondition("status", equal(), chance.choice(STATUS_WORDS)))
    if chance.random() < 0.2:
        span.append(SpanCondition("dur", chance.choice(["=", ">", ">=", "<", "<="]), chance.choice([1, 500_000_000])))
    if chance.random() < 0.4:
        key = chance.choice(sorted(TEXTS))
        span.append(SpanCondition("attr", equal(), text_of(chance.choice(TEXTS[key])), key))
    if chance.random() < 0.1:
        span.append(SpanCondition("attr", equal(), chance.choice(["north", "5", "absent"]), "zone"))
    for _ in range(chance.choice([0, 0, 1, 2])):
        name, value = chance.choice(EVENTS)
        span.append(SpanCondition("event", equal(), *chance.choice([(name,), (value, "k")])))
    where = None
    if chance.random() < 0.3:
        op: Op = chance.choice(["=", ">", ">=", "<", "<="])
        length_ns = chance.choice([0, SECOND, 3 * SECOND, 7_200 * SECOND])
        where = TraceTerm("duration", op, (Value(str(length_ns), Decimal(length_ns)),))
    bounds = [None, None, NOW - 100 * SECOND, NOW - 20_000 * SECOND, NOW - 3_000_000 * SECOND]
    return Search(tuple(span), chance.choice(bounds), chance.choice(bounds), chance.choice([3, 50, 1000]), where=where)


def pages(reader: Any, search: Search) -> list[TraceSummary]:
    found: list[TraceSummary] = []
    cursor = None
    while True:
        page = reader.find(replace(search, cursor=cursor))
        assert page.complete, page.reason
        assert len(page.traces) <= search.limit
        found += page.traces
        cursor = page.next
        if cursor is None or len(found) > 60:
            return found
        assert len(page.traces) == search.limit


@pytest.mark.parametrize("seed", range(40))
def test_any_search_finds_the_same_as_counting_by_hand_page_by_page(shop: Any, seed: int) -> None:
    reader, known = shop
    search = drawn(random.Random(seed))
    found = pages(reader, search)
    expected = known.expected(search)
    assert found == (expected if len(found) <= 60 else expected[: len(found)])


@pytest.mark.parametrize("seed", range(12))
def test_spans_of_a_time_are_found_whenever_their_trace_began_and_attributes_wherever_they_stand(
    shop: Any, seed: int
) -> None:
    reader, known = shop
    chance = random.Random(seed)
    anywhere = [("k", "two"), ("k", "absent"), ("zone", "north"), ("http.route", "/pay"), ("service.name", "cart")]
    sought = [SpanCondition("anywhere", "=", value, key) for key, value in chance.sample(anywhere, seed % 3)]
    if chance.random() < 0.5:
        sought.append(SpanCondition("service", "=", chance.choice(SERVICES)))
    end = NOW - chance.choice([0, 150, 15_000]) * SECOND
    begin = end - chance.choice([100, 7_000, 4_000_000]) * SECOND
    search = Search(tuple(sought), limit=chance.choice([5, 1000]), span_from_unix_nano=begin, span_to_unix_nano=end)
    found = pages(reader, search)
    expected = known.expected(search)
    assert found == (expected if len(found) <= 60 else expected[: len(found)])


@pytest.mark.parametrize("seed", range(6))
def test_each_span_that_a_query_is_about_starts_in_the_time_that_spans_are_looked_for_in(shop: Any, seed: int) -> None:
    """The same as conditions of one span, and as a chain of relations that ends at it."""
    reader, known = shop
    chance = random.Random(seed)
    end = NOW - chance.choice([0, 150, 15_000]) * SECOND
    begin = end - chance.choice([100, 7_000, 4_000_000]) * SECOND
    service, name = chance.choice(SERVICES), chance.choice(NAMES)
    by_conditions = Search(
        (SpanCondition("service", "=", service), SpanCondition("name", "=", name)),
        limit=1000,
        span_from_unix_nano=begin,
        span_to_unix_nano=end,
    )
    braces = Braces(And((SpanTerm("service", "=", (Value(service),)), SpanTerm("name", "=", (Value(name),)))))
    expected = [one.trace_id for one in known.expected(by_conditions)]
    for where in (braces, Or((braces, braces)), And((ANY, braces))):
        found = reader.find(replace(by_conditions, span=(), where=where))
        assert [one.trace_id for one in found.traces] == expected
    below = reader.find(replace(by_conditions, span=(), where=Relation(ANY, ((">>", braces),))))
    assert {one.trace_id for one in below.traces} <= set(expected)


@pytest.mark.parametrize("limit", [1, 2, 3, 20, 50, 699, 1000])
def test_the_newest_of_any_time_are_listed_however_their_rows_lie(shop: Any, limit: int) -> None:
    """Nothing but the time is asked for, also one that begins or ends at a trace's start; traces have up to three rows, hours apart."""
    reader, known = shop
    chance = random.Random(limit)
    starts = sorted({min(span.start for span in spans) for spans in known.traces.values()})
    for _ in range(12):
        begin, end = (chance.choice([None, chance.choice(starts) + chance.choice([0, 1])]) for _ in range(2))
        search = Search(from_unix_nano=begin, to_unix_nano=end, limit=limit)
        page, expected = reader.find(search), known.expected(search)
        assert page.traces == expected[:limit]
        assert (page.next is not None) == (len(expected) > limit)
        assert page.complete


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_every_value_of_an_attribute_is_found_as_text(shop: Any, key: str) -> None:
    reader, known = shop
    for value in TEXTS[key]:
        search = Search((SpanCondition("attr", "=", text_of(value), key),), limit=1000)
        assert pages(reader, search) == known.expected(search) != []


def test_spans_that_link_to_a_trace_are_found_by_its_id(shop: Any) -> None:
    reader, known = shop
    linked = {trace_id for spans in known.traces.values() for span in spans for trace_id in span.links}
    for trace_id in [*sorted(linked)[:3], "ab" * 16]:
        search = Search((SpanCondition("link_trace", "=", trace_id),), limit=1000)
        assert pages(reader, search) == known.expected(search)
        assert bool(known.expected(search)) == (trace_id in linked)


@pytest.mark.parametrize("key", [*sorted(TEXTS), "zone"])
def test_a_span_without_the_attribute_or_with_another_value_satisfies_a_condition_with_unequal(
    shop: Any, key: str
) -> None:
    reader, known = shop
    for value in {text_of(value) for value in TEXTS.get(key, ())} | {"north", "absent", ""}:
        search = Search((SpanCondition("attr", "!=", value, key),), limit=1000)
        assert pages(reader, search) == known.expected(search)


def test_a_bare_key_is_an_attribute_of_the_span_or_of_its_resource(shop: Any) -> None:
    reader, known = shop
    for key, value in (("zone", "north"), ("service.name", "cart"), ("http.route", "5")):
        search = Search((SpanCondition("attr", "=", value, key),), limit=1000)
        assert pages(reader, search) == known.expected(search) != []


def test_the_whole_store_comes_in_pages_of_seven_without_a_gap(shop: Any) -> None:
    reader, known = shop
    search = Search(limit=7, from_unix_nano=NOW - 30_000 * SECOND)
    listed: list[TraceSummary] = []
    cursor = None
    while True:
        page = reader.find(Search(limit=7, from_unix_nano=search.from_unix_nano, cursor=cursor))
        listed += page.traces
        cursor = page.next
        if cursor is None:
            break
    assert listed == known.expected(search)


def test_services_and_operations_are_sorted_and_complete(shop: Any) -> None:
    reader, known = shop
    spans = [span for trace in known.traces.values() for span in trace]
    assert reader.services().found == sorted({span.service for span in spans})
    for service in SERVICES:
        expected = {(span.name, KIND_WORDS[span.kind]) for span in spans if span.service == service}
        assert reader.operations(service).found == sorted(expected)
    assert reader.operations("nobody").found == []


@pytest.mark.parametrize("cursor", ["made up", "", "MS4x", "MS4xLng", "é" * 4, "a" * 5000])
def test_a_cursor_that_is_not_ours_is_refused(shop: Any, cursor: str) -> None:
    with pytest.raises(BadInput):
        shop[0].find(Search(cursor=cursor))


def test_a_search_that_runs_out_of_time_says_so_and_goes_on_where_it_stopped(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, known = shop
    monkeypatch.setattr(chdb_search, "_MORE_TO_LOOK_AT", len(known.traces) // 2)
    ticks = iter([0.0] * 3 + [11.0] * 10)  # time is over after the first window
    slow = type(reader)(reader._pool, clock_s=lambda: next(ticks))
    search = Search((SpanCondition("service", "=", "cart"),), limit=1000)
    page = slow.find(search)
    assert not page.complete
    assert "10 s" in page.reason
    expected = known.expected(search)
    assert 0 < len(page.traces) < len(expected)
    rest = reader.find(Search(search.span, limit=1000, cursor=page.next))
    assert rest.complete
    assert [*page.traces, *rest.traces] == expected


@pytest.mark.parametrize("name", queries.NAMES)
def test_every_statement_is_understood_by_the_engine(opened: Any, name: str) -> None:
    words = {
        "SEGMENT": "'x'",
        "FORMAT_SCHEMA": "'y:Request'",
        "TOKEN": "'t'",
        "NICER": "10",
        "DIRECTION": "DESC",
        "NEAREST": "-1",
        "FURTHEST": "1",
        "NTH": "-5",
        "SPAN_WINDOW": "H(NS({from_ns:Int64}),NS({end_ns:Int64}))",
        "SPAN_CONDITIONS": "EQ(unhex({k:String}),unhex({v:String}))",
        "TRACE_CONDITIONS": "d>{n:UInt64}",
        "NAME_OR_NONE": "toString(name)",
        "LEVEL": "NULL",
        "IN_RESOURCES": "max(1)",
        "BESIDE": "max(1)",
        "TABLE_NAME": "spans",
        "IDS": "(SELECT toFixedString('',16))",
        "MEMBERS": queries.part("members", TRACE_SETS="1", TRACE_CONDITIONS="1", FAILED_SPANS="1"),
    }
    unbound = re.sub(r"\{\w+:[^}]+\}", "'1'", queries.statement(name, **words))
    assert opened.ask("EXPLAIN AST " + unbound)


def test_every_file_of_statements_is_named() -> None:
    folder = Path(queries.__file__).parent
    assert sorted(path.stem for path in folder.glob("*.sql")) == sorted(queries.NAMES)


def test_macros_are_whole_words_outside_quotes_with_their_arguments() -> None:
    assert expand("a Z, `Z` 'Z' aZ Z_ -- Z\n, CODEC(Z)") == "a ZSTD(1), `Z` 'Z' aZ Z_ \n, CODEC(ZSTD(1))"
    assert expand("NS({a:Int64})") == "fromUnixTimestamp64Nano({a:Int64},'UTC')"
    assert expand("FROM_HOUR(f(b,c))") == "(toStartOfHour(start)>=toStartOfHour(f(b,c)) AND start>=f(b,c))"
    with pytest.raises(ValueError, match="takes 2"):
        expand("H(a)")
    with pytest.raises(ValueError, match="never closed"):
        expand("H(a")


def test_scopes_links_and_messages_are_searched(opened: Any) -> None:
    # The last of this file: its spans are none of those that the others count by hand.
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = "library"
    scoped.scope.attributes.add(key="of").value.string_value = "scope"
    for number, message in enumerate(("first", "second"), 1):
        span = scoped.spans.add(trace_id=bytes([number]) * 16, span_id=b"12345678", start_time_unix_nano=NOW)
        span.status.message = message
        span.links.add(trace_id=b"t" * 16, span_id=b"12345678").attributes.add(key="of").value.string_value = message
    opened.put([request])
    ids = ["01" * 16, "02" * 16]
    for condition, found in (
        (SpanCondition("scope", "=", "library"), ids),
        (SpanCondition("status_message", "=", "second"), ids[1:]),
        (SpanCondition("anywhere", "=", "scope", "of"), ids),
        (SpanCondition("anywhere", "=", "first", "of"), ids[:1]),
        (SpanCondition("anywhere", "=", "third", "of"), []),
    ):
        page = opened.store.reader.find(Search((condition,)))
        assert sorted(trace.trace_id for trace in page.traces) == found, condition
