"""The questions the product answers about traces: what is stored and what is still in the log, as one.

Every answer is made on a bounded pool of threads: neither the store nor the building of a large trace holds the loop.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from clew_server.errors import BadInput, NotFound, Unavailable
from clew_server.model import otlp_read
from clew_server.model.search import Search
from clew_server.model.skeleton import skeleton
from clew_server.store.contract import Page, StoredSpan, TraceReader, TraceSearch

MAX_SPANS_ASKED: Final = 100
_THREADS: Final = 4
_MAX_WAITING: Final = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The columns of ui.md's trace page as JSON text; `etag` changes when they do."""

    json: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class QueryStatistics:
    """Counted since the start."""

    running: int
    refused: int
    unreadable_spans: int


class QueryService:
    """Answers from the store and the log together. Every method raises Unavailable when too many wait already.

    A trace id is text: 32 hex digits in any case, dashes allowed (BadInput else); 16 digits are taken as the lower half.
    """

    def __init__(
        self,
        reader: TraceReader,
        search: TraceSearch,
        recent: TraceReader,
        *,
        threads: int = _THREADS,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self._reader = reader
        self._search = search
        self._recent = recent
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-query")
        self._most = threads + max_waiting
        self._running = 0
        self._refused = 0
        self._unreadable = 0
        self._lock = threading.Lock()

    async def get_trace(self, trace_id: str) -> list[StoredSpan]:
        """Every span of the trace once, in no order. Raises NotFound when there is none, BadInput for a malformed id."""
        wanted = trace_id_from_text(trace_id)
        return await self._run(lambda: self._get(wanted))

    async def skeleton(self, trace_id: str) -> Skeleton:
        """What the trace page draws. Raises as `get_trace`."""
        wanted = trace_id_from_text(trace_id)

        def build() -> Skeleton:
            columns = skeleton(self._get(wanted))
            return Skeleton(json.dumps(columns, separators=(",", ":")).encode(), columns["etag"])

        return await self._run(build)

    async def trace_otlp(self, trace_id: str) -> bytes:
        """The whole trace as a serialized ExportTraceServiceRequest, every field as it came. Raises as `get_trace`."""
        wanted = trace_id_from_text(trace_id)
        return await self._run(lambda: otlp_read.trace_as_otlp(self._get(wanted)))

    async def trace_json(self, trace_id: str) -> bytes:
        """The whole trace as OTLP JSON. Raises as `get_trace`."""
        wanted = trace_id_from_text(trace_id)
        return await self._run(lambda: otlp_read.trace_as_otlp_json(self._get(wanted)))

    async def spans(self, trace_id: str, span_ids: Sequence[bytes]) -> bytes:
        """These spans of the trace (ids of 8 bytes, at most 100; unknown ones are left out) as OTLP JSON.

        Raises as `get_trace`, and BadInput for too many.
        """
        wanted = trace_id_from_text(trace_id)
        if len(span_ids) > MAX_SPANS_ASKED:
            raise BadInput(f"At most {MAX_SPANS_ASKED} spans at once, not {len(span_ids)}.", code="too_many")
        return await self._run(lambda: otlp_read.spans_as_otlp_json(self._get(wanted), span_ids))

    async def search(self, search: Search) -> Page:
        """A page of traces, newest first. Raises BadInput for a cursor that is not ours."""
        return await self._run(lambda: self._search.find(search))

    async def services(self) -> list[str]:
        """Names of all services, sorted."""
        return await self._run(self._search.services)

    async def operations(self, service: str) -> list[tuple[str, str]]:
        """(name, kind word) of a service's operations, sorted; empty for an unknown service."""
        return await self._run(lambda: self._search.operations(service))

    def statistics(self) -> QueryStatistics:
        """What runs or waits now, what was refused, and spans that could not be read."""
        return QueryStatistics(self._running, self._refused, self._unreadable)

    def close(self) -> None:
        """Take no more questions. Those that run end by themselves; the store waits for them when it closes."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _get(self, trace_id: bytes) -> list[StoredSpan]:
        # The log first: a span that is being stored meanwhile is then seen twice rather than not at all.
        spans = self._recent.get(trace_id)
        spans = otlp_read.deduplicated(spans + self._reader.get(trace_id))
        if not spans:
            raise NotFound(f"There is no trace {trace_id.hex()}.")
        good, broken = otlp_read.readable(spans)
        if broken:
            with self._lock:
                self._unreadable += broken
        return good

    async def _run(self, call: Callable[[], T]) -> T:
        with self._lock:
            if self._running >= self._most:
                self._refused += 1
                raise Unavailable("Too many questions are waiting.")
            self._running += 1
        try:
            future = self._pool.submit(call)
        except RuntimeError:
            self._done()
            raise Unavailable("The server is stopping.") from None
        # Counted until the thread is free again, also when the asker went away meanwhile.
        future.add_done_callback(lambda _: self._done())
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        with self._lock:
            self._running -= 1


def trace_id_from_text(text: str) -> bytes:
    """The 16 bytes of a trace id: 32 hex digits in any case, with or without dashes, or 16 (64-bit ids).

    Raises BadInput, code `bad_id`, for anything else and for the id of zeros.
    """
    digits = text.strip().replace("-", "")
    if re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}", digits) is None or not digits.strip("0"):
        raise BadInput(f"{text[:80]!r} is not a trace id: it has 32 hex digits.", code="bad_id")
    return bytes.fromhex(digits.rjust(32, "0"))
