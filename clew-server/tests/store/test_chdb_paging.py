"""Pages to the end while more spans of the same traces come: each trace that was there at the first page is listed once, in any order."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.model.search import SORTS, Search, Sort
from clew_server.store.listings import Listings

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode adds no path
from evaluator import parsed

SECOND = 1_000_000_000


@dataclass
class Sender:
    """Sends spans of traces that begin in the last thousand seconds."""

    opened: Any
    chance: random.Random
    known: list[bytes] = field(default_factory=list)
    now_ns: int = field(default_factory=time.time_ns)

    def send_new(self, count: int, *, service: str) -> list[str]:
        ids = [self.chance.randbytes(16) for _ in range(count)]
        self._send([(one, service) for one in ids for _ in range(self.chance.choice([1, 2, 3]))])
        self.known += ids
        return [one.hex() for one in ids]

    def send_more(self, count: int) -> None:
        """More spans of traces that are known: earlier, later, longer ones, and some that came before."""
        self._send([(self.chance.choice(self.known), "cart") for _ in range(count)])

    def _send(self, spans: list[tuple[bytes, str]]) -> None:
        request = ExportTraceServiceRequest()
        for trace_id, service in spans:
            group = request.resource_spans.add()
            group.resource.attributes.add(key="service.name").value.string_value = service
            span = group.scope_spans.add().spans.add(trace_id=trace_id, span_id=self.chance.randbytes(8), name="n")
            span.start_time_unix_nano = self.now_ns - self.chance.randrange(1000) * SECOND
            span.end_time_unix_nano = span.start_time_unix_nano + self.chance.choice([0, 1, 60]) * SECOND
        self.opened.put([request])
        if self.chance.random() < 0.5:
            self.opened.put([request])


@pytest.mark.parametrize(("text", "limit"), [("", 16), ("service=cart", 6)])
@pytest.mark.parametrize("sort", SORTS)
def test_a_trace_that_grows_while_it_is_paged_is_listed_once(opened: Any, sort: Sort, text: str, limit: int) -> None:
    sender = Sender(opened, random.Random(f"{sort}{text}{limit}"))
    ids = sender.send_new(24, service="cart")
    where = parsed(text)
    found: list[str] = []
    cursor: str | None = None
    for pages in range(1000):
        page = opened.store.reader.find(Search(where=where, sort=sort, limit=limit, cursor=cursor))
        assert page.complete, page.reason
        assert len(page.traces) <= limit
        found += [trace.trace_id for trace in page.traces]
        cursor = page.next
        if cursor is None:
            break
        if pages < 4:
            sender.send_more(12)
    assert cursor is None
    assert len(found) == len(set(found))
    assert set(ids) <= set(found)


def test_new_traces_do_not_keep_a_listing_from_its_end(opened: Any) -> None:
    sender = Sender(opened, random.Random(5))
    ids = set(sender.send_new(12, service="paging"))
    search = {"where": parsed("service=paging"), "sort": "-dur", "limit": 4}
    page = opened.store.reader.find(Search(**search))
    found = [trace.trace_id for trace in page.traces]
    while page.next is not None:
        sender.now_ns = time.time_ns() + 2_000 * SECOND  # they begin after the first page was asked for
        sender.send_new(8, service="paging")
        page = opened.store.reader.find(Search(**search, cursor=page.next))
        found += [trace.trace_id for trace in page.traces]
        assert len(found) < 200
    assert len(found) == len(set(found))
    assert ids <= set(found)


def test_a_page_can_be_asked_for_again_and_by_several(opened: Any) -> None:
    reader = opened.store.reader
    Sender(opened, random.Random(7)).send_new(30, service="again")
    search = {"where": parsed("service=again"), "sort": "dur", "limit": 10}
    first = reader.find(Search(**search))
    second = reader.find(Search(**search, cursor=first.next))
    third = reader.find(Search(**search, cursor=second.next))
    assert reader.find(Search(**search, cursor=first.next)).traces == second.traces
    assert reader.find(Search(**search, cursor=second.next)).traces == third.traces
    assert third.next is None
    listed = [trace.trace_id for page in (first, second, third) for trace in page.traces]
    assert len(set(listed)) == 30


def test_a_cursor_whose_listing_is_forgotten_goes_on_from_its_place(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = opened.store.reader
    Sender(opened, random.Random(8)).send_new(20, service="forgotten")
    search = {"where": parsed("service=forgotten"), "sort": "-spans", "limit": 15}
    first = reader.find(Search(**search))
    monkeypatch.setattr(reader, "_listings", Listings())  # as after a start
    second = reader.find(Search(**search, cursor=first.next))
    assert len({trace.trace_id for trace in [*first.traces, *second.traces]}) == 20
    assert (len(second.traces), second.next, second.complete) == (5, None, True)


def test_what_nobody_goes_on_from_is_forgotten_first() -> None:
    listings = Listings(max_traces=10, max_pages=4)
    one = listings.add(None, ["a", "b"], first_s=1, looked_s=1)
    two = listings.add(one, ["c", "d"], first_s=1, looked_s=2)
    assert listings.up_to(two).without(["a", "c", "e"]) == {"e"}
    others = [listings.add(None, ["x"], first_s=3, looked_s=3) for _ in range(2)]
    assert listings.up_to(two).traces == 4  # used again, with the page before it
    others.append(listings.add(None, ["x"], first_s=3, looked_s=3))
    assert [listings.up_to(name).traces for name in (two, *others)] == [4, 0, 1, 1]
    big = listings.add(None, list("123456789"), first_s=4, looked_s=4)
    assert [listings.up_to(name).traces for name in (two, *others, big)] == [0, 0, 0, 1, 9]


def test_a_trace_that_grew_is_found_among_those_that_only_came_again(opened: Any) -> None:
    def send(trace_id: bytes, spans: int, times: int = 1) -> None:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "grown"
        scope = group.scope_spans.add()
        for at in range(spans):
            span = scope.spans.add(trace_id=trace_id, span_id=bytes([*bytes(6), spans, at + 1]), name="n")
            span.start_time_unix_nano = span.end_time_unix_nano = time.time_ns() - 100 * SECOND
        for _ in range(times):
            opened.put([request])

    big, grown = bytes([0xEE] * 16), bytes([0x11] * 16)
    again = [bytes([0xF0 + number] * 16) for number in range(5)]
    send(big, 3)
    send(grown, 1)
    for one in again:
        send(one, 2, times=2)  # 4 in the sums of the summaries
    search = {"where": parsed("service=grown"), "sort": "-spans", "limit": 1}
    page = opened.store.reader.find(Search(**search))
    assert [trace.trace_id for trace in page.traces] == [big.hex()]
    send(grown, 3)
    found = []
    while page.next is not None:
        page = opened.store.reader.find(Search(**search, cursor=page.next))
        found += [trace.trace_id for trace in page.traces]
    assert found == [grown.hex(), *(one.hex() for one in reversed(again))]
