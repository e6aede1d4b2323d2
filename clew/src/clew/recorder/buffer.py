"""Ended spans between the application's threads and the sender: bounded in spans and bytes, every loss counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import RLock
from typing import Any

from clew.otlp import encode
from clew.recorder._select import Tracer


class Buffer:
    """Encoded spans in the order they ended, and what became of all spans so far.

    `recorded` = `sent` + everything in `dropped` + what is held here or is on its way.
    """

    def __init__(self, max_spans: int, max_bytes: int) -> None:
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Forget everything, counts included: for the child after a fork, whose parent sends what was held."""
        # Reentrant: a garbage collection inside `add` may run a __del__ that ends a span.
        self._lock = RLock()
        # Two lists side by side: a tuple a span would be one more object for the garbage collector to visit.
        self._tracers: list[Tracer] = []
        self._spans: list[bytes] = []
        self._bytes = 0
        self._recorded = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()
        self._written_off = 0
        self._written_off_as = ""

    def add(self, tracer: Tracer, span: bytes) -> int:
        """Hold one encoded span; returns how many are held now, 0 if it was dropped for want of room."""
        with self._lock:
            self._recorded += 1
            spans = self._spans
            held = len(spans)
            held_bytes = self._bytes + len(span)
            if held >= self._max_spans or held_bytes > self._max_bytes:
                self._dropped["buffer_full"] += 1
                return 0
            self._tracers.append(tracer)
            spans.append(span)
            self._bytes = held_bytes
            return held + 1

    def take(self) -> list[tuple[Tracer, bytes]]:
        """Everything held; the buffer is empty afterwards."""
        # Made before the exchange: an allocation between its halves could run a __del__ that ends a span.
        empty: tuple[list[Tracer], list[bytes]] = ([], [])
        with self._lock:
            tracers, spans = self._tracers, self._spans
            self._tracers, self._spans = empty
            self._bytes = 0
        return list(zip(tracers, spans, strict=True))

    def count_sent(self, spans: int) -> None:
        """These were delivered."""
        with self._lock:
            self._take_back(spans)
            self._sent += spans

    def count_dropped(self, reason: str, spans: int, *, recorded: bool = True) -> None:
        """These are lost; `recorded` is False for spans that never came to `add`."""
        if spans:
            with self._lock:
                if recorded:
                    self._take_back(spans)
                else:
                    self._recorded += spans
                self._dropped[reason] += spans

    def write_off(self, reason: str) -> None:
        """What is on its way counts as dropped, unless the sender still says what became of it."""
        with self._lock:
            lost = self._recorded - self._sent - self._dropped.total() - len(self._spans)
            if lost > 0:
                self._dropped[reason] += lost
                self._written_off, self._written_off_as = lost, reason

    def _take_back(self, spans: int) -> None:
        # The sender has come back after all with what was written off.
        if self._written_off:
            known = min(self._written_off, spans)
            self._written_off -= known
            self._dropped[self._written_off_as] -= known

    def stats(self) -> dict[str, Any]:
        """`{"recorded", "sent", "dropped": {reason: n}}`."""
        with self._lock:
            dropped = {reason: count for reason, count in self._dropped.items() if count}
            return {"recorded": self._recorded, "sent": self._sent, "dropped": dropped}


def batches(items: list[tuple[Tracer, bytes]], max_spans: int, max_bytes: int) -> Iterator[tuple[int, list[bytes]]]:
    """Items cut into batches within both bounds: (number of spans, one ScopeSpans for each scope)."""
    start = 0
    while start < len(items):
        scopes: dict[tuple[bytes, str], list[bytes]] = {}
        size = 0
        end = start
        while end < len(items) and end - start < max_spans:
            tracer, span = items[end]
            size += len(span)
            if size > max_bytes and end > start:
                break
            scopes.setdefault((tracer.scope_bytes, tracer.scope.schema_url or ""), []).append(span)
            end += 1
        yield end - start, [encode.scope_spans(scope, spans, url) for (scope, url), spans in scopes.items()]
        start = end
