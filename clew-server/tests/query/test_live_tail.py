"""What a live tail keeps, what it tells its listeners, and what gives way when more comes than can be shown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.errors import Unavailable
from clew_server.model.otlp_raw import parse_raw
from clew_server.model.stored import StoredSpan
from clew_server.query.language.parser import parse
from clew_server.query.live import tail as tail_module
from clew_server.query.live import window as window_module
from clew_server.query.live.listener import (
    FAILED_QUEUE_BYTES,
    QUEUE_BYTES,
    SENT_BYTES,
    Asked,
    Events,
    Listener,
    Numbered,
)
from clew_server.query.live.listeners import Connection
from clew_server.query.live.seen import SeenTrace
from clew_server.query.live.tail import Tail
from clew_server.query.live.window import KEPT_S, MOST_SPANS_OF_A_TRACE, Window

SECOND = 1_000_000_000
NOW = time.time_ns()


def request(
    *trace_ids: int, spans: int = 1, failed: bool = False, name: str = "GET /", text: str = "", first: int = 1
) -> bytes:
    """Each trace with so many spans."""
    made = ExportTraceServiceRequest()
    scope = made.resource_spans.add().scope_spans.add()
    for trace_id in trace_ids:
        for number in range(spans):
            span = scope.spans.add(
                trace_id=trace_id.to_bytes(16, "big"),
                span_id=(first + number).to_bytes(8, "big"),
                name=name,
                start_time_unix_nano=NOW,
                end_time_unix_nano=NOW + 5,
            )
            span.status.code = 2 if failed else 0  # type: ignore[assignment]
            if text:
                span.attributes.add(key="text").value.string_value = text
    return made.SerializeToString()


def stored(body: bytes) -> list[StoredSpan]:
    return [
        StoredSpan(resource.resource, "", scope.scope, "", raw, NOW)
        for resource in parse_raw(body).resource_spans
        for scope in resource.scope_spans
        for raw in scope.spans
    ]


def fill(window: Window, body: bytes, now_s: float) -> None:
    for span in stored(body):
        window.add(span.span[2:18], span, now_s)


# The window


def test_a_trace_is_looked_at_when_nothing_of_it_came_for_a_moment_and_not_much_later_while_it_grows() -> None:
    window = Window()
    fill(window, request(1), 100.0)
    assert list(window.due(100.1)) == []
    fill(window, request(1), 100.25)
    assert list(window.due(100.4)) == []
    fill(window, request(1), 100.5)
    (entry,) = window.due(100.71)
    assert len(entry.spans) == 3
    entry.looked_at(100.71, 0.0)
    assert list(window.due(200.0)) == []


def test_a_trace_that_takes_long_to_look_at_is_looked_at_seldom() -> None:
    window = Window()
    fill(window, request(1), 100.0)
    (entry,) = window.due(101.0)
    entry.looked_at(101.0, 0.5)
    fill(window, request(1), 101.1)
    assert list(window.due(105.0)) == []
    assert [one.trace_id for one in window.due(106.1)] == [entry.trace_id]


def test_what_is_kept_is_bounded_and_what_gives_way_is_looked_at_before() -> None:
    window = Window(most_bytes=2_000)
    fill(window, request(1, 2), 100.0)
    for entry in window.due(101.0):
        entry.looked_at(101.0, 0.0)
    fill(window, request(*range(3, 20)), 102.0)
    given_way = {int.from_bytes(entry.trace_id, "big") for entry in window.overdue()}
    assert window.size_bytes <= 2_000
    assert len(window) < 10
    # 1 and 2 were looked at and have not grown.
    assert given_way
    assert given_way <= set(range(3, 20))
    window.clear()
    assert (window.size_bytes, len(window)) == (0, 0)


def test_a_trace_of_very_many_spans_is_kept_in_part_and_counted_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "MOST_SPANS_OF_A_TRACE", 10)
    assert MOST_SPANS_OF_A_TRACE > 10
    window = Window()
    fill(window, request(1, spans=25), 100.0)
    (entry,) = window.due(101.0)
    trace = entry.seen()
    assert trace is not None
    assert (len(trace.spans), trace.span_count) == (10, 25)


def test_traces_of_which_nothing_comes_any_more_are_let_go_of() -> None:
    window = Window()
    fill(window, request(1), 100.0)
    for entry in window.due(101.0):
        entry.looked_at(101.0, 0.0)
    fill(window, request(2), 101.0 + KEPT_S)
    window.forget(101.0 + KEPT_S)
    assert len(window) == 1


# One listener


def joined(events: Iterable[Numbered]) -> bytes:
    return b"".join(event for _, event in events)


class Seen:
    """Traces that are looked at by one listener, without a thread."""

    def __init__(self, asked: Asked) -> None:
        self.listener = Listener(asked, now_s=0.0)
        self._told: dict[int, dict[Any, Any]] = {}

    def look(
        self,
        number: int,
        *,
        matches: bool = True,
        failed: bool = False,
        spans: int = 1,
        now_s: float = 0.0,
        size: int = 10,
    ) -> None:
        events = Events(lambda: (b"t%d " % number).ljust(size, b"."), lambda: b"g%d " % number)
        self.listener.tell(self._told.setdefault(number, {}), matches, failed, spans, events, now_s)

    async def taken(self) -> bytes:
        found: list[Numbered] = []
        while piece := self.listener.take():
            found += piece
        return joined(found)


def in_loop(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(body())  # type: ignore[arg-type]


def test_traces_over_the_rate_are_skipped_and_counted_and_failed_ones_never_are() -> None:
    async def body() -> None:
        seen = Seen(Asked(rate=3))
        for number in range(10):
            seen.look(number, failed=number >= 8)
        counts = seen.listener.counts
        assert (counts.traces, counts.failed, counts.skipped, counts.skipped_failed) == (10, 2, 5, 0)
        assert (await seen.taken()).count(b"t") == 5
        seen.look(11, now_s=0.34)  # a third of a second later there is room for one more
        seen.look(12, now_s=0.34)
        assert seen.listener.counts.skipped == 6

    in_loop(body)


def test_a_skipped_trace_that_fails_later_is_sent_after_all() -> None:
    async def body() -> None:
        seen = Seen(Asked(rate=1))
        seen.look(1)
        seen.look(2)
        assert seen.listener.counts.skipped == 1
        seen.look(2, spans=2)
        assert await seen.taken() == b"t1 " + b"." * 7
        seen.look(2, failed=True, spans=3)
        counts = seen.listener.counts
        assert (counts.traces, counts.spans, counts.failed, counts.skipped) == (2, 4, 1, 0)
        assert (await seen.taken()).startswith(b"t2")

    in_loop(body)


def test_a_trace_that_grows_is_sent_again_and_one_that_stops_matching_is_taken_back() -> None:
    async def body() -> None:
        seen = Seen(Asked())
        seen.look(1)
        seen.look(1, spans=3)
        assert (await seen.taken()).count(b"t1") == 2
        seen.look(1, matches=False, spans=4)
        seen.look(1, matches=False, spans=5)
        assert await seen.taken() == b"g1 "
        seen.look(1, spans=6)
        assert (await seen.taken()).startswith(b"t1")
        assert (seen.listener.counts.traces, seen.listener.counts.spans) == (1, 6)

    in_loop(body)


def test_who_asks_for_failed_ones_only_is_told_of_a_trace_when_it_fails() -> None:
    async def body() -> None:
        seen = Seen(Asked(failed_only=True))
        seen.look(1)
        assert (seen.listener.counts.traces, await seen.taken()) == (0, b"")
        seen.look(1, failed=True, spans=2)
        assert (await seen.taken()).startswith(b"t1")

    in_loop(body)


def test_what_waits_for_a_slow_reader_is_bounded_and_failed_traces_have_their_own_room() -> None:
    async def body() -> None:
        seen = Seen(Asked(rate=500))
        size = QUEUE_BYTES // 10
        for number in range(30):
            seen.look(number, size=size)
        fit = FAILED_QUEUE_BYTES // size
        for number in range(30, 30 + fit + 20):
            seen.look(number, size=size, failed=True)
        counts = seen.listener.counts
        assert (counts.traces, counts.skipped, counts.skipped_failed) == (50 + fit, 20, 20)
        assert len(await seen.taken()) == (10 + fit) * size
        # There is room again; a failed one that was skipped comes when it grows.
        seen.look(49 + fit, size=size, failed=True, spans=2)
        assert (len(await seen.taken()), seen.listener.counts.skipped_failed) == (size, 19)

    in_loop(body)


# The whole


def made(**options: Any) -> Tail:
    return Tail(
        lambda seen: b"trace %d %d;" % (int.from_bytes(seen.trace_id, "big"), seen.span_count),
        lambda seen: b"gone %d;" % int.from_bytes(seen.trace_id, "big"),
        **options,
    )


@contextmanager
def running(**options: Any) -> Iterator[Tail]:
    tail = made(**options)
    try:
        yield tail
    finally:
        tail.close()


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(100):
        while not found():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def taken_until(connection: Connection, wanted: bytes) -> bytes:
    return joined(await numbered_until(connection, wanted))


async def numbered_until(connection: Connection, wanted: bytes) -> list[Numbered]:
    got: list[Numbered] = []
    async with asyncio.timeout(100):
        while wanted not in joined(got):
            got += await connection.take(1.0)
    return got


def test_a_listener_is_told_of_what_matches_and_of_nothing_else() -> None:
    async def body() -> None:
        with running() as tail, tail.listening(Asked(parse("name=pay", int))) as connection:
            tail.saw(request(1, 2, name="GET /"), 2)
            tail.saw(request(3, spans=2, name="pay"), 2)
            assert await taken_until(connection, b"trace 3 2;") == b"trace 3 2;"
            assert (connection.counts.traces, connection.counts.spans) == (1, 2)

    in_loop(body)


def test_nothing_is_kept_while_nobody_listens() -> None:
    async def body() -> None:
        with running(awaited_s=0.0) as tail:
            tail.saw(request(1), 1)
            assert (tail._requests, tail._thread) == (type(tail._requests)(), None)
            with tail.listening(Asked()) as connection:
                tail.saw(request(2), 1)
                assert await taken_until(connection, b"trace 2 1;") == b"trace 2 1;"
            await until(lambda: tail._thread is None)
            assert (len(tail._window), tail.statistics().listeners, tail._came_bytes - tail._read_bytes) == (0, 0, 0)

    in_loop(body)


def test_listeners_above_the_limit_are_refused_until_one_goes() -> None:
    async def body() -> None:
        with running(most_listeners=2) as tail, tail.listening(Asked()):
            with tail.listening(Asked()), pytest.raises(Unavailable, match="2 listeners"), tail.listening(Asked()):
                pass
            assert tail.statistics().listeners == 1
            with tail.listening(Asked()):
                assert tail.statistics().listeners == 2

    in_loop(body)


def test_a_connection_that_broke_goes_on_behind_what_it_has_and_nothing_is_missing_or_double() -> None:
    async def body() -> None:
        with running() as tail:
            with tail.listening(Asked()) as connection:
                tail.saw(request(1, 2), 2)
                got = dict(await numbered_until(connection, b"trace 2 1;"))
            assert (list(got), tail.statistics().listeners) == ([1, 2], 0)
            # The first one came, the second was lost on the way, the third arrives while nobody is connected.
            tail.saw(request(3), 1)
            name = connection.listener.name
            await until(lambda: connection.counts.traces == 3)
            with tail.listening(Asked(), f"{name}.1") as again:
                assert (again.is_resumed, again.missed, again.last_number) == (True, 0, 1)
                assert dict(await numbered_until(again, b"trace 3 1;")) == {2: got[2], 3: b"trace 3 1;"}
                assert (again.counts.traces, tail.statistics().listeners) == (3, 1)
                # A server may take the old connection for open still.
                with tail.listening(Asked(), f"{name}.3") as newest:
                    tail.saw(request(4), 1)
                    assert await numbered_until(newest, b"trace 4 1;") == [(4, b"trace 4 1;")]
                    assert (again.is_over, await again.take(60.0), tail.statistics().listeners) == (True, [], 1)

    in_loop(body)


@pytest.mark.parametrize("last", ["", "x", "%s", "%s.", "%s.-1", "%s.2", "%s.1e3", "other.1"])
def test_an_id_that_no_event_of_this_listener_has_begins_anew(last: str) -> None:
    async def body() -> None:
        with running() as tail:
            with tail.listening(Asked()) as connection:
                tail.saw(request(1), 1)
                await taken_until(connection, b"trace 1 1;")
            asked = last.replace("%s", connection.listener.name)
            with tail.listening(Asked(), asked) as anew:
                assert (anew.is_resumed, anew.listener is connection.listener) == (False, False)
            with tail.listening(Asked(failed_only=True), f"{connection.listener.name}.1") as other:
                assert not other.is_resumed

    in_loop(body)


def test_events_that_are_not_kept_any_more_are_counted_for_who_comes_back() -> None:
    async def body() -> None:
        seen = Seen(Asked(rate=500))
        for number in range(1, 21):
            seen.look(number, size=SENT_BYTES // 8)
            seen.listener.take()
        assert seen.listener.go_on(10) == 2
        assert [number for number, _ in seen.listener.take(10**9)] == list(range(13, 21))
        assert seen.listener.go_on(20) == 0
        assert seen.listener.take() == []

    in_loop(body)


def test_those_who_went_make_room_for_those_who_come() -> None:
    async def body() -> None:
        with running(most_listeners=2) as tail:
            with tail.listening(Asked()) as first, tail.listening(Asked()) as second:
                pass
            with tail.listening(Asked()):
                # The one that went first was let go of; the other is still awaited.
                went_first = second.listener
                assert went_first.is_ended
                with tail.listening(Asked(), f"{first.listener.name}.0") as again:
                    assert again.is_resumed

    in_loop(body)


def test_what_is_skipped_for_one_that_went_counts_only_if_it_comes_back() -> None:
    async def body() -> None:
        with running() as tail:
            with tail.listening(Asked(rate=1)) as connection:
                tail.saw(request(1, 2), 2)
                await until(lambda: connection.counts.skipped == 1)
            tail.saw(request(3), 1)
            await until(lambda: connection.counts.skipped == 2)
            assert tail.statistics().skipped_traces == 1
            with tail.listening(Asked(rate=1), f"{connection.listener.name}.0"):
                assert tail.statistics().skipped_traces == 2

    in_loop(body)


def test_when_more_comes_than_can_be_looked_at_failed_traces_are_still_told_of_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        monkeypatch.setattr(tail_module, "_IN_FULL_BYTES", 0)
        monkeypatch.setattr(tail_module, "MOST_WAITING_BYTES", 100_000)
        with running() as tail, tail.listening(Asked()) as connection:
            tail.saw(request(*range(1, 50), spans=2), 98)
            tail.saw(request(99, failed=True, spans=3), 3)
            tail.saw(request(1, text="x" * 100_000), 1)  # does not fit
            assert await taken_until(connection, b"trace 99 3;") == b"trace 99 3;"
            await until(lambda: connection.counts.lost_spans)
            counts = connection.counts
            assert (counts.unread_spans, counts.lost_spans, counts.traces) == (98, 1, 1)
            assert tail.statistics().unread_spans == 99

    in_loop(body)


def test_a_listener_is_told_of_the_end_and_nobody_can_listen_after_it() -> None:
    async def body() -> None:
        with running() as tail, tail.listening(Asked()) as connection:
            waiting = asyncio.ensure_future(connection.take(60.0))
            await asyncio.sleep(0)
            tail.end()
            assert await waiting == []
            assert connection.listener.is_ended
            with pytest.raises(Unavailable), tail.listening(Asked()):
                pass

    in_loop(body)


def test_a_trace_that_cannot_be_shown_costs_no_other_its_place() -> None:
    async def body() -> None:
        def event(seen: SeenTrace) -> bytes:
            if seen.trace_id[-1] == 1:
                raise ZeroDivisionError
            return b"trace;"

        tail = Tail(event, event)
        try:
            with tail.listening(Asked()) as connection:
                tail.saw(request(1, 2), 2)
                assert await taken_until(connection, b"trace;") == b"trace;"
        finally:
            tail.close()

    in_loop(body)


def test_listeners_are_told_of_the_first_traces_while_others_still_wait_to_be_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        with running() as tail, tail.listening(Asked()) as connection:
            monkeypatch.setattr(tail._window, "_most_bytes", 1_000)
            monkeypatch.setattr(tail_module, "_ROUND_S", 0.001)
            for number in range(1, 21):
                tail.saw(request(number), 1)
            got = await taken_until(connection, b"trace 1 1;")
            while got.count(b";") < 20:
                got += await taken_until(connection, b";")
            assert (tail._window.size_bytes <= 1_000, connection.counts.traces) == (True, 20)

    in_loop(body)
