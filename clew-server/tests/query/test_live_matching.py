"""Queries on what has arrived, against the evaluator by which the store's answers are checked too: there is one meaning."""

from __future__ import annotations

import functools
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput
from clew_server.query.language.parser import parse
from clew_server.query.live.matching import matching
from clew_server.query.live.seen import SeenTrace

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import NOW, Known, holds, made
from live_traces import seen
from random_queries import drawn, times


@functools.cache
def shop() -> tuple[Known, dict[str, SeenTrace]]:
    known, requests = made(random.Random(5), 150)
    return known, seen([*requests, requests[0], requests[2]])  # as exporters send again whose answers were lost


def matched(text: str, traces: dict[str, SeenTrace]) -> set[str]:
    matches = matching(parse(text, times))
    return {trace_id for trace_id, trace in traces.items() if matches(trace)}


@settings(max_examples=150)
@given(st.integers(0, 1 << 32))
def test_any_query_matches_what_arrives_as_it_matches_what_is_looked_at_span_by_span(seed: int) -> None:
    known, traces = shop()
    text = drawn(random.Random(seed), sorted(known.traces))
    node = parse(text, times)
    expected = {trace_id for trace_id, rows in known.traces.items() if holds(node, rows)}
    assert matched(text, traces) == expected, text


def one(*attributes: tuple[str, AnyValue], name: str = "GET /") -> dict[str, SeenTrace]:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=b"t" * 16, span_id=b"s" * 8, name=name, start_time_unix_nano=NOW, end_time_unix_nano=NOW + 5
        )
    )
    for key, value in attributes:
        span.attributes.add(key=key).value.CopyFrom(value)
    return seen([request])


def test_an_expression_that_would_take_python_for_ever_is_answered_at_once() -> None:
    traces = one(name="a" * 5_000 + "!")
    assert not matched('name=~"^(a|a)*$"', traces)
    assert matched('name=~"^(a|a)*!$"', traces)


@pytest.mark.parametrize("text", ["9" * 60_000 + "x", "1" * 60_000])
def test_a_text_of_very_many_digits_is_compared_at_once(text: str) -> None:
    traces = one(("n", AnyValue(string_value=text)))
    assert bool(matched("n>5", traces)) is text.endswith("1")


@pytest.mark.parametrize(
    ("text", "position"),
    [('name=~"("', 6), ('service=a event.k !~ "[z-a]"', 21), ('{name=~x} > {status.message=~"*"}', 29)],
)
def test_what_is_no_regular_expression_is_refused_where_it_stands(text: str, position: int) -> None:
    with pytest.raises(BadInput) as refused:
        matching(parse(text, times))
    assert (refused.value.code, refused.value.position) == ("bad_query", position)


def test_a_dot_of_an_expression_does_not_stand_for_the_end_of_a_line_as_in_the_store() -> None:
    assert not matched('name=~"a.b"', one(name="a\nb"))
    assert matched('name=~"a.b"', one(name="aüb"))


def test_events_that_come_as_log_records_belong_to_their_span() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for name in ("GET /", ""):
        scope.spans.add(
            trace_id=b"t" * 16, span_id=b"s" * 8, name=name, start_time_unix_nano=NOW, end_time_unix_nano=NOW + 5
        )
    fragment = scope.spans[1]
    fragment.attributes.add(key="clew.fragment").value.string_value = "log"
    fragment.events.append(Span.Event(name="exception", time_unix_nano=NOW))
    fragment.events[0].attributes.add(key="clew.from").value.string_value = "log"
    traces = seen([request])
    assert matched('{name="GET /" event=exception failed=true} and trace.spans=1', traces)


def test_a_trace_of_thousands_of_spans_is_matched_as_a_small_one() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(1, 4_001):
        scope.spans.add(
            trace_id=b"t" * 16,
            span_id=number.to_bytes(8, "big"),
            parent_span_id=(number - 1).to_bytes(8, "big") if number > 1 else b"",
            name=f"n{number % 7}",
            kind=number % 6,  # type: ignore[arg-type]
            start_time_unix_nano=NOW + number,
            end_time_unix_nano=NOW + number + number % 11,
        )
    traces = seen([request])
    for text in (
        "dur=10ns kind=client",
        "trace.spans=4000",
        "trace.duration>=4000ns",
        "{name=n1} > {name=n2 dur>0.5ns}",
    ):
        assert matched(text, traces), text
    for text in ("dur>10ns", "failed=true", "trace.errors>0", "{name=n1} > {name=n3}"):
        assert not matched(text, traces), text
