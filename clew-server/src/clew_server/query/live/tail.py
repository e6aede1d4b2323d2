"""Live tail: one thread looks at accepted requests while somebody listens, and tells each listener of the traces that match.

The intake is never kept waiting: it leaves a reference to the request here and goes on. The thread takes at most a part of one
processor; what comes faster is first only asked whether it failed, then left out, and listeners are told how much that was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

from clew_server.errors import BadInput, Unavailable
from clew_server.model.columns import FAILED
from clew_server.model.head_columns import head_columns
from clew_server.model.otlp_raw import parse_raw
from clew_server.model.stored import StoredSpan
from clew_server.query.live.listener import Asked, Counts, Events, Listener
from clew_server.query.live.listeners import AWAITED_S, MOST_LISTENERS, Connection, Listeners
from clew_server.query.live.seen import SeenTrace
from clew_server.query.live.window import Entry, Window

MOST_WAITING_BYTES: Final = 32 << 20
"""Of requests that wait to be looked at; what comes beyond is left out."""
_IN_FULL_BYTES: Final = 8 << 20
"""While more than this waits, only traces with spans that failed are taken."""
_LOOKS_EVERY_S: Final = 0.1
_ROUND_S: Final = 0.25
_PART_OF_A_PROCESSOR: Final = 0.25
_SLICE_S: Final = 0.01
"""After so much work the thread rests, so that nothing waits long for the interpreter."""
_LONGEST_REST_S: Final = 1.0
_SAYS_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TailStatistics:
    """Counts since the start, `listeners` now."""

    listeners: int = 0
    skipped_traces: int = 0
    unread_spans: int = 0


class Tail:
    """`saw` is called with each accepted request; `listening` gives a connection. Both belong to one event loop."""

    def __init__(
        self,
        trace_event: Callable[[SeenTrace], bytes],
        gone_event: Callable[[SeenTrace], bytes],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        most_listeners: int = MOST_LISTENERS,
        awaited_s: float = AWAITED_S,
    ) -> None:
        """`trace_event` and `gone_event` make what is sent of a trace that matches, and of one that no longer does.

        `awaited_s`: so long a listener whose connection broke may come back.
        """
        self._trace_event = trace_event
        self._gone_event = gone_event
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._listeners = Listeners(most=most_listeners, awaited_s=awaited_s)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._requests: deque[tuple[bytes, int]] = deque()
        # Each written by one thread only; what waits is their difference.
        self._came_bytes = self._read_bytes = 0
        self._lost_spans = self._told_lost_spans = 0
        self._unread_spans = 0
        self._window = Window()
        self._rested_s = 0.0
        self._said_s = -_SAYS_EVERY_S

    # In the event loop

    def saw(self, request: bytes, spans: int) -> None:
        """A canonical request was accepted. Costs nothing while nobody listens."""
        if not self._listeners.all:
            return
        if self._came_bytes - self._read_bytes + len(request) > MOST_WAITING_BYTES:
            self._lost_spans += spans
            return
        self._came_bytes += len(request)
        self._requests.append((request, spans))

    @contextmanager
    def listening(self, asked: Asked, last_event_id: str = "") -> Iterator[Connection]:
        """A connection for as long as the block runs. `last_event_id` (`NAME.NUMBER`) is what one that broke had come to.

        Raises Unavailable above the limit, BadInput for a bad expression.
        """
        with self._lock:
            if self._stopping.is_set():
                raise Unavailable("The server stops.")
            connection = self._listeners.connect(asked, last_event_id, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clew-tail", daemon=True)
                self._thread.start()
        try:
            yield connection
        finally:
            with self._lock:
                self._listeners.leave(connection, time.monotonic())

    def end(self) -> None:
        """Tell all listeners that nothing more comes, and refuse new ones."""
        with self._lock:
            self._stopping.set()
            listeners = self._listeners.all
        for listener in listeners:
            listener.end()

    def close(self) -> None:
        """`end`, and wait for the thread."""
        self.end()
        thread = self._thread
        if thread is not None:
            thread.join(2.0)

    def statistics(self) -> TailStatistics:
        with self._lock:
            return TailStatistics(
                self._listeners.connected, self._listeners.skipped, self._unread_spans + self._lost_spans
            )

    # In the thread

    def _run(self) -> None:
        self._rested_s = time.thread_time()
        while True:
            with self._lock:
                self._listeners.forget(time.monotonic())
                if not self._listeners.all or self._stopping.is_set():
                    self._window.clear()
                    while self._requests:
                        self._read_bytes += len(self._requests.popleft()[0])
                    self._thread = None
                    return
            self._round()
            self._stopping.wait(_LOOKS_EVERY_S)

    def _round(self) -> None:
        """Read what came and tell of the traces that are due, for a while: those who listen shall not wait for all of it."""
        until_s = time.monotonic() + _ROUND_S
        unread_spans = 0
        # What is there must be looked at before more is taken in; meanwhile requests wait, and are bounded there.
        while self._requests and not self._window.is_full and time.monotonic() < until_s:
            waiting_bytes = self._came_bytes - self._read_bytes
            request, _ = self._requests.popleft()
            unread_spans += self._read(request, time.monotonic(), failed_only=waiting_bytes > _IN_FULL_BYTES)
            self._read_bytes += len(request)
            self._pace()
        listeners = self._listeners.all
        now_s = time.monotonic()
        until_s = now_s + _ROUND_S
        for entry in chain(self._window.overdue(), self._window.due(now_s)):
            self._look_at(entry, listeners)
            self._pace()
            if time.monotonic() > until_s:
                break
        self._window.forget(now_s)
        lost_spans = self._lost_spans - self._told_lost_spans
        self._told_lost_spans += lost_spans
        self._unread_spans += unread_spans
        for listener in listeners:
            if unread_spans or lost_spans:
                listener.unread(unread_spans, lost_spans)
            if listener.has_news:
                listener.wake()

    def _pace(self) -> None:
        """Rest after a slice of work, so long that no more than the part of a processor is taken."""
        worked_s = time.thread_time() - self._rested_s
        if worked_s >= _SLICE_S:
            self._stopping.wait(min(worked_s / _PART_OF_A_PROCESSOR - worked_s, _LONGEST_REST_S))
            self._rested_s = time.thread_time()

    def _read(self, request: bytes, now_s: float, *, failed_only: bool) -> int:
        """Put the request's spans into the window; how many were left out."""
        try:
            resources = parse_raw(request).resource_spans
        except BadInput:
            return 0
        arrival = self._clock_ns()
        left_out = 0
        for resource in resources:
            resource_url = resource.schema_url.decode("utf-8", "replace")
            for scope in resource.scope_spans:
                spans = list(scope.spans)
                taken = spans
                if failed_only:
                    failed = _failed_traces(spans)
                    taken = [span for span in spans if span[2:18] in failed]
                    left_out += len(spans) - len(taken)
                scope_url = scope.schema_url.decode("utf-8", "replace")
                for span in taken:
                    # Canonical: the trace id comes first (docs/formats/wal.md).
                    self._window.add(
                        span[2:18],
                        StoredSpan(resource.resource, resource_url, scope.scope, scope_url, span, arrival),
                        now_s,
                    )
        return left_out

    def _look_at(self, entry: Entry, listeners: Sequence[Listener]) -> None:
        began_s = time.thread_time()
        try:
            self._tell(entry, listeners)
        except Exception:
            if time.monotonic() - self._said_s > _SAYS_EVERY_S:
                self._said_s = time.monotonic()
                _log.exception("a trace could not be shown to those who listen; it is stored all the same")
        entry.looked_at(time.monotonic(), time.thread_time() - began_s)

    def _tell(self, entry: Entry, listeners: Sequence[Listener]) -> None:
        trace = entry.seen()
        if trace is None:
            return
        events = self._events(trace)
        failed, spans, now_s = trace.failed_spans > 0, trace.span_count, time.monotonic()
        known: dict[object, bool] = {}
        for listener in listeners:
            # Many ask for the same, most for everything.
            key = listener.asked.where
            if key not in known:
                known[key] = listener.matches(trace)
            listener.tell(entry.told, known[key], failed, spans, events, now_s)

    def _events(self, trace: SeenTrace) -> Events:
        return Events(cache(lambda: self._trace_event(trace)), cache(lambda: self._gone_event(trace)))


def _failed_traces(spans: list[bytes]) -> set[bytes]:
    columns = head_columns(spans)
    return {spans[place][2:18] for place, flags in zip(columns.places, columns.flags, strict=True) if flags & FAILED}


__all__ = ["MOST_LISTENERS", "Asked", "Connection", "Counts", "Tail", "TailStatistics"]
