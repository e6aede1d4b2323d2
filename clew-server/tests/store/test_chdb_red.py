"""Rate, failures and durations over time, counted by hand; and what operations did before."""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.analysis.range_findings import failing_finding, slower_finding
from clew_server.model.query_tree import SpanTerm
from clew_server.model.red import Red, RedAsked
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.query.findings import query_of

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, SECOND, Known, Row, holds, made, pairs, parsed, put_all, text_of

pytestmark = pytest.mark.timeout(600)

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
FROM = NOW // MINUTE * MINUTE - 300 * MINUTE
TO = NOW // MINUTE * MINUTE + MINUTE


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(31), 40)
    put_all(opened, requests)
    return opened.store.red, known


def by_hand(
    rows: Iterable[Row], key: Callable[[Row], str | None], step_ns: int
) -> dict[Any, dict[int, tuple[int, int]]]:
    counts: dict[Any, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in rows:
        start = row.span.start_time_unix_nano
        value = key(row)
        if FROM <= start < TO and value is not None:
            counts[value][(start - FROM) // step_ns][0] += 1
            counts[value][(start - FROM) // step_ns][1] += row.span.status.code == 2
    return {one: {step: (n, bad) for step, (n, bad) in steps.items()} for one, steps in counts.items()}


def counted(red: Red) -> dict[Any, dict[int, tuple[int, int]]]:
    assert red.complete, red.reason
    for one in red.series:
        assert sum(figures.spans for _, figures in one.points) == one.whole.spans
        assert sum(figures.failed for _, figures in one.points) == one.whole.failed
    return {
        (one.service, one.value) if one.service is not None else one.value: {
            step: (figures.spans, figures.failed) for step, figures in one.points
        }
        for one in red.series
    }


def asked(text: str, by: Any, step_ns: int) -> RedAsked:
    return RedAsked(Search(where=parsed(text), from_unix_nano=FROM, to_unix_nano=TO), by, step_ns)


@pytest.mark.parametrize("text", ["", "service=cart", "kind in (server, client) name=GET*", "status=unset"])
@pytest.mark.parametrize("step_ns", [5 * MINUTE, 90 * SECOND])
def test_calls_and_failures_of_services_and_operations_are_counted_by_step(shop: Any, text: str, step_ns: int) -> None:
    red, known = shop
    node = parsed("{" + text + "}")
    rows = [row for rows in known.traces.values() for row in rows if holds(node, [row])]
    assert counted(red.red(asked(text, "service", step_ns))) == by_hand(rows, lambda row: row.service, step_ns) != {}
    found = counted(red.red(asked(text, "operation", step_ns)))
    assert found == by_hand(rows, lambda row: (row.service, row.span.name), step_ns)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("text", ["", "kind=client and trace.spans>1", "{service=cart} and {failed=true}"])
def test_spans_are_counted_by_the_value_of_an_attribute_with_exact_percentiles(shop: Any, text: str) -> None:
    red, known = shop
    if "client" in text:
        node = parsed("kind=client")
        rows = [row for rows in known.traces.values() if len(rows) > 1 for row in rows if holds(node, [row])]
    else:
        node = parsed(text)
        rows = [row for rows in known.traces.values() if holds(node, rows) for row in rows]
    rows = [row for row in rows if FROM <= row.span.start_time_unix_nano < TO]

    def zone(row: Row) -> str | None:
        return next((text_of(value) for key, value in pairs(row.span.attributes) if key == "zone"), None)

    found = red.red(asked(text, SpanTerm("of_span", "exists", key="zone"), 7 * SECOND))
    assert counted(found) == by_hand(rows, zone, 7 * SECOND)
    for one in found.series:
        lengths = sorted(
            row.span.end_time_unix_nano - row.span.start_time_unix_nano for row in rows if zone(row) == one.value
        )
        assert list(one.whole[2:5]) == [lengths[int(level * len(lengths))] for level in (0.5, 0.95, 0.99)]


def test_what_began_to_fail_and_what_got_slower_is_found_in_the_counts_by_minute(shop: Any, opened: Any) -> None:
    red, _ = shop
    to_ns = NOW // HOUR * HOUR - 1_000 * HOUR
    from_ns, broke_ns = to_ns - HOUR, to_ns - 30 * MINUTE
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "till"
    spans = group.scope_spans.add().spans
    for number in range(2 * 60 * 4):  # two hours, four a minute
        start = from_ns - HOUR + number * 15 * SECOND
        for name, slow, fails in (("POST bank", 1, 3), ("GET rates", 9, 0), ("GET /", 1, 0)):
            length = (slow if start >= from_ns else 1) * 20_000_000
            span = spans.add(trace_id=number.to_bytes(16, "big"), span_id=name[:8].encode().ljust(8, b"-"), name=name)
            span.start_time_unix_nano, span.end_time_unix_nano = start, start + length
            if start >= broke_ns and number % 4 < fails:
                span.status.code = 2  # type: ignore[assignment]
    other = request.resource_spans.add()  # fails under the same name, too seldom
    other.resource.attributes.add(key="service.name").value.string_value = "kiosk"
    for copied in [span for span in spans if span.name == "POST bank" and span.status.code == 2][:9]:
        other.scope_spans.add().spans.add().CopyFrom(copied)
        other.scope_spans[-1].spans[0].span_id = b"at-kiosk"
    opened.put([request])
    everywhere = red.failing(Search(from_unix_nano=from_ns, to_unix_nano=to_ns), MINUTE, HOUR)
    assert [(one.service, one.operation) for one in everywhere] == [("till", "POST bank")]
    search = Search(where=parsed("service=till"), from_unix_nano=from_ns, to_unix_nano=to_ns)
    (failing,) = red.failing(search, MINUTE, HOUR)
    assert (failing.service, failing.operation) == ("till", "POST bank")
    assert [step for step, _, _ in failing.steps] == list(range(-60, 60))
    assert [bad for _, _, bad in failing.steps] == [0] * 90 + [3] * 30
    found = failing_finding([failing], from_ns, to_ns, MINUTE)
    assert found is not None
    assert (
        found.text == f"Failing since {broke_ns // HOUR % 24:02}:30 UTC: till · POST bank, 90 of 120 calls (75 %), new."
    )
    beside = {one.operation: one for one in red.beside(search)}
    assert {name: (one.spans, one.usual_spans) for name, one in beside.items()} == dict.fromkeys(beside, (240, 240))
    slower = slower_finding(list(beside.values()))
    assert slower is not None
    assert slower.text == "Slower than usual: till · GET rates, p95 180 ms, usually 20 ms (240 calls)."
    # The query of each finds the traces that show it, and no others.
    for finding, traces in ((found, 90), (slower, 240)):
        page = opened.store.reader.find(
            Search(where=parsed(query_of(finding)), from_unix_nano=from_ns, to_unix_nano=to_ns, limit=1_000)
        )
        assert len(page.traces) == traces
    nothing = Search(where=parsed("service=nobody"), from_unix_nano=from_ns, to_unix_nano=to_ns)
    assert (red.failing(nothing, MINUTE, HOUR), red.beside(nothing)) == ([], [])


def test_what_fails_from_its_first_call_on_is_new_unless_it_was_called_at_any_time_before(
    shop: Any, opened: Any
) -> None:
    red, _ = shop
    to_ns = NOW // HOUR * HOUR - 3_000 * HOUR
    from_ns = to_ns - HOUR
    request = ExportTraceServiceRequest()
    groups = {}
    for service in ("hub", "office"):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = service
        groups[service] = group.scope_spans.add().spans

    def add(service: str, name: str, start: int, *, fails: bool) -> None:
        number = 2**66 + sum(len(spans) for spans in groups.values())
        span = groups[service].add(trace_id=number.to_bytes(16, "big"), span_id=b"hub-span", name=name)
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + MINUTE // 60
        span.status.code = 2 if fails else 0  # type: ignore[assignment]

    for number in range(2 * 60 * 4):
        add("hub", "GET /", from_ns - HOUR + number * 15 * SECOND, fails=False)
    for number in range(20):
        late = from_ns + 20 * MINUTE + number * 2 * MINUTE
        add("hub", "POST new", late, fails=True)  # nothing is stored of it before
        add("office", "nightly", late, fails=True)
        add("hub", "nightly", late, fails=True)
        add("hub", "mended", late, fails=True)
        for name, fails in (("nightly", True), ("mended", False)):
            add("hub", name, late - 100 * HOUR, fails=fails)
    opened.put([request])
    search = Search(where=parsed("service in (hub, office)"), from_unix_nano=from_ns, to_unix_nano=to_ns)
    found = {(one.service, one.operation): one for one in red.failing(search, MINUTE, HOUR)}
    assert {key: one.earlier for key, one in found.items()} == {
        ("hub", "POST new"): (0, 0),
        ("office", "nightly"): (0, 0),
        ("hub", "nightly"): (20, 20),
        ("hub", "mended"): (20, 0),
    }
    assert [key for key, one in found.items() if one.came is not None] == [("hub", "POST new"), ("office", "nightly")]
    assert found["hub", "POST new"].came == (320, 0, 240)  # of all operations of the store, also those not asked for
    said = {
        key: finding.text
        for key, one in found.items()
        if (finding := failing_finding([one], from_ns, to_ns, MINUTE)) is not None
    }
    at = f"{from_ns // HOUR % 24:02}:20 UTC"
    assert said == {
        ("hub", "POST new"): f"Failing since its first call at {at}: hub · POST new, 20 of 20 calls (100 %), new.",
        ("office", "nightly"): f"Failing since its first call at {at}: office · nightly, 20 of 20 calls (100 %), new.",
        ("hub", "mended"): f"Failing since {at}: hub · mended, 20 of 20 calls (100 %), new.",
    }
    # Asked of that service alone, whose only calls these are, it is new all the same.
    office = red.failing(replace(search, where=parsed("service=office")), MINUTE, HOUR)
    assert [one.came for one in office] == [(320, 0, 240)]


def test_findings_of_a_query_about_kinds_count_those_only_and_so_do_their_queries(shop: Any, opened: Any) -> None:
    red, _ = shop
    to_ns = NOW // HOUR * HOUR - 2_000 * HOUR
    from_ns, broke_ns = to_ns - HOUR, to_ns - 30 * MINUTE
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "desk"
    spans = group.scope_spans.add().spans
    for number in range(2 * 60 * 2):  # two hours, two a minute of each kind, each a trace
        start = from_ns - HOUR + number * 30 * SECOND
        for kind, fails in ((1, 0), (2, 1), (3, 2)):  # internal, server, client
            span = spans.add(trace_id=(4 * number + kind + 2**64).to_bytes(16, "big"), span_id=b"desk-get", name="GET")
            span.kind = kind  # type: ignore[assignment]
            length = 20_000_000 * (9 if start >= from_ns and kind == 2 else 1)
            span.start_time_unix_nano, span.end_time_unix_nano = start, start + length
            if start >= broke_ns and number % 2 < fails:
                span.status.code = 2  # type: ignore[assignment]
    opened.put([request])

    def found(text: str) -> tuple[str, int]:
        search = Search(where=parsed(text), from_unix_nano=from_ns, to_unix_nano=to_ns, limit=1_000)
        finding = failing_finding(red.failing(search, MINUTE, HOUR), from_ns, to_ns, MINUTE)
        assert finding is not None
        q = query_of(finding)
        return q, len(opened.store.reader.find(replace(search, where=parsed(q))).traces)

    start = 'service="desk" name="GET" '
    assert found("service=desk") == (f"{start}status=error", 90)
    assert found("service=desk kind=server") == (f"{start}kind=server status=error", 30)
    assert found("service=desk kind!=server") == (f"{start}kind in (internal, client) status=error", 60)
    assert found("(service=desk kind=client) or kind=consumer") == (f"{start}kind=client status=error", 60)
    search = Search(where=parsed("service=desk kind=server"), from_unix_nano=from_ns, to_unix_nano=to_ns)
    slower = slower_finding(red.beside(search))
    assert slower is not None
    assert query_of(slower) == f"{start}kind=server dur>20000000ns"
    assert slower_finding(red.beside(replace(search, where=parsed("service=desk kind=client")))) is None
    assert red.failing(replace(search, where=parsed("service=desk kind=internal")), MINUTE, HOUR) == []


def test_values_that_spans_are_counted_by_are_as_json_writes_them(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "lists"
    scope = group.scope_spans.add()

    def add(number: int) -> AnyValue:
        span = scope.spans.add(trace_id=(77_000 + number).to_bytes(16, "big"), span_id=b"l" * 8, name="op")
        span.start_time_unix_nano = span.end_time_unix_nano = FROM + MINUTE
        return span.attributes.add(key="of").value

    for number in range(2):
        for text in ("a", "é"):
            add(number).array_value.values.add(string_value=text)
    both = add(2).array_value
    both.values.add(int_value=1)
    both.values.add(double_value=1.5)
    add(3).kvlist_value.values.add(key="k").value.bool_value = True
    add(4).array_value.SetInParent()
    for number, text in enumerate(("CgMKAWE=", "\x01not of a list", "plain")):
        add(5 + number).string_value = text
    add(8).double_value = 200.0
    add(9).string_value = "200.0"
    add(10).int_value = 200
    add(11).double_value = math.nan
    add(12).string_value = ""
    put_all(opened, [request])
    found = opened.store.red.red(asked("service=lists", SpanTerm("of_span", "exists", key="of"), MINUTE))
    assert {one.value: one.whole.spans for one in found.series} == {
        '["a"]': 2,
        '["é"]': 2,
        "[1, 1.5]": 1,
        "[]": 1,
        '{"k": true}': 1,
        "": 1,
        "CgMKAWE=": 1,
        "\x01not of a list": 1,
        "plain": 1,
        "200.0": 2,
        "200": 1,
        "NaN": 1,
    }


def test_spans_without_the_attribute_are_counted_by_that_of_their_resource(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    for number, version in enumerate((1.0, "1.0", "2", None)):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "versions"
        if isinstance(version, float):
            group.resource.attributes.add(key="of").value.double_value = version
        elif version is not None:
            group.resource.attributes.add(key="of").value.string_value = version
        group.resource.attributes.add(key="deployment.environment").value.array_value.values.add(string_value="prod")
        for own in (None, "own"):
            span = group.scope_spans.add().spans.add(
                trace_id=(78_000 + number).to_bytes(16, "big"), span_id=(own or "none").encode().ljust(8), name="op"
            )
            span.start_time_unix_nano = span.end_time_unix_nano = FROM + MINUTE
            if own is not None:
                span.attributes.add(key="of").value.string_value = own
    put_all(opened, [request])

    def by(place: Any, key: str) -> dict[str, int]:
        found = opened.store.red.red(asked("service=versions", SpanTerm(place, "exists", key=key), MINUTE))
        return {one.value: one.whole.spans for one in found.series}

    assert by("attr", "of") == {"own": 4, "1.0": 2, "2": 1}
    assert by("of_resource", "of") == {"1.0": 4, "2": 2}
    assert by("of_span", "of") == {"own": 4}
    assert by("attr", "deployment.environment.name") == {'["prod"]': 8}
    assert by("of_resource", "nowhere") == by("attr", "nowhere") == {}


def test_old_and_new_names_of_an_attribute_are_one_key(opened: Any) -> None:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "names"
    of_spans = [
        [("http.method", "GET")],
        [("http.request.method", "GET")],
        [("http.method", "GET"), ("http.request.method", "PUT")],  # the present name counts, wherever it stands
        [("http.request.method", "PUT"), ("http.method", "GET")],
        [("http.request.method", ""), ("http.method", "GET")],
        [("http.method", 7)],
        [],
    ]
    for number, attributes in enumerate(of_spans):
        span = group.scope_spans.add().spans.add(trace_id=(79_000 + number).to_bytes(16, "big"), span_id=b"of-names")
        span.start_time_unix_nano = span.end_time_unix_nano = FROM + MINUTE
        for key, value in attributes:
            one = span.attributes.add(key=key).value
            if isinstance(value, int):
                one.int_value = value
            else:
                one.string_value = value
    of_resource = request.resource_spans.add()
    of_resource.resource.CopyFrom(group.resource)
    of_resource.resource.attributes.add(key="http.method").value.string_value = "HEAD"
    of_resource.resource.attributes.add(key="http.request.method").value.string_value = "OPTIONS"
    span = of_resource.scope_spans.add().spans.add(trace_id=(79_100).to_bytes(16, "big"), span_id=b"of-names")
    span.start_time_unix_nano = span.end_time_unix_nano = FROM + MINUTE
    put_all(opened, [request])

    def by(place: Any, key: str, *, exact: bool = False) -> dict[str, int]:
        term = SpanTerm(place, "exists", key=key, exact=exact)
        return {one.value: one.whole.spans for one in opened.store.red.red(asked("service=names", term, MINUTE)).series}

    own = {"GET": 2, "PUT": 2, "": 1, "7": 1}
    for key in ("http.method", "http.request.method"):
        assert by("of_span", key) == own
        assert by("of_resource", key) == {"OPTIONS": 1}
        assert by("attr", key) == {**own, "OPTIONS": 1}
    assert by("attr", "http.method", exact=True) == {"GET": 4, "7": 1, "HEAD": 1}
    assert by("attr", "http.request.method", exact=True) == {"GET": 1, "PUT": 2, "": 1, "OPTIONS": 1}


def test_spans_are_counted_by_kind_status_and_scope(shop: Any) -> None:
    red, known = shop
    rows = [row for rows in known.traces.values() for row in rows if row.service == "cart"]
    for place, of in (
        ("kind", lambda row: KIND_WORDS[row.span.kind]),
        ("status", lambda row: STATUS_WORDS[row.span.status.code]),
        ("scope", lambda row: row.scope or None),
    ):
        found = counted(red.red(asked("service=cart", SpanTerm(cast(Any, place), "exists"), MINUTE)))
        assert found == by_hand(rows, of, MINUTE) != {}
