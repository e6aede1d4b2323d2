"""Queries against an evaluator that looks at every span: random spans with every type of attribute, random queries of the grammar."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import BadInput
from clew_server.model.query_tree import Node
from clew_server.model.search import Search, Sort
from clew_server.query.language.parser import parse
from clew_server.query.live.matching import matching
from clew_server.query.live.seen import SeenTrace
from clew_server.store import chdb_search, steps
from clew_server.store.where import related

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import Known, holds, made, put_all
from live_traces import seen
from random_queries import condition, drawn, times

QUERIES = int(os.environ.get("CLEW_QUERIES", "30"))
FIRST_SEED = int(os.environ.get("CLEW_SEED", "0"))

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def sent() -> tuple[Known, list[ExportTraceServiceRequest]]:
    return made(random.Random(5), 400)


@pytest.fixture(scope="module")
def arriving(sent: tuple[Known, list[ExportTraceServiceRequest]]) -> dict[str, SeenTrace]:
    """The same traces as a live tail looks at them."""
    return seen(sent[1])


@pytest.fixture(scope="module")
def shop(opened: Any, sent: tuple[Known, list[ExportTraceServiceRequest]]) -> tuple[Any, Known]:
    known, requests = sent
    put_all(
        opened, [*requests, requests[0], requests[2], requests[2]]
    )  # as exporters send again whose answers were lost
    return opened.store.reader, known


def expected(known: Known, node: Node | None) -> list[str]:
    found = [
        (min(row.span.start_time_unix_nano for row in rows), trace_id)
        for trace_id, rows in known.traces.items()
        if holds(node, rows)
    ]
    return [trace_id for _, trace_id in sorted(found, reverse=True)]


def found(reader: Any, node: Node | None, limit: int = 1000) -> list[str]:
    """All pages."""
    traces: list[str] = []
    cursor: str | None = None
    while True:
        page = reader.find(Search(where=node, limit=limit, cursor=cursor))
        assert page.complete, page.reason
        traces += [trace.trace_id for trace in page.traces]
        cursor = page.next
        if cursor is None:
            return traces


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + QUERIES))
def test_any_query_finds_the_traces_that_an_evaluator_finds_by_looking_at_every_span(
    shop: Any, arriving: dict[str, SeenTrace], seed: int
) -> None:
    reader, known = shop
    text = drawn(random.Random(seed), sorted(known.traces))
    node = parse(text, times)
    in_store = found(reader, node)
    assert in_store == expected(known, node), text
    matches = matching(node)
    assert {trace_id for trace_id, trace in arriving.items() if matches(trace)} == set(in_store), text


def test_each_condition_alone_finds_what_an_evaluator_finds(shop: Any, arriving: dict[str, SeenTrace]) -> None:
    """Among others, in the queries drawn above, a wrong answer of one may not be seen."""
    reader, known = shop
    trace_id = min(known.traces)
    words = ["cart", "CART", '"get /p"', "pay", "g*y"]
    for text in [*words, *(condition(random.Random(seed), trace_id) for seed in range(40))]:
        node = parse(text, times)
        in_store = found(reader, node)
        assert in_store == expected(known, node), text
        matches = matching(node)
        assert {one for one, trace in arriving.items() if matches(trace)} == set(in_store), text
    assert found(reader, parse('"get /p"', times)), "names of operations are looked at"


@pytest.mark.parametrize(
    "limits",
    [
        {"_RARE_SPANS": 0},  # no condition is rare: all spans of the traces that have all
        {"_TRACES": 0},  # the parents by time
        {"_RARE_SPANS": 1_000_000, "_TRACES": 1_000_000, "_SPANS": 1 << 40},  # by trace, where there is no fragment
        {"_RARE_SPANS": 1_000_000, "_SPANS_LIKE": 10},
    ],
    ids=str,
)
def test_what_is_below_another_is_found_alike_by_each_way_to_read_the_parents(
    shop: Any, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    reader, known = shop
    for name, value in limits.items():
        monkeypatch.setattr(related, name, value)
    drawn_ones = (drawn(random.Random(seed), sorted(known.traces)) for seed in range(400))
    below = [text for text in drawn_ones if ">>" in text][:8]
    for text in [*below, "{} >> {status=error}", "{} >> {}", "{kind=server} > {} >> {kind=client}"]:
        node = parse(text, times)
        assert found(reader, node) == expected(known, node), text


OF_NUMBERS = [
    f"trace.{place}{op}{number}"
    for place in ("spans", "errors")
    for op, number in [(">", 1), (">", 3.5), (">=", 2), ("<", 2), ("<=", 1), ("<=", 4), ("=", 1), ("=", 2), ("!=", 6)]
]


@pytest.mark.parametrize(
    "text",
    [
        *OF_NUMBERS,
        "{failed=true trace.spans<=2}",
        "{trace.errors=1} > {kind=server}",
        "{root=true} >> {not trace.spans in (4, 6)}",
    ],
)
def test_a_span_that_came_in_several_requests_counts_once_in_conditions(shop: Any, text: str) -> None:
    reader, known = shop
    node = parse(text, times)
    assert found(reader, node, limit=100) == expected(known, node), text


def test_listed_traces_have_each_span_once(shop: Any) -> None:
    reader, known = shop
    listed = reader.find(Search(where=parse("trace.spans>1", times), limit=1000)).traces
    assert {trace.trace_id: (trace.spans, trace.errors) for trace in listed} == {
        trace_id: (len(rows), sum(row.span.status.code == 2 for row in rows))
        for trace_id, rows in known.traces.items()
        if len(rows) > 1
    }


def test_pages_list_each_trace_of_a_query_once(shop: Any) -> None:
    reader, known = shop
    node = parse("{kind in (server, client)} and not {failed=true}", times)
    assert found(reader, node, limit=7) == expected(known, node) != []


@pytest.mark.parametrize("sort", ["-start", "start"])
def test_pages_from_many_short_windows_list_each_trace_once(
    shop: Any, monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    reader, known = shop
    monkeypatch.setattr(chdb_search, "_MORE_TO_LOOK_AT", 5)
    monkeypatch.setattr(steps, "_LEAST_NS", (1, 1, 1, 1, 1))
    node = parse("failed=true", times)
    starts = {one: min(row.span.start_time_unix_nano for row in rows) for one, rows in known.traces.items()}
    wanted = sorted(((starts[one], one) for one in expected(known, node)), reverse=True)
    listed: list[str] = []
    cursor: str | None = None
    for limit in (3, 40, 1, 1_000):
        page = reader.find(Search(where=node, limit=limit, cursor=cursor, sort=sort))
        assert page.complete, page.reason
        listed += [trace.trace_id for trace in page.traces]
        cursor = page.next
    assert cursor is None
    if sort == "start":
        wanted.sort(key=lambda one: one[0])  # ties stay by id, descending
    assert listed == [one for _, one in wanted]
    assert len(listed) > 100


def test_old_and_new_names_of_an_attribute_are_one_key_unless_it_is_asked_for_exactly(shop: Any) -> None:
    reader, known = shop
    both, old = (parse(text, times) for text in ("http.request.method=PUT", "exact(http.request.method)=PUT"))
    assert found(reader, both) == expected(known, both) != []
    assert found(reader, old) == expected(known, old) == []


@pytest.mark.parametrize(
    ("text", "position"),
    [('name=~"("', 6), ('service=a event.k !~ "[z-a]"', 21), ('{name=~x} > {status.message=~"*"}', 29)],
)
def test_what_is_no_regular_expression_is_refused_where_it_stands(shop: Any, text: str, position: int) -> None:
    reader, _ = shop
    with pytest.raises(BadInput) as refused:
        reader.find(Search(where=parse(text, times)))
    assert (refused.value.code, refused.value.position) == ("bad_query", position)
