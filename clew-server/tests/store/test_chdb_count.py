"""Spans that come again in other requests: a listed trace counts as many as the trace by its id shows, on every page."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import Unavailable
from clew_server.model.otlp_read import failed
from clew_server.model.search import Search, SpanCondition
from clew_server.model.stored import StoredSpans
from clew_server.store import chdb_count
from clew_server.store.contract import TraceSummary

SECOND = 1_000_000_000


def request(service: str, spans: list[Span], *, scope: str = "s") -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = service
    group.scope_spans.add().scope.name = scope
    group.scope_spans[0].spans.extend(spans)
    return made


def spans_of(trace_id: bytes, chance: random.Random, count: int, *, apart_ns: int = 1_000) -> list[Span]:
    now = time.time_ns()
    spans = []
    for at in range(count):
        span = Span(trace_id=trace_id, span_id=chance.randbytes(7) + b"\0", name="GET /", kind=2)
        span.start_time_unix_nano = now - at * apart_ns
        span.end_time_unix_nano = now + 5
        span.status.code = chance.choice([0, 1, 2])
        span.attributes.add(key="n").value.int_value = at
        spans.append(span)
    return spans


def listed(store: Any, service: str, **more: Any) -> dict[str, tuple[int, int]]:
    page = store.reader.find(Search((SpanCondition("service", "=", service),), limit=1000, **more))
    assert page.complete, page.reason
    return {trace.trace_id: (trace.spans, trace.errors) for trace in page.traces}


def by_id(store: Any, trace_id: bytes) -> tuple[int, int]:
    spans = StoredSpans(store.reader.get(trace_id)).distinct()
    return len(spans), sum(failed(span.span) for span in spans)


def test_counts_of_a_page_are_those_of_the_traces_by_id_whatever_came_again(opened: Any) -> None:
    chance = random.Random(11)
    ids = [chance.randbytes(16) for _ in range(60)]
    everything: list[tuple[str, Span]] = []  # (scope, span)
    for trace_id in ids:
        spans = spans_of(trace_id, chance, chance.choice([1, 3, 8]), apart_ns=chance.choice([1_000, 4_000 * SECOND]))
        if chance.random() < 0.5:  # two spans of one id: another status, another event that search does not look at
            twin = Span()
            twin.CopyFrom(spans[0])
            twin.status.code = chance.choice([0, 2])
            twin.events.add(name="only here", time_unix_nano=5)
            spans.append(twin)
        if chance.random() < 0.3:
            odd = Span()
            odd.CopyFrom(spans[-1])
            odd.span_id = chance.randbytes(8)
            odd.start_time_unix_nano = 7  # placed at its arrival, another one each time
            spans.append(odd)
        everything += [("s", span) for span in spans]
        if chance.random() < 0.3:
            everything.append(("another scope", spans[0]))  # not the same span
    for _ in range(3):
        chance.shuffle(everything)
        again = [one for one in everything if chance.random() < 0.7] or everything
        for scope in ("s", "another scope"):
            opened.put([request("again", [span for name, span in again if name == scope], scope=scope)])
    found = listed(opened.store, "again")
    assert found == {trace_id.hex(): by_id(opened.store, trace_id) for trace_id in ids if trace_id.hex() in found}
    assert len(found) > 50


def test_counts_are_the_same_alone_and_together_with_traces_of_any_size(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chdb_count, "_SPANS_AT_ONCE", 1_500)  # as a page of several large traces is counted
    chance = random.Random(5)
    ids = [chance.randbytes(16) for _ in range(4)]
    spans = [span for trace_id in ids for span in spans_of(trace_id, chance, 1_000)]
    opened.put([request("large", spans)])
    opened.put([request("large", spans[::-1])])
    together = listed(opened.store, "large")
    assert {count for count, _ in together.values()} == {1_000}
    cursor = None
    for _ in ids:
        page = opened.store.reader.find(Search((SpanCondition("service", "=", "large"),), limit=1, cursor=cursor))
        assert page.complete
        (trace,) = page.traces
        assert (
            (trace.spans, trace.errors)
            == together[trace.trace_id]
            == by_id(opened.store, bytes.fromhex(trace.trace_id))
        )
        cursor = page.next


def test_a_page_of_traces_that_came_twice_takes_no_more_statements_than_one_of_one_trace(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(6)
    for service, traces in (("few", 1), ("many", 100)):
        spans = [span for _ in range(traces) for span in spans_of(chance.randbytes(16), chance, 5)]
        opened.put([request(service, spans)])
        opened.put([request(service, spans)])
    asked: list[str] = []
    run = opened.store.reader._pool.run
    monkeypatch.setattr(opened.store.reader._pool, "run", lambda *args: (asked.append(args[0]), run(*args))[1])
    listed(opened.store, "few")
    for_one = len(asked)
    assert len(listed(opened.store, "many")) == 100
    assert len(asked) - for_one == for_one


def test_counting_that_is_stopped_is_said_and_what_was_found_stays(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(8)
    span = spans_of(chance.randbytes(16), chance, 1)[0]
    twin = Span()
    twin.CopyFrom(span)
    span.status.code, twin.status.code = 0, 2
    for _ in range(2):
        opened.put([request("stopped", [span, twin])])
    monkeypatch.setattr(chdb_count, "_MAX_LOOKED_AT", 0)
    page = opened.store.reader.find(Search((SpanCondition("service", "=", "stopped"),)))
    assert [(trace.spans, trace.errors) for trace in page.traces] == [(4, 2)]
    assert not page.complete
    assert "may be counted twice" in page.reason
    assert page.next is None


def test_the_clock_that_stops_a_search_stops_its_counting(opened: Any) -> None:
    chance = random.Random(9)
    spans = spans_of(chance.randbytes(16), chance, 2)
    for _ in range(2):
        opened.put([request("late", spans)])
    now = [0.0]
    late = type(opened.store.reader)(opened.store.reader._pool, clock_s=lambda: now[0])
    question = late.question()
    now[0] = 60.0
    summary = TraceSummary(spans[0].trace_id.hex(), spans[1].start_time_unix_nano, 5, 4, 4, "late", "GET /", True)
    assert chdb_count.counted([summary], question) == (
        [summary],
        "stopped after 10 s while counting: in 1 traces a span that came in two requests may be counted twice",
    )
    too_late = type(late)(late._pool, clock_s=iter([0.0, 60.0]).__next__)
    with pytest.raises(Unavailable, match="10 s"):
        too_late.services()
