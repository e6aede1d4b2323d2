"""Traces that were read are given again while nothing about them changes, within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import NotFound
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace
from clew_server.query.traces import Traces
from clew_server.store.contract import StoredTrace

T = bytes(range(16))
OTHER = bytes(range(1, 17))


def stored(trace_id: bytes, number: int, size: int = 0) -> StoredSpan:
    span = Span(
        trace_id=trace_id,
        span_id=number.to_bytes(8, "big"),
        name="n" * size,
        start_time_unix_nano=10**18,
        end_time_unix_nano=10**18 + 5,
    )
    return StoredSpan(b"", "", b"", "", span.SerializeToString(), 0)


class Shelf:
    """A store or a log that says how often it was read."""

    def __init__(self, *spans: StoredSpan) -> None:
        self.spans = list(spans)
        self.unreadable: str | None = None
        self.readings = 0
        self.without_origin: list[int] = []
        self.while_reading: Callable[[], None] = lambda: None

    def read(self, trace_id: bytes) -> StoredTrace:
        self.readings += 1
        state, found = self.state(trace_id), self._of(trace_id)
        self.while_reading()
        return StoredTrace(found, self.unreadable, state, self.without_origin)

    def state(self, trace_id: bytes) -> Hashable:
        return len(self._of(trace_id)), self.unreadable

    def spans_known(self, trace_id: bytes) -> int:
        return len(self._of(trace_id))

    def _of(self, trace_id: bytes) -> list[StoredSpan]:
        return [one for one in self.spans if one.span[2:18] == trace_id]


def test_a_trace_is_read_once_while_nothing_changes() -> None:
    store, log = Shelf(stored(T, 1)), Shelf(stored(T, 2))
    traces = Traces(store, log)
    first = traces.get(T)
    assert len(first) == 2
    assert traces.get(T) is first
    assert (store.readings, log.readings) == (1, 1)
    assert traces.size_bytes > 0


@pytest.mark.parametrize("shelf", ["store", "log"])
def test_a_span_that_arrives_or_expires_is_seen_at_once(shelf: str) -> None:
    store, log = Shelf(stored(T, 1)), Shelf(stored(T, 2))
    traces = Traces(store, log)
    assert len(traces.get(T)) == 2
    changed = {"store": store, "log": log}[shelf]
    changed.spans.append(stored(T, 3))
    assert len(traces.get(T)) == 3
    del changed.spans[0]
    assert len(traces.get(T)) == 2
    store.spans.clear()
    log.spans.clear()
    with pytest.raises(NotFound):
        traces.get(T)
    assert traces.size_bytes == 0


def test_a_span_that_moves_from_the_log_to_the_store_is_there_once() -> None:
    store, log = Shelf(stored(T, 1)), Shelf(stored(T, 2))
    traces = Traces(store, log)
    traces.get(T)
    store.spans.append(stored(T, 2))
    assert len(traces.get(T)) == 2
    log.spans.clear()
    assert len(traces.get(T)) == 2


def test_a_span_that_is_stored_before_its_resource_is_there_once_with_it_and_one_that_lost_it_is_shown() -> None:
    named = stored(T, 2)._replace(resource=b"\x10\x01")
    store, log = Shelf(stored(T, 1), stored(T, 2)), Shelf(named)
    store.without_origin = [0, 1]
    traces = Traces(store, log)
    found = traces.get(T).stored
    assert sorted((one.span, one.resource) for one in found) == [(stored(T, 1).span, b""), (named.span, named.resource)]
    # The state does not tell when the resources come, so such a trace is read each time.
    traces.get(T)
    assert store.readings == 2


def test_spans_that_only_move_to_the_store_or_come_again_make_no_new_trace_and_no_new_views() -> None:
    store, log = Shelf(stored(T, 1)), Shelf(stored(T, 2))
    traces = Traces(store, log)
    first, made = traces.get(T), []

    def view(trace: Trace) -> int:
        made.append(trace)
        return len(trace)

    assert traces.view(T, view) == 2
    store.spans.append(stored(T, 2)._replace(received_unix_nano=5))
    assert traces.get(T) is first
    log.spans.clear()
    assert traces.get(T) is first
    assert traces.view(T, view) == 2
    assert made == [first]
    readings = store.readings
    assert traces.get(T) is first
    assert store.readings == readings
    assert traces.size_bytes > 0


def test_a_span_that_differs_or_is_of_another_resource_makes_a_new_trace() -> None:
    store = Shelf(stored(T, 1), stored(T, 2))
    traces = Traces(store, Shelf())
    first = traces.get(T)
    store.spans = [stored(T, 1), stored(T, 2, 1)]
    store.unreadable = "part 3 is damaged"
    damaged = traces.get(T)
    assert damaged is not first
    store.unreadable = None
    second = traces.get(T)
    assert second.name_of(1) == "n"
    store.spans.append(stored(T, 1)._replace(resource=b"\x0a\x00"))
    third = traces.get(T)
    assert third is not second
    assert len(third) == 3


def test_a_span_that_arrives_while_the_trace_is_read_is_not_passed_over_afterwards() -> None:
    store, log = Shelf(stored(T, 1)), Shelf()
    traces = Traces(store, log)
    log.while_reading = lambda: log.spans.append(stored(T, 2))
    assert len(traces.get(T)) == 1
    log.while_reading = lambda: None
    assert len(traces.get(T)) == 2


def test_what_damage_took_from_is_read_anew_each_time_and_so_is_a_trace_with_broken_spans() -> None:
    store, log = Shelf(stored(T, 1)), Shelf()
    store.unreadable = "part 3 is damaged"
    traces = Traces(store, log)
    assert [traces.get(T).unreadable for _ in range(2)] == ["part 3 is damaged"] * 2
    assert store.readings == 2
    store.unreadable = None
    assert traces.get(T).unreadable is None
    broken = stored(T, 2)
    store.spans.append(broken._replace(span=broken.span + b"\x0a\xff"))
    assert [len(traces.get(T)) for _ in range(2)] == [1, 1]
    assert traces.broken == 2


def test_damage_that_is_met_later_is_said_although_the_trace_was_kept() -> None:
    store = Shelf(stored(T, 1), stored(T, 2))
    traces = Traces(store, Shelf())
    assert traces.get(T).unreadable is None
    store.unreadable = "part 3 is damaged"
    del store.spans[0]
    assert traces.get(T).unreadable == "part 3 is damaged"


def test_the_least_recently_used_goes_when_the_bound_is_reached_and_what_is_larger_is_not_kept() -> None:
    store = Shelf(stored(T, 1, 2_000), stored(OTHER, 1, 2_000))
    traces = Traces(store, Shelf(), kept_bytes=4_000)
    traces.get(T)
    traces.get(OTHER)
    assert 2_000 < traces.size_bytes <= 4_000
    traces.get(OTHER)
    assert store.readings == 2
    traces.get(T)
    assert store.readings == 3
    large = Shelf(stored(T, 1, 5_000))
    traces = Traces(large, Shelf(), kept_bytes=4_000)
    traces.get(T)
    traces.get(T)
    assert large.readings == 2
    assert traces.size_bytes == 0


def test_what_nobody_asked_for_lately_is_given_back() -> None:
    now_s = [0.0]
    store = Shelf(stored(T, 1), stored(OTHER, 1))
    traces = Traces(store, Shelf(), kept_for_s=60, clock_s=lambda: now_s[0])
    traces.get(T)
    now_s[0] = 30.0
    traces.get(OTHER)
    now_s[0] = 60.0
    traces.forget_unused()
    traces.get(OTHER)
    assert store.readings == 2
    traces.get(T)
    assert store.readings == 3


def test_threads_that_ask_for_one_trace_wait_for_one_reading_and_others_do_not_wait() -> None:
    store = Shelf(stored(T, 1), stored(OTHER, 1))
    began, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert may_go_on.wait(100)

    store.while_reading = wait
    traces = Traces(store, Shelf())
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(traces.get, T)]
        assert began.wait(100)
        asked += [pool.submit(traces.get, T) for _ in range(2)]
        store.while_reading = lambda: None
        assert len(pool.submit(traces.get, OTHER).result(100)) == 1
        may_go_on.set()
        assert len({id(one.result(100)) for one in asked}) == 1
    assert store.readings == 2


def test_a_view_is_made_once_while_its_trace_is_kept() -> None:
    store = Shelf(stored(T, 1))
    traces = Traces(store, Shelf())
    made: list[int] = []

    def view(trace: Trace) -> int:
        made.append(len(trace))
        return len(trace)

    assert [traces.view(T, view), traces.view(T, view)] == [1, 1]
    store.spans.append(stored(T, 2))
    assert [traces.view(T, view), traces.view(T, view)] == [2, 2]
    store.unreadable = "part 3 is damaged"
    assert [traces.view(T, view), traces.view(T, view)] == [2, 2]
    assert made == [1, 2, 2, 2]
    assert traces.view(T, lambda trace: trace.unreadable) == "part 3 is damaged"
