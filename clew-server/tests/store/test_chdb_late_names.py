"""Names that an agent says after its spans are stored: queries find these spans as if the names had come in time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew import ids
from clew_server.collector.remembered import Remembered
from clew_server.errors import BadInput
from clew_server.model import pinpoint as words
from clew_server.model.red import RedAsked
from clew_server.model.search import Search, SpanCondition
from clew_server.query.language.parser import parse
from clew_server.query.live.matching import matching
from clew_server.query.service import QueryService
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.pinpoint import specs
from clew_server.testing import pinpoint
from clew_server.testing.pinpoint import Chunk, Event, Span

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from live_traces import seen
from random_queries import times

START_MS = 1_795_414_473_000
OTHER = pinpoint.HEADERS | {"agentid": "agent-2", "applicationname": "stock", "starttime": "1795414467999"}
SAID = [
    ("RequestApiMetaData", pinpoint.api_metadata(1, "org.shop.Cart.add(int n)", 12)),
    ("RequestApiMetaData", pinpoint.api_metadata(2, "org.shop.Cart.pay()", 30)),
    ("RequestSqlMetaData", pinpoint.id_and_text(1, "select 0#")),
    ("RequestStringMetaData", pinpoint.id_and_text(1, "org.shop.NoStock")),
    ("RequestStringMetaData", pinpoint.id_and_text(2, "jdbc:late")),
]
QUERIES = [
    "name=Cart.add",
    "name=Cart.pay",
    "name!=Cart.pay",
    "name=Cart.*",
    'name=~"Cart.(add|pay)"',
    "cart.add",
    "code.function.name=org.shop.Cart.add",
    "code.line.number>12",
    "code.line.number>=12 name=Cart.pay",
    "pinpoint.api exists",
    'db.query.text="select ?"',
    'db.statement="select ?"',
    "pinpoint.cached_args.0=jdbc:late",
    "event.exception.type=org.shop.NoStock",
    "not event.exception.type=org.shop.NoStock",
    "{ service=shop name=Cart.pay }",
    "{ service=stock name=Cart.pay }",
    "{ name=/buy } > { name=Cart.add }",
    "{ name=/buy } >> { db.query.text exists }",
    "name=/buy",
    "name=other",
    "resource.service.name=shop name=Cart.add",
    "span.code.line.number=30",
]

COUNTED = ("name=Cart.add", "name!=Cart.pay", "{ name=/buy } >> { db.query.text exists }")
"""Whose traces are counted too, which takes ten times as long."""


def span(number: int, *events: Event, rpc: str = "/buy", api_id: int = 0) -> bytes:
    transaction = ("agent-1", START_MS, number)
    return pinpoint.span_message(
        Span(number, transaction, start_ms=START_MS + number, rpc=rpc, api_id=api_id, events=events)
    )


MESSAGES = [
    (pinpoint.HEADERS, span(1, Event(0, 1, 0, 5, 5000, api_id=1))),
    (pinpoint.HEADERS, span(2, Event(0, 1, 0, 5, 5000, api_id=2))),
    (pinpoint.HEADERS, span(3, Event(0, 1, 0, 5, 2501, annotations=[(20, (1, "7", "")), (-30, 2)]))),
    (pinpoint.HEADERS, span(4, Event(0, 1, 0, 5, 5000, exception=(1, "none left")))),
    (pinpoint.HEADERS, span(5, rpc="", api_id=1)),
    (pinpoint.HEADERS, span(6, api_id=2)),  # named by what was asked for
    (pinpoint.HEADERS, span(7, Event(0, 1, 0, 5, 5000, api_id=3))),  # which nobody ever says
    # The same numbers of another agent mean something else.
    (OTHER, span(8, Event(0, 1, 0, 5, 5000, api_id=1))),
    (OTHER, pinpoint.chunk_message(Chunk(9, [Event(0, 1, 0, 5, 5000, api_id=2)], ("agent-1", START_MS, 9)))),
]


class Told:
    """What is remembered of agents, and what was made of the messages with what was known when they came."""

    def __init__(self, folder: Path) -> None:
        self.remembered = Remembered(folder)
        self.remembered.open()
        self.facts = self.remembered.facts("pinpoint")

    def decode(self) -> list[OtlpBatch]:
        return [
            specs.COLLECTOR.decode(body, Head(specs.SEND_SPAN, headers=headers, known=self.facts))
            for headers, body in MESSAGES
        ]

    async def note(self, batches: list[OtlpBatch]) -> None:
        for batch in batches:
            await self.remembered.add("pinpoint", batch.notes)

    async def say(self) -> None:
        for headers, some in ((pinpoint.HEADERS, SAID), (OTHER, SAID[1:2])):
            for method, body in some:
                path = f"/v1.Metadata/{method}"
                await self.remembered.add(
                    "pinpoint", specs.COLLECTOR.remembers[path](body, Head(path, headers=headers))
                )


@pytest.fixture(scope="module")
def told(opened: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("agents"))
    batches = made.decode()
    assert sum(batch.unnamed for batch in batches) == 9
    opened.put([batch.request for batch in batches], START_MS * 1_000_000)
    asyncio.run(made.note(batches))
    assert words.late(made.facts) == []
    asyncio.run(made.say())
    yield made
    made.remembered.close()


def ask(opened: Any, told: Told, body: Callable[[QueryService], Coroutine[Any, Any, Any]]) -> Any:
    store = opened.store
    service = QueryService(
        store.reader,
        store.reader,
        store.reader,
        summaries=store.summaries,
        red=store.red,
        completion=store.completion,
        known=told.facts,
    )
    try:
        return asyncio.run(body(service))
    finally:
        service.close()


def in_time(told: Told, text: str) -> list[str]:
    """The traces that a query finds where all names are known when the spans come."""
    traces = seen([ExportTraceServiceRequest.FromString(batch.request) for batch in told.decode()])
    matches = matching(parse(text, times))
    return sorted(trace_id for trace_id, trace in traces.items() if matches(trace))


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_finds_what_it_would_find_had_the_names_come_in_time(opened: Any, told: Told, text: str) -> None:
    expected = in_time(told, text)
    search = Search(where=parse(text, times))

    async def body(service: QueryService) -> None:
        page = await service.search(search)
        assert page.complete, page.reason
        assert sorted(trace.trace_id for trace in page.traces) == expected
        if text in COUNTED:
            assert (await service.summary(search, None)).totals.matched == len(expected)

    ask(opened, told, body)


CONDITIONS = {
    "name=Cart.pay": SpanCondition("name", "=", "Cart.pay"),
    "code.line.number=30": SpanCondition("attr", "=", "30", "code.line.number"),
    "code.function.name=org.shop.Cart.add": SpanCondition("anywhere", "=", "org.shop.Cart.add", "code.function.name"),
    "event.exception.type=org.shop.NoStock": SpanCondition("anywhere", "=", "org.shop.NoStock", "exception.type"),
    "pinpoint.sql exists": SpanCondition("mark", "=", "pinpoint.sql"),
    "name=/buy": SpanCondition("name", "=", "/buy"),
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_jaegers_and_zipkins_conditions_find_the_same(opened: Any, told: Told, text: str) -> None:
    expected = in_time(told, text)
    page = ask(opened, told, lambda service: service.search(Search(span=(CONDITIONS[text],))))
    assert sorted(trace.trace_id for trace in page.traces) == expected


def test_a_condition_that_a_late_name_satisfies_is_not_satisfied_when_it_is_negated(opened: Any, told: Told) -> None:
    # The one event of the second trace.
    others = SpanCondition("attr", "=", "2", "pinpoint.span_id"), SpanCondition("attr", "=", "1", "pinpoint.depth")
    found = {}
    for op in ("=", "!="):
        search = Search(span=(*others, SpanCondition("name", op, "Cart.pay")))
        found[op] = [
            trace.trace_id for trace in ask(opened, told, lambda service, it=search: service.search(it)).traces
        ]
    assert found == {"=": in_time(told, "name=Cart.pay pinpoint.span_id=2"), "!=": []}
    assert len(found["="]) == 1


def test_figures_and_values_of_a_query_know_late_names_too(opened: Any, told: Told) -> None:
    search = Search(
        where=parse("name=Cart.add", times),
        from_unix_nano=START_MS * 1_000_000,
        to_unix_nano=(START_MS + 9) * 1_000_000,
    )

    async def body(service: QueryService) -> tuple[int, list[str]]:
        red = await service.red(RedAsked(search, "service", 60_000_000_000))
        keys = await service.keys(search, "pinpoint.unres", 10)
        return sum(one.whole.spans for one in red.series), [one.key for one in keys.found]

    assert ask(opened, told, body) == (2, ["pinpoint.unresolved"])


def test_a_wrong_expression_is_refused_as_ever(opened: Any, told: Told) -> None:
    with pytest.raises(BadInput, match="not a regular expression"):
        ask(opened, told, lambda service: service.search(Search(where=parse('name=~"("', times))))


def test_where_no_name_came_late_a_query_is_the_same_tree(tmp_path: Path) -> None:
    untold = Told(tmp_path)
    batches = untold.decode()
    asyncio.run(untold.note(batches))
    asyncio.run(untold.note(batches))
    assert words.late(untold.facts) == []
    assert untold.remembered.statistics().facts == 8
    untold.remembered.close()
    again = Told(tmp_path)
    asyncio.run(again.say())
    assert {(one.agent_id, one.reference) for one in words.late(again.facts)} >= {
        ("agent-1", "api:1"),
        ("agent-1", "sql:1"),
        ("agent-1", "string:1=exception.type"),
        ("agent-2", "api:2"),
    }
    again.remembered.close()


def test_a_trace_has_the_names_that_search_finds(opened: Any, told: Told) -> None:
    trace_id = ids.trace_id_from_pinpoint(f"agent-1^{START_MS}^6").hex()

    async def body(service: QueryService) -> list[str]:
        return await service.trace(trace_id, lambda trace: [trace.name_of(row) for row in range(len(trace))])

    assert ask(opened, told, body) == ["/buy"]
