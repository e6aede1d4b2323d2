"""What one listener is told, and what waits to be sent to it: bounded, so that a slow reader costs itself and nobody else.

Events have numbers, and the last ones are kept: a reader whose connection broke names the last number it has, and is sent the rest.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from clew_server.model.query_tree import Node
from clew_server.query.live.matching import Matches, matching

QUEUE_BYTES: Final = 256 << 10
"""Of events about traces that did not fail."""
FAILED_QUEUE_BYTES: Final = 1 << 20
"""Of events about traces that failed, beside those. Listeners share the bytes of an event."""
SENT_BYTES: Final = 256 << 10
"""Of the last events that were sent: what may be on its way when a connection breaks."""
DEFAULT_RATE: Final = 50
MOST_RATE: Final = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a listener wants."""

    where: Node | None = None
    failed_only: bool = False
    rate: int = DEFAULT_RATE
    """Traces that did not fail, a second; those over it are counted as skipped."""
    text: str = ""
    """The query as it was written. In `where` times like `now-1h` are those of one moment."""
    since_unix_nano: int = 0

    def is_same(self, other: Asked) -> bool:
        """Whether both ask for the same, at different times."""
        return (self.text, self.failed_only, self.rate) == (other.text, other.failed_only, other.rate)


Numbered = tuple[int, bytes]
"""An event with its number among those of the listener, from 1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the listener began. Each trace counts once, however often it grew."""

    traces: int = 0
    spans: int = 0
    failed: int = 0
    skipped: int = 0
    """Traces that matched and were not sent; none of them failed."""
    skipped_failed: int = 0
    """Traces that matched and failed and were not sent, because the reader is too slow even for those."""
    unread_spans: int = 0
    """Spans that came faster than they can be looked at. None of them failed."""
    lost_spans: int = 0
    """Spans that came so fast that they were not even asked whether they failed."""


@dataclass(frozen=True, slots=True)
class Events:
    """What is sent of one trace, made when the first listener needs it and then shared."""

    trace: Callable[[], bytes]
    gone: Callable[[], bytes]


@dataclass(slots=True)
class _Told:
    spans: int
    failed: bool
    shown: bool
    skipped: bool = False
    skipped_failed: bool = False


class Listener:
    """`tell` belongs to the thread that looks at traces, `take` to the event loop, the rest to both."""

    def __init__(self, asked: Asked, *, now_s: float) -> None:
        """Raises BadInput for an expression that RE2 does not take."""
        self.asked = asked
        self.matches: Matches = matching(asked.where)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self.name = secrets.token_hex(8)
        """Told to its reader only, who comes back with it."""
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._waiting_bytes = {False: 0, True: 0}
        self._sent: deque[Numbered] = deque()
        self._sent_bytes = 0
        self._again: deque[Numbered] = deque()
        """Sent on a connection that broke before they came."""
        self._number = 0
        self._counts = Counts()
        self._allowance = float(asked.rate)
        self._allowed_s = now_s
        self.is_ended = False

    # In the thread

    def tell(
        self, told: dict[Listener, _Told], matches: bool, failed: bool, spans: int, events: Events, now_s: float
    ) -> None:
        """A trace was looked at. `told`: what the listeners were told of it before."""
        matches = matches and (failed or not self.asked.failed_only)
        before = told.get(self)
        if before is None:
            if matches:
                told[self] = self._first(failed, spans, events, now_s)
            return
        counts = self._counts
        if not matches:
            if before.shown and self._offer(events.gone(), failed):
                before.shown = False
            return
        counts = replace(counts, spans=counts.spans + spans - before.spans)
        before.spans = spans
        if failed and not before.failed:
            counts = replace(counts, failed=counts.failed + 1)
            before.failed = True
        if before.shown or failed or not before.skipped:
            if self._offer(events.trace(), failed):
                if before.skipped:
                    counts = replace(counts, skipped=counts.skipped - 1)
                if before.skipped_failed:
                    counts = replace(counts, skipped_failed=counts.skipped_failed - 1)
                before.shown, before.skipped, before.skipped_failed = True, False, False
            elif failed and not before.shown and not before.skipped_failed:
                skipped = counts.skipped - before.skipped
                counts = replace(counts, skipped=skipped, skipped_failed=counts.skipped_failed + 1)
                before.skipped, before.skipped_failed = False, True
        self._counts = counts

    def unread(self, unread_spans: int, lost_spans: int) -> None:
        """Spans came that were not looked at."""
        self._counts = replace(
            self._counts,
            unread_spans=self._counts.unread_spans + unread_spans,
            lost_spans=self._counts.lost_spans + lost_spans,
        )

    def _first(self, failed: bool, spans: int, events: Events, now_s: float) -> _Told:
        counts = self._counts
        shown = (failed or self._may_send(now_s)) and self._offer(events.trace(), failed)
        self._counts = replace(
            counts,
            traces=counts.traces + 1,
            spans=counts.spans + spans,
            failed=counts.failed + failed,
            skipped=counts.skipped + (not shown and not failed),
            skipped_failed=counts.skipped_failed + (not shown and failed),
        )
        return _Told(spans, failed, shown, skipped=not shown and not failed, skipped_failed=not shown and failed)

    def _may_send(self, now_s: float) -> bool:
        """Takes one of the traces that may be sent in this second, where there is one left."""
        rate = self.asked.rate
        self._allowance = min(rate, self._allowance + (now_s - self._allowed_s) * rate)
        self._allowed_s = now_s
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _offer(self, event: bytes, failed: bool) -> bool:
        with self._lock:
            room = FAILED_QUEUE_BYTES if failed else QUEUE_BYTES
            if self.is_ended or self._waiting_bytes[failed] + len(event) > room:
                return False
            self._waiting.append((event, failed))
            self._waiting_bytes[failed] += len(event)
            return True

    # For both

    @property
    def counts(self) -> Counts:
        return self._counts

    @property
    def last_number(self) -> int:
        """Of the events that were taken so far."""
        return self._number

    @property
    def has_news(self) -> bool:
        return bool(self._waiting or self._again)

    def end(self) -> None:
        """Nothing more comes, and what waits is let go of. Safe from any thread."""
        with self._lock:
            self.is_ended = True
            self._waiting.clear()
            self._again.clear()
            self._sent.clear()
        self.wake()

    def wake(self) -> None:
        """Let those who `wait` look. Safe from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop has ended, and nobody takes any more
            return

    # In the event loop

    async def wait(self, within_s: float) -> None:
        """Until there is something to take, or it was woken for another reason, or that time is over."""
        if not self.has_news and not self.is_ended:
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return
        self._news.clear()

    def take(self, most_bytes: int = 64 << 10) -> list[Numbered]:
        """What waits, the oldest first; not much more than so many bytes of it."""
        taken: list[Numbered] = []
        size = 0
        with self._lock:
            while self._again and size < most_bytes:
                taken.append(self._again.popleft())
                size += len(taken[-1][1])
            while self._waiting and size < most_bytes:
                event, failed = self._waiting.popleft()
                self._waiting_bytes[failed] -= len(event)
                self._number += 1
                taken.append((self._number, event))
                self._sent.append(taken[-1])
                size += len(event)
                self._sent_bytes += len(event)
            while self._sent_bytes > SENT_BYTES and len(self._sent) > 1:
                self._sent_bytes -= len(self._sent.popleft()[1])
        return taken

    def go_on(self, after: int) -> int:
        """Let `take` begin behind this number; how many events behind it are not kept any more."""
        with self._lock:
            self._again = deque(one for one in self._sent if one[0] > after)
            first = self._again[0][0] if self._again else self._number + 1
        return max(0, first - after - 1)
