"""Ended spans between the application's threads and the sender: bounded in spans and bytes, every loss counted.

A native twin does exactly this (`_fast.pyx`); the tests of this module are its specification.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from threading import RLock
from typing import Any, Final

from clew.otlp import encode
from clew.recorder.oversize import shrink

# Spans taken at once; a thread that ends a span meanwhile waits for at most that many.
_SPANS_AT_ONCE: Final = 256


class Buffer:
    """Encoded spans in the order they ended, and what became of all spans so far.

    `recorded` = `sent` + everything in `dropped` + what is held here or is on its way.
    """

    def __init__(
        self,
        max_spans: int,
        max_bytes: int,
        urgent: int,
        wake: Callable[[], None],
        *,
        urgent_bytes: int = 0,
        max_span_bytes: int = 0,
        drop_oldest: bool = False,
    ) -> None:
        """`wake` is called, from the thread that ends the span, when the first is held, when the `urgent`-th is, and
        when `urgent_bytes` are reached; not by a span that another had to make room for.

        A span of more than `max_span_bytes` is shrunk to that. When the buffer is full the span that comes is dropped,
        with `drop_oldest` as many of the oldest as it takes. 0 is no bound; `max_bytes` bounds a span too.
        """
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._urgent = urgent
        self._urgent_bytes = urgent_bytes
        self._drop_oldest = drop_oldest
        self._wake = wake
        self.max_span_bytes = min(max_span_bytes or max_bytes, max_bytes)
        # What each number stands for, the numbers by that, and how many users each has.
        self._scopes: list[tuple[bytes, str]] = []
        self._numbers: dict[tuple[bytes, str], int] = {}
        self._users: list[int] = []
        # Numbers without a user, oldest first: each is free again when so many spans have left the buffer.
        self._retired: dict[int, int] = {}
        self._free: list[int] = []
        self._taking = 0
        self.reset()

    def reset(self) -> None:
        """Reset everything, counts included. Called in the child after a fork; the parent sends the spans that were held."""
        # Reentrant: a garbage collection inside `add` may run a __del__ that ends a span.
        self._lock = RLock()
        # Two queues side by side: a tuple a span would be one more object for the garbage collector to visit.
        self._indexes: deque[int] = deque()
        self._spans: deque[bytes] = deque()
        self._bytes = 0
        self._recorded = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()
        self._written_off = 0
        self._written_off_as = ""
        self._closed_as = ""
        self._left = 0
        self._taking = 0
        self._retired = dict.fromkeys(self._retired, 0)

    def scope(self, scope_bytes: bytes, schema_url: str) -> int:
        """The number under which spans of this scope are added, for one more user; the same scope has the same number.

        Takes the same time however many scopes there are.
        """
        wanted = (scope_bytes, schema_url)
        with self._lock:
            number = self._numbers.get(wanted)
            if number is None:
                self._find_free()
                if self._free:
                    number = self._free.pop()
                    self._scopes[number] = wanted
                else:
                    number = len(self._scopes)
                    self._scopes.append(wanted)
                    self._users.append(0)
                self._numbers[wanted] = number
            self._retired.pop(number, None)
            self._users[number] += 1
            return number

    def release(self, number: int) -> None:
        """One user of this scope adds no more spans. Without any, the number is another's once its spans are sent."""
        with self._lock:
            self._users[number] -= 1
            if not self._users[number]:
                self._retired[number] = self._left + len(self._spans)

    def _find_free(self) -> None:
        # Not while spans are on their way out of here, whose numbers are still looked up.
        while self._retired and not self._taking:
            number, when_left = next(iter(self._retired.items()))
            if when_left > self._left:
                break
            del self._retired[number]
            known_as = self._scopes[number]
            is_known = self._numbers.get(known_as) == number
            # A garbage collection or a signal handler may have asked for the scope in between.
            if not self._users[number]:
                if is_known:
                    del self._numbers[known_as]
                self._free.append(number)

    def add(self, scope: int, span: bytes) -> None:
        """Hold one encoded span (an element of ScopeSpans.spans), or count it as dropped; never blocks.

        Dropped as `buffer_full`, `too_large` (it cannot be shrunk so far) or what `close` was told.
        """
        if len(span) > self.max_span_bytes:
            shrunk = shrink(span, self.max_span_bytes)
            if shrunk is None:
                self.count_lost("too_large")
                return
            span = shrunk
        with self._lock:
            self._recorded += 1
            if self._closed_as:
                self._dropped[self._closed_as] += 1
                return
            spans, bytes_before = self._spans, self._bytes
            held, bytes_after = len(spans) + 1, bytes_before + len(span)
            if held > self._max_spans or bytes_after > self._max_bytes:
                self._dropped["buffer_full"] += 1
                if not self._drop_oldest:
                    return
                while True:
                    self._left += 1
                    self._indexes.popleft()
                    bytes_after -= len(spans.popleft())
                    if bytes_after <= self._max_bytes:
                        break
                    self._dropped["buffer_full"] += 1
                held = 0  # do not wake the sender: it was woken before the buffer was full
                bytes_before = bytes_after
            self._indexes.append(scope)
            spans.append(span)
            self._bytes = bytes_after
        if held == 1 or held == self._urgent or bytes_before < self._urgent_bytes <= bytes_after:
            self._wake()

    def take(self, max_spans: int, max_bytes: int, resource: bytes = b"", schema_url: str = "") -> tuple[int, bytes]:
        """The oldest spans, at most so many and (beyond the first) so many bytes: their number, and the request that
        sends them, of this (encoded) resource. (0, b"") when nothing is held.
        """
        with self._lock:
            self._taking += 1
        try:
            return self._take(max_spans, max_bytes, resource, schema_url)
        finally:
            with self._lock:
                self._taking -= 1

    def _take(self, max_spans: int, max_bytes: int, resource: bytes, schema_url: str) -> tuple[int, bytes]:
        by_scope: dict[int, list[bytes]] = {}
        taken = size = 0
        full = False
        while not full and taken < max_spans:
            with self._lock:
                indexes, spans = self._indexes, self._spans
                for _ in range(min(_SPANS_AT_ONCE, len(spans), max_spans - taken)):
                    size += len(spans[0])
                    if taken and size > max_bytes:
                        full = True
                        break
                    span = spans.popleft()
                    self._left += 1
                    self._bytes -= len(span)
                    by_scope.setdefault(indexes.popleft(), []).append(span)
                    taken += 1
                full = full or not spans
        if not taken:
            return 0, b""
        scopes = [encode.scope_spans(self._scopes[n][0], held, self._scopes[n][1]) for n, held in by_scope.items()]
        return taken, encode.request(resource, scopes, schema_url)

    @property
    def held(self) -> int:
        """Spans held now."""
        return len(self._spans)

    @property
    def held_bytes(self) -> int:
        """Their encoded bytes."""
        return self._bytes

    def close(self, reason: str) -> None:
        """What is held is dropped, and whatever comes from now on."""
        with self._lock:
            self._closed_as = reason
            held = len(self._spans)
            if held:
                self._dropped[reason] += held
            self._left += held
            self._indexes.clear()
            self._spans.clear()
            self._bytes = 0

    def count_sent(self, spans: int) -> None:
        """These were delivered."""
        with self._lock:
            self._take_back(spans)
            self._sent += spans

    def count_dropped(self, reason: str, spans: int) -> None:
        """These were taken, and are lost."""
        if spans:
            with self._lock:
                self._take_back(spans)
                self._dropped[reason] += spans

    def count_lost(self, reason: str) -> None:
        """One span ended that never came to `add`."""
        with self._lock:
            self._recorded += 1
            self._dropped[reason] += 1

    def write_off(self, reason: str) -> None:
        """What is being sent counts as dropped, unless the sender still reports its outcome."""
        with self._lock:
            lost = self._recorded - self._sent - self._dropped.total() - len(self._spans)
            if lost > 0:
                self._dropped[reason] += lost
                self._written_off, self._written_off_as = lost, reason

    def _take_back(self, spans: int) -> None:
        # The sender has reported spans that were already counted as dropped.
        if self._written_off:
            known = min(self._written_off, spans)
            self._written_off -= known
            self._dropped[self._written_off_as] -= known

    def stats(self) -> dict[str, Any]:
        """`{"recorded", "sent", "dropped": {reason: n}}`."""
        with self._lock:
            dropped = {reason: count for reason, count in self._dropped.items() if count}
            return {"recorded": self._recorded, "sent": self._sent, "dropped": dropped}
