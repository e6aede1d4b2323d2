"""Traces by id, from the log and the store as one. The last ones are kept while nothing about them changes.

A page asks for a trace several times: columns, explanation, one span's details after the other. Reading it is most of the cost.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from clew_server.errors import Damaged, NotFound
from clew_server.model.facts import NOTHING_KNOWN, Known
from clew_server.model.stored import StoredSpan, StoredSpans
from clew_server.model.trace import Trace, trace_from_spans
from clew_server.store.contract import StoredTrace, TraceReader, TraceStore

KEPT_BYTES: Final = 256 << 20
KEPT_FOR_S: Final = 60.0
_BYTES_A_SPAN: Final = 500  # beside the bytes that came: ids, columns, what a bytes object takes, views

T = TypeVar("T")


@dataclass(slots=True)
class _Kept:
    trace: Trace
    state: tuple[Hashable, Hashable]
    fingerprint: int
    """Of the spans that were read (`StoredSpans.fingerprint`)."""
    size_bytes: int
    used_s: float
    views: dict[Callable[[Trace], Any], Any] = field(default_factory=dict)


class Traces:
    """Reads traces. Blocking, safe for several threads; one trace is read by one thread at a time, the others wait for it.

    A trace that was read is given again only while the states of log and store (`TraceReader.state`) are those it was read
    at, so nothing that arrived, expired or was damaged since is passed over. Where they changed and the spans did not, as when the
    log's go to the store, the spans are read and nothing is made of them. What damage took something from is not kept.
    """

    def __init__(
        self,
        store: TraceStore,
        recent: TraceReader,
        *,
        kept_bytes: int = KEPT_BYTES,
        kept_for_s: float = KEPT_FOR_S,
        known: Known = NOTHING_KNOWN,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kept_bytes`: about what the kept ones may take together; `kept_for_s` after its last use one is forgotten.

        `known`: what agents have said of the numbers in their spans.
        """
        self._known = known
        self._store = store
        self._recent = recent
        self._kept_bytes = kept_bytes
        self._kept_for_s = kept_for_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._turns: dict[bytes, tuple[threading.Lock, int]] = {}
        self.size_bytes = 0
        """About what the kept ones take."""
        self.broken = 0
        """Spans whose bytes did not parse, counted at each reading."""

    def get(self, trace_id: bytes) -> Trace:
        """The trace as it is now.

        Raises NotFound when there is none, Damaged when search knows spans of it and none can be read, StoreFailed, Unavailable.
        """
        with self._turn(trace_id):
            kept = self._look_up(trace_id)
            if kept is not None and kept.state == (self._recent.state(trace_id), self._store.state(trace_id)):
                return kept.trace
            self._drop(trace_id)
            return self._read(trace_id, kept)

    def view(self, trace_id: bytes, view: Callable[[Trace], T]) -> T:
        """What `view` makes of the trace, made once while the trace is kept. For functions of the trace alone whose result is small
        beside it. Raises as `get`, and what `view` raises.
        """
        trace = self.get(trace_id)
        with self._lock:
            kept = self._kept.get(trace_id)
            if kept is not None and kept.trace is trace and view in kept.views:
                found: T = kept.views[view]
                return found
        made = view(trace)
        with self._lock:
            if kept is not None and kept.trace is trace:
                kept.views[view] = made
        return made

    def count(self, trace_id: bytes) -> int:
        """About how many spans the trace has, repeated ones included, without reading it. Raises StoreFailed, Unavailable."""
        return len(self._recent.read(trace_id).spans) + self._store.spans_known(trace_id)

    def forget_unused(self) -> None:
        """Drop what was not asked for in the last `kept_for_s`."""
        with self._lock:
            until_s = self._clock_s() - self._kept_for_s
            for trace_id in [trace_id for trace_id, kept in self._kept.items() if kept.used_s <= until_s]:
                self._remove(trace_id)

    def _read(self, trace_id: bytes, before: _Kept | None) -> Trace:
        # The log first: a span that is being stored meanwhile is then seen twice rather than not at all.
        recent = self._recent.read(trace_id)
        stored = self._store.read(trace_id)
        spans = StoredSpans(recent.spans)
        spans.extend(_without_copies(stored, spans))
        spans = spans.distinct()
        fingerprint = spans.fingerprint()
        state = recent.state, stored.state
        if before is not None and before.fingerprint == fingerprint and stored.unreadable is None:
            before.state = state
            self._keep(trace_id, before)
            return before.trace
        trace = trace_from_spans(spans, unreadable=stored.unreadable, known=self._known)
        if trace.broken:
            with self._lock:
                self.broken += trace.broken
        if not len(trace):
            raise self._nothing(trace_id, trace.broken, stored.unreadable)
        if trace.unreadable is None and not trace.broken and not trace.unresolved and not stored.without_origin:
            self._keep(trace_id, _Kept(trace, state, fingerprint, _size_bytes(trace), self._clock_s()))
        return trace

    def _nothing(self, trace_id: bytes, broken: int, unreadable: str | None) -> Exception:
        """What to say of a trace of which there is no span to show: was there never one, or was it lost?"""
        name = f"trace {trace_id.hex()}"
        if broken:
            return Damaged(f"The bytes of {name} are damaged: none of its {broken} spans can be read.")
        known = self._store.spans_known(trace_id)
        if not known and unreadable is None:
            return NotFound(f"There is no {name}.")
        if not known:
            return Damaged(f"Nothing can be said of {name}: {unreadable}.")
        found = f"Search knows {known} spans of {name}"
        if unreadable is None:
            return Damaged(f"{found}, but their bytes are missing: files of the store were lost or removed.")
        return Damaged(f"{found}, but their bytes cannot be read: {unreadable}.")

    @contextmanager
    def _turn(self, trace_id: bytes) -> Iterator[None]:
        """One thread at a time for each trace."""
        with self._lock:
            turn, users = self._turns.get(trace_id, (threading.Lock(), 0))
            self._turns[trace_id] = turn, users + 1
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, users = self._turns[trace_id]
                if users == 1:
                    del self._turns[trace_id]
                else:
                    self._turns[trace_id] = turn, users - 1

    def _look_up(self, trace_id: bytes) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(trace_id)
            if kept is not None:
                kept.used_s = self._clock_s()
                self._kept.move_to_end(trace_id)
            return kept

    def _keep(self, trace_id: bytes, kept: _Kept) -> None:
        if kept.size_bytes > self._kept_bytes:
            return
        with self._lock:
            self._remove(trace_id)
            self._kept[trace_id] = kept
            self.size_bytes += kept.size_bytes
            while self.size_bytes > self._kept_bytes:
                self._remove(next(iter(self._kept)))

    def _drop(self, trace_id: bytes) -> None:
        with self._lock:
            self._remove(trace_id)

    def _remove(self, trace_id: bytes) -> None:
        """Under the lock."""
        kept = self._kept.pop(trace_id, None)
        if kept is not None:
            self.size_bytes -= kept.size_bytes


def _without_copies(stored: StoredTrace, log: StoredSpans) -> Sequence[StoredSpan]:
    """The stored spans, without those that have no resource or scope yet and are in the log with theirs: as they differ from these,
    each would be there twice.
    """
    if not stored.without_origin or not len(log):
        return stored.spans
    in_log, spans = set(log.raw), StoredSpans(stored.spans)
    left_out = {at for at in stored.without_origin if spans.raw[at] in in_log}
    return spans.take([at for at in range(len(spans)) if at not in left_out])


def _size_bytes(trace: Trace) -> int:
    """About what a trace takes in memory, with what is made of it."""
    size = sum(map(len, trace.stored.raw)) + _BYTES_A_SPAN * len(trace)
    return size + sum(len(origin.resource) + len(origin.scope) for origin in trace.stored.origins)
