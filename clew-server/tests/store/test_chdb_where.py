"""Queries against an evaluator that looks at every span: random spans with every type of attribute, random queries of the grammar."""

from __future__ import annotations

import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew_server.errors import BadInput
from clew_server.model.query_tree import Node
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.query.language.parser import parse

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import ATTRIBUTES, KEYS, NAMES, NOW, SECOND, SERVICES, Known, elements, holds, made, put_all, text_of

QUERIES = int(os.environ.get("CLEW_QUERIES", "30"))
FIRST_SEED = int(os.environ.get("CLEW_SEED", "0"))

pytestmark = pytest.mark.timeout(600)


# Queries


def quoted(text: str) -> str:
    out = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{out}"'


def any_value(chance: random.Random) -> str:
    texts = [text_of(one) for values in ATTRIBUTES.values() for value in values for one in elements(value)]
    numbers = ["5", "5.0", "200.0", "1e+21", "1e21", "NaN", "Infinity", "-5", "9223372036854775807", "0", "0.5", "500"]
    return chance.choice(
        [quoted(chance.choice(texts)), chance.choice(numbers), chance.choice(["G*", "*", "*0*", "*5", "a", "north"])]
    )


NAME_PATTERNS = ["GET*", "*pay", "a\\*b", "*%*", "*_*"]


def condition(chance: random.Random, trace_id: str) -> str:
    def equal() -> str:
        return chance.choice(["=", "=", "!="])

    key = chance.choice(KEYS)
    attribute = chance.choice(
        [key, key, f"span.{key}", f"resource.{key}", f"exact({key})", "event.k", "link.k", "scope.zone", "service.name"]
    )
    limits = ["5", "4.5", "-1", "200", "9223372036854775806.5", "1e20", "Infinity", "3ms", "2kB"]
    return chance.choice(
        [
            lambda: f"service{equal()}{quoted(chance.choice(SERVICES))}",
            lambda: f"name{equal()}{chance.choice([quoted(chance.choice(NAMES)), *NAME_PATTERNS])}",
            lambda: (
                f"{chance.choice(['name', 'service', 'status.message', 'scope'])} {chance.choice(['=~', '!~'])} {quoted(chance.choice(['^GET', 'a', '[ck]art$', 'line.break', 'no|x', '^$']))}"
            ),
            lambda: f"kind{equal()}{chance.choice(KIND_WORDS)}",
            lambda: f"status in ({chance.choice(STATUS_WORDS)}, {chance.choice(STATUS_WORDS)})",
            lambda: (
                f"dur{chance.choice(['>', '>=', '<', '<=', '=', '!='])}{chance.choice(['1ns', '0.5ns', '1.5ms', '500ms', '3s', '1500us'])}"
            ),
            lambda: f"root={chance.choice(['true', 'false'])}",
            lambda: f"failed={chance.choice(['true', 'false'])}",
            lambda: f"failed={chance.choice(['true', 'false'])}",
            lambda: f"event{equal()}{chance.choice(['exception', 'retry', 'd*', 'none'])}",
            lambda: f"{chance.choice(['event', 'link.trace', 'parent', 'service', 'scope', attribute])} exists",
            lambda: f"link.trace={trace_id}",
            lambda: f"id={chance.choice(['0000000000000001', '00*', '*3'])}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute}{equal()}{any_value(chance)}",
            lambda: f"{attribute} in ({any_value(chance)}, {any_value(chance)})",
            lambda: f"{attribute}{chance.choice(['>', '>=', '<', '<='])}{chance.choice(limits)}",
            lambda: f"{attribute}{chance.choice(['>', '>=', '<', '<='])}{chance.choice(limits)}",
            lambda: f"{attribute} =~ {quoted(chance.choice(['^G', '5', 'b+$', 'a.b']))}",
            lambda: chance.choice(["cart", "CART", '"get /p"', "pay", "g*y"]),
            lambda: f"trace.duration{chance.choice(['>', '<=', '='])}{chance.choice(['0ns', '1s', '3s', '1h'])}",
            lambda: (
                f"trace.{chance.choice(['spans', 'errors', 'services'])}{chance.choice(['>', '>=', '<', '<=', '=', '!='])}{chance.choice(['0', '1', '2', '3.5', '4'])}"
            ),
            lambda: f"trace.{chance.choice(['spans', 'errors'])} in ({chance.choice('0123')}, {chance.choice('246')})",
            lambda: (
                f"trace.root.{chance.choice(['service', 'name'])}{equal()}{chance.choice(['cart', '*a*', quoted('')])}"
            ),
            lambda: f"trace.id={chance.choice([trace_id, trace_id[:2] + '*', '1*'])}",
            lambda: f"trace.start>{chance.choice(['now-1m', 'now-1h', 'now-2d'])}",
        ]
    )()


def expression(chance: random.Random, leaf: Callable[[], str], depth: int = 2) -> str:
    if depth == 0 or chance.random() < 0.4:
        return leaf()
    parts = [expression(chance, leaf, depth - 1) for _ in range(2)]
    return chance.choice(
        [f"{parts[0]} {parts[1]}", f"({parts[0]} or {parts[1]})", f"not ({parts[0]})", f"{parts[0]} and not {parts[1]}"]
    )


def drawn(chance: random.Random, ids: list[str]) -> str:
    def one() -> str:
        return condition(chance, chance.choice(ids))

    def braces() -> str:
        return "{" + chance.choice(["", *[expression(chance, one, 1)] * 4]) + "}"

    def outer() -> str:
        of_trace = next(text for text in iter(one, None) if text.startswith("trace."))
        chain = braces() + "".join(
            f" {chance.choice(['>', '>>', '~'])} {braces()}" for _ in range(chance.choice([1, 1, 2]))
        )
        return chance.choice([braces(), braces(), chain, chain, of_trace])

    if chance.random() < 0.5:
        return expression(chance, one)
    while True:
        text = expression(chance, outer, 1)
        if text.count("{") <= 8:
            return text


@pytest.fixture(scope="module")
def shop(opened: Any) -> tuple[Any, Known]:
    known, requests = made(random.Random(5), 400)
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


def times(text: str) -> int:
    number, unit = re.fullmatch(r"now-(\d+)(\w)", text).groups()  # type: ignore[union-attr]
    return NOW - int(number) * {"m": 60, "h": 3600, "d": 86400}[unit] * SECOND


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + QUERIES))
def test_any_query_finds_the_traces_that_an_evaluator_finds_by_looking_at_every_span(shop: Any, seed: int) -> None:
    reader, known = shop
    text = drawn(random.Random(seed), sorted(known.traces))
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
