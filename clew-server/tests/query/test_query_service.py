"""The query service: store and log as one, refusals, bounds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterator, Sequence
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.analysis.brief import Brief
from clew_server.api.skeleton import skeleton_from_trace
from clew_server.errors import BadInput, Damaged, NotFound, Unavailable
from clew_server.model.completion import Counted, KeyCount, ValueCount, ValuesAsked
from clew_server.model.otlp_read import otlp_json_pieces, otlp_pieces
from clew_server.model.search import Search
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import Trace
from clew_server.model.usual import ENOUGH, NOTHING, Durations, Operation, Usual, Within
from clew_server.query import remembered_answers
from clew_server.query.probe import Probe
from clew_server.query.service import MAX_SPANS_OF_A_BRIEF, QueryService, Skipped, trace_id_from_text
from clew_server.store.contract import (
    Names,
    Page,
    StoredTrace,
    StoreFailed,
    TracesLike,
    UsualDurations,
    UsualWithin,
)

TRACE_ID = bytes(range(16))


class FakeStore:
    """Spans by trace id and a search that waits until it may answer."""

    def __init__(self, *spans: StoredSpan) -> None:
        self.spans = list(spans)
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.unreadable: str | None = None
        self.known = 0
        self.readings = 0

    def get(self, trace_id: bytes) -> list[StoredSpan]:
        return [one for one in self.spans if Span.FromString(one.span[:18]).trace_id == trace_id]

    def read(self, trace_id: bytes) -> StoredTrace:
        self.readings += 1
        return StoredTrace(self.get(trace_id), self.unreadable, self.state(trace_id))

    def state(self, trace_id: bytes) -> Hashable:
        return len(self.get(trace_id)), self.unreadable

    def spans_known(self, trace_id: bytes) -> int:
        return self.known

    def find(self, search: Search) -> Page:
        self.may_answer.wait(100)
        return Page([], None)

    def services(self) -> Names[str]:
        return Names(["cart"], None)

    def operations(self, service: str) -> Names[tuple[str, str]]:
        return Names([("GET /", "server")] if service == "cart" else [], "a part")


def stored(span_id: bytes, received_unix_nano: int = 0) -> StoredSpan:
    span = Span(trace_id=TRACE_ID, span_id=span_id, start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 5)
    return StoredSpan(b"", "", b"", "", span.SerializeToString(), received_unix_nano)


def run(
    body: Callable[[QueryService], Coroutine[Any, Any, None]],
    store: FakeStore,
    recent: FakeStore | None = None,
    **options: int,
) -> None:
    service = QueryService(store, store, recent or FakeStore(), **options)
    try:
        asyncio.run(body(service))
    finally:
        store.may_answer.set()
        service.close()


async def whole(service: QueryService, trace_id: str, form: Callable[[StoredSpans], Iterator[bytes]]) -> bytes:
    found = await service.pieces(trace_id, lambda trace: form(trace.stored))
    assert found.incomplete is None
    return b"".join([piece async for piece in found.pieces])


def test_stored_spans_and_those_still_in_the_log_are_one_trace() -> None:
    async def body(service: QueryService) -> None:
        # The second one is being stored just now: it is in both.
        assert len(await service.get_trace(TRACE_ID.hex())) == 3
        otlp = ExportTraceServiceRequest.FromString(await whole(service, TRACE_ID.hex().upper(), otlp_pieces))
        assert len(otlp.resource_spans[0].scope_spans[0].spans) == 3
        skeleton = await service.trace(TRACE_ID.hex(), skeleton_from_trace)
        assert json.loads(skeleton.json)["total"] == 3
        assert json.loads(skeleton.json)["etag"] == skeleton.etag
        asked = json.loads((await service.spans(TRACE_ID.hex(), [b"two-----"])).body)
        assert [span["spanId"] for span in asked["resourceSpans"][0]["scopeSpans"][0]["spans"]] == [b"two-----".hex()]
        text = await whole(service, TRACE_ID.hex(), otlp_json_pieces)
        assert len(json.loads(text)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 3

    store = FakeStore(stored(b"one-----"), stored(b"two-----", 5_000_000_000))
    run(body, store, FakeStore(stored(b"two-----", 5_123_456_789), stored(b"three---")))


def test_pieces_are_made_when_they_are_asked_for_and_no_more_when_the_asker_goes_away() -> None:
    made: list[int] = []

    def form(trace: Trace) -> Iterator[bytes]:
        for number in range(5):
            made.append(number)
            yield bytes([number])

    async def body(service: QueryService) -> None:
        found = await service.pieces(TRACE_ID.hex(), form)
        assert made == []
        assert [await anext(found.pieces), await anext(found.pieces)] == [b"\0", b"\1"]
        assert made == [0, 1]
        assert service.statistics().running == 0
        await cast("AsyncGenerator[bytes]", found.pieces).aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(found.pieces)
        assert made == [0, 1]

    run(body, FakeStore(stored(b"one-----")))


def test_an_answer_that_has_begun_goes_on_while_new_questions_are_refused() -> None:
    store = FakeStore(stored(b"one-----"))

    async def body(service: QueryService) -> None:
        found = await service.pieces(TRACE_ID.hex(), lambda trace: iter([b"a", b"b"]))
        assert await anext(found.pieces) == b"a"
        may_go_on = threading.Event()
        waiting = [asyncio.ensure_future(service.trace(TRACE_ID.hex(), lambda trace: may_go_on.wait(100)))]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await service.services()
        last = asyncio.ensure_future(anext(found.pieces))
        await asyncio.sleep(0)
        may_go_on.set()
        assert await last == b"b"
        await asyncio.gather(*waiting)

    run(body, store, lookup_threads=1, max_waiting=0)


def test_names_and_searches_are_handed_on() -> None:
    async def body(service: QueryService) -> None:
        assert await service.services() == (["cart"], None)
        assert await service.operations("cart") == ([("GET /", "server")], "a part")
        assert (await service.search(Search())).complete

    run(body, FakeStore())


def test_an_unknown_trace_is_not_found() -> None:
    async def body(service: QueryService) -> None:
        for ask in (
            service.get_trace,
            lambda trace_id: service.trace(trace_id, len),
            lambda trace_id: service.pieces(trace_id, lambda trace: otlp_pieces(trace.stored)),
        ):
            with pytest.raises(NotFound, match="ff" * 16):
                await ask("ff" * 16)

    run(body, FakeStore())


def test_a_span_that_does_not_parse_is_left_out_and_counted() -> None:
    async def body(service: QueryService) -> None:
        assert len(await service.get_trace(TRACE_ID.hex())) == 1
        assert service.statistics().unreadable_spans == 1

    broken = stored(b"two-----")
    run(body, FakeStore(stored(b"one-----"), broken._replace(span=broken.span + b"\x0a\xff")))


def test_more_than_a_hundred_spans_at_once_are_refused() -> None:
    async def body(service: QueryService) -> None:
        with pytest.raises(BadInput):
            await service.spans(TRACE_ID.hex(), [b"12345678"] * 101)

    run(body, FakeStore(stored(b"one-----")))


def test_when_too_many_wait_the_next_is_refused_and_later_ones_are_answered() -> None:
    store = FakeStore()
    store.may_answer.clear()

    async def body(service: QueryService) -> None:
        waiting = [asyncio.ensure_future(service.search(Search())) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await service.search(Search())
        assert service.statistics().refused == 1
        store.may_answer.set()
        await asyncio.gather(*waiting)
        assert (await service.search(Search())).complete

    run(body, store, search_threads=1, max_waiting=2)


class FakeTotals:
    """Summaries that wait until they may answer; how many were asked for at once."""

    def __init__(self) -> None:
        self.may_answer, self.are_two = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def summary(self, search: Search, box: object) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == 2:
                self.are_two.set()
        self.may_answer.wait(100)
        with self.lock:
            self.running -= 1
        return "counted"


@pytest.mark.parametrize("leaving", [0, 5])
def test_totals_that_wait_hold_up_no_search(leaving: int) -> None:
    store, totals = FakeStore(), FakeTotals()
    service = QueryService(store, store, FakeStore(), summaries=cast(Any, totals), search_threads=3, max_waiting=20)

    async def body() -> None:
        waiting = [asyncio.ensure_future(service.summary(Search(), None)) for _ in range(20)]
        assert await asyncio.to_thread(totals.are_two.wait, 60)
        assert (await service.search(Search())).complete
        for one in waiting[:leaving]:
            one.cancel()
        totals.may_answer.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[leaving:] == ["counted"] * (20 - leaving)
        assert totals.most == 2

    try:
        asyncio.run(body())
    finally:
        totals.may_answer.set()
        service.close()


def test_searches_that_wait_hold_up_no_trace_by_its_id_and_no_list_of_services() -> None:
    store = FakeStore(stored(b"one-----"))
    store.may_answer.clear()

    async def body(service: QueryService) -> None:
        waiting = [asyncio.ensure_future(service.search(Search())) for _ in range(12)]
        await asyncio.sleep(0)
        assert await service.services() == (["cart"], None)
        assert len(await service.get_trace(TRACE_ID.hex())) == 1
        assert service.statistics().running == 12
        store.may_answer.set()
        await asyncio.gather(*waiting)

    run(body, store)


def test_a_trace_that_search_knows_and_nobody_can_read_is_damaged_not_unknown() -> None:
    async def lost(service: QueryService) -> None:
        for ask in (
            service.get_trace,
            lambda trace_id: service.trace(trace_id, len),
            lambda trace_id: service.pieces(trace_id, lambda trace: otlp_pieces(trace.stored)),
        ):
            with pytest.raises(Damaged, match=f"Search knows 7 spans of trace {TRACE_ID.hex()}.*missing"):
                await ask(TRACE_ID.hex())

    async def unreadable(service: QueryService) -> None:
        with pytest.raises(Damaged, match="cannot be read: part 3 is damaged"):
            await service.trace(TRACE_ID.hex(), len)

    async def neither(service: QueryService) -> None:
        with pytest.raises(Damaged, match=r"Nothing can be said .*part 3 is damaged"):
            await service.trace(TRACE_ID.hex(), len)

    async def broken(service: QueryService) -> None:
        with pytest.raises(Damaged, match="none of its 1 spans"):
            await service.trace(TRACE_ID.hex(), len)

    store = FakeStore()
    store.known = 7
    run(lost, store)
    store.unreadable = "part 3 is damaged"
    run(unreadable, store)
    store.known = 0
    run(neither, store)
    one = stored(b"two-----")
    run(broken, FakeStore(one._replace(span=one.span + b"\x0a\xff")))


def test_a_trace_of_which_a_part_is_damaged_is_answered_and_says_so() -> None:
    async def body(service: QueryService) -> None:
        assert (await service.pieces(TRACE_ID.hex(), lambda trace: iter(()))).incomplete == "part 3 is damaged"
        assert await service.trace(TRACE_ID.hex(), lambda trace: trace.unreadable) == "part 3 is damaged"
        assert (await service.spans(TRACE_ID.hex(), [b"one-----"])).incomplete == "part 3 is damaged"

    store = FakeStore(stored(b"one-----"))
    store.unreadable = "part 3 is damaged"
    run(body, store)


def test_a_probe_asks_once_at_a_time_and_says_why_there_is_no_answer() -> None:
    async def body() -> None:
        may_answer = threading.Event()
        asked = []

        def call() -> None:
            asked.append(1)
            may_answer.wait(100)
            if len(asked) > 1:
                raise RuntimeError("no such\ntable")

        probe = Probe(call, within_s=0.05)
        try:
            assert (
                await asyncio.gather(*(probe.failure() for _ in range(9)))
                == ["the store did not answer within 0.05 s"] * 9
            )
            assert asked == [1]
            may_answer.set()
            # The first call ends now. On a busy machine it, and each after it, may take longer than 0.05 s too.
            answers = {await probe.failure()}
            while not any("no such table" in str(one) for one in answers):
                answers.add(await probe.failure())
            answers -= {None, "the store did not answer within 0.05 s"}
            assert answers == {"the store does not answer: no such table"}
        finally:
            may_answer.set()
            probe.close()
        assert await Probe(lambda: None).failure() is None

    asyncio.run(body())


def test_after_close_questions_are_refused() -> None:
    async def body(service: QueryService) -> None:
        service.close()
        with pytest.raises(Unavailable):
            await service.services()

    run(body, FakeStore())


class SampledKeys:
    """Keys of a sample, counted as often as it is asked."""

    def __init__(self) -> None:
        self.stored = 0
        self.counted_on: list[threading.Thread] = []

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        self.stored += 1  # something is stored all the time
        self.counted_on.append(threading.current_thread())
        return Counted([], False, "a sample", of_many=True)

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        raise AssertionError


def test_close_ends_the_thread_that_counts_completion_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered_answers, "RENEWED_AFTER_S", 0.0)
    store, keys = FakeStore(), SampledKeys()
    service = QueryService(store, store, FakeStore(), completion=keys, stored=lambda: keys.stored)

    async def body() -> None:
        async with asyncio.timeout(100):
            while len(keys.counted_on) < 3:
                await service.keys(Search(), "", 10)

    try:
        asyncio.run(body())
    finally:
        service.close()
    anew = keys.counted_on[1]
    assert anew is not keys.counted_on[0]
    anew.join(100)
    assert not anew.is_alive()


class KnownKeys(FakeStore):
    """Keys of all spans or of a sample, as completion has them, and those of the first two million, as `TraceValues.keys` has."""

    def __init__(self, *, complete: bool) -> None:
        super().__init__()
        self.complete = complete

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        found: list[KeyCount] = [
            KeyCount("span", "b", "text", 9),
            KeyCount("resource", "a", "any", 9),
            KeyCount("link", "c", "any", 9),
        ]
        return Counted(found, self.complete, None if self.complete else "a sample", of_many=True)

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        raise AssertionError

    def keys(self, from_unix_nano: int, to_unix_nano: int) -> Names[tuple[str, str]]:
        return Names([("span", "of the first")], None)


@pytest.mark.parametrize(
    ("complete", "expected"), [(True, [("resource", "a"), ("span", "b")]), (False, [("span", "of the first")])]
)
def test_keys_by_place_are_those_of_all_spans_where_they_are_counted(
    complete: bool, expected: list[tuple[str, str]]
) -> None:
    store: Any = KnownKeys(complete=complete)
    service = QueryService(store, store, FakeStore(), completion=store, values=store)
    try:
        assert asyncio.run(service.attribute_keys(0, 1)).found == expected
    finally:
        service.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0AF7651916cd43dd8448eb211c80319c", "0af7651916cd43dd8448eb211c80319c"),
        ("0af76519-16cd-43dd-8448-eb211c80319c", "0af7651916cd43dd8448eb211c80319c"),
        ("8448eb211c80319c", "00000000000000008448eb211c80319c"),
    ],
)
def test_a_trace_id_is_hex_in_any_case_with_or_without_dashes(text: str, expected: str) -> None:
    assert trace_id_from_text(text).hex() == expected


@pytest.mark.parametrize("text", ["", "xyz", "0" * 31, "0" * 32, "g" * 32, "0" * 64, "１" * 32])
def test_a_malformed_trace_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        trace_id_from_text(text)
    assert refused.value.code == "bad_id"


class FakeUsual:
    """Answers that there are `count` spans of every operation it is asked for, and as many traces."""

    def __init__(
        self, *, count: int = 100, error: Exception | None = None, within_error: Exception | None = None
    ) -> None:
        self.asked: list[tuple[list[Operation], int]] = []
        self.asked_within: list[TracesLike] = []
        self._count = count
        self._error = error
        self._within_error = within_error

    def durations(self, operations: Sequence[Operation], at_unix_nano: int) -> UsualDurations:
        self.asked.append((list(operations), at_unix_nano))
        if self._error is not None:
            raise self._error
        found: dict[tuple[Operation, int | None], Durations] = {
            (operation, kind): Durations(self._count, 0, None, None, None, 0, at_unix_nano)
            for operation in operations
            for kind in (None, Span.SPAN_KIND_UNSPECIFIED)
        }
        return UsualDurations(found, None)

    def within(self, like: TracesLike, operations: Sequence[Operation], at_unix_nano: int) -> UsualWithin:
        self.asked_within.append(like)
        if self._within_error is not None:
            raise self._within_error
        return UsualWithin({like.operation: Within(9, 9, 0, 1, 1, 1.0, 1.0, 0, 0)}, 9, "a part")


def explained(spans: list[StoredSpan], usual: FakeUsual | None) -> tuple[Trace, Usual]:
    async def body() -> tuple[Trace, Usual]:
        return await service.explain(TRACE_ID.hex(), lambda trace, usual: (trace, usual))

    store = FakeStore(*spans)
    service = QueryService(store, store, FakeStore(), usual=usual)
    try:
        return asyncio.run(body())
    finally:
        service.close()


def named(number: int, name: str, duration_ns: int, parent: bytes = b"") -> StoredSpan:
    span = Span(
        trace_id=TRACE_ID,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=10**18 + number,
        end_time_unix_nano=10**18 + number + duration_ns,
    )
    return StoredSpan(b"", "", b"", "", span.SerializeToString(), 0)


def test_what_is_usual_is_asked_at_the_roots_start_for_every_operation_once() -> None:
    usual = FakeUsual()
    root = (1).to_bytes(8, "big")
    spans = [named(1, "GET /", 100), *(named(n, f"SELECT {n % 3}", n, root) for n in range(2, 12))]
    _, found = explained(spans, usual)
    [(operations, at)] = usual.asked
    assert at == 10**18 + 1
    assert operations[0] == ("", "GET /")
    assert sorted(operations) == [("", "GET /"), ("", "SELECT 0"), ("", "SELECT 1"), ("", "SELECT 2")]
    assert found.root == found.operations[Operation("", "GET /")] == Durations(100, 0, None, None, None, 0, at)
    [like] = usual.asked_within
    assert like == TracesLike(Operation("", "GET /"), 0, True, TRACE_ID, 100)
    assert (list(found.within), found.sampled, found.missing) == ([Operation("", "GET /")], 9, "a part")


def test_the_root_is_the_span_without_a_parent_also_after_one_whose_parent_is_missing() -> None:
    usual = FakeUsual()
    explained([named(1, "orphan", 100, b"missing-"), named(2, "GET /", 5)], usual)
    assert usual.asked[0][0][0] == Operation("", "GET /")
    assert usual.asked_within[0].is_root
    alone = FakeUsual()
    explained([named(1, "orphan", 100, b"missing-")], alone)
    assert not alone.asked_within[0].is_root


def test_where_the_root_has_few_samples_no_traces_are_looked_at() -> None:
    usual = FakeUsual(count=ENOUGH - 1)
    _, found = explained([named(1, "GET /", 100)], usual)
    assert (usual.asked_within, found.within, found.sampled) == ([], {}, 0)
    assert found.root is not None


def test_of_many_operations_those_with_most_time_are_compared() -> None:
    usual = FakeUsual()
    root = (1).to_bytes(8, "big")
    explained([named(1, "GET /", 0), *(named(n, f"{n:04}", n, root) for n in range(2, 502))], usual)
    [(operations, _)] = usual.asked
    assert [operation.name for operation in operations] == ["GET /", *(f"{n:04}" for n in range(501, 302, -1))]


@pytest.mark.parametrize("error", [Unavailable("it took too long"), StoreFailed("a disk")])
def test_a_store_that_does_not_say_what_is_usual_still_shows_the_trace(error: Exception) -> None:
    trace, usual = explained([named(1, "GET /", 100)], FakeUsual(error=error))
    assert len(trace) == 1
    assert usual.missing is not None
    assert (usual.root, usual.operations) == (None, {})
    _, usual = explained([named(1, "GET /", 100)], FakeUsual(within_error=error))
    assert usual.missing is not None
    assert usual.root is not None
    assert usual.within == {}
    assert explained([named(1, "GET /", 100)], None)[1] == NOTHING


def test_the_two_answers_about_a_trace_for_a_list() -> None:
    root = Span.FromString(named(1, "GET /", 100).span)
    root.status.code = Status.STATUS_CODE_ERROR
    failed = StoredSpan(b"", "", b"", "", root.SerializeToString(), 0)

    async def body(service: QueryService) -> None:
        def names(trace: Trace, brief: Brief) -> tuple[str | None, int]:
            return brief.origin and trace.name_of(brief.origin.row), len(brief.shares)

        assert await service.brief(TRACE_ID.hex(), names) == ("GET /", 1)
        missing = await service.brief("ff" * 16, names)
        assert isinstance(missing, Skipped)
        assert "There is no trace" in missing.reason
        with pytest.raises(BadInput):
            await service.brief("no id", names)

    # What is only in the log counts too.
    run(body, FakeStore(), FakeStore(failed, named(2, "SELECT", 60, root.span_id)))


def test_a_large_trace_is_not_read_for_a_list() -> None:
    def never(trace: Trace, brief: Brief) -> None:
        raise AssertionError("it was read")

    async def body(service: QueryService) -> None:
        skipped = await service.brief(TRACE_ID.hex(), never)
        assert isinstance(skipped, Skipped)
        assert f"{MAX_SPANS_OF_A_BRIEF + 1:,} spans" in skipped.reason

    store = FakeStore(stored(b"one-----"))
    store.known = MAX_SPANS_OF_A_BRIEF
    run(body, store, FakeStore(stored(b"two-----")))


def test_a_trace_whose_bytes_are_gone_says_so_in_a_list() -> None:
    async def body(service: QueryService) -> None:
        skipped = await service.brief(TRACE_ID.hex(), lambda trace, brief: None)
        assert isinstance(skipped, Skipped)
        assert "bytes are missing" in skipped.reason

    store = FakeStore()
    store.known = 5
    run(body, store)
