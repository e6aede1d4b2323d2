"""What has arrived of recent traces, for as long as somebody listens. Bounded by bytes, spans and time. No I/O, not for several threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from clew_server.model.stored import StoredSpan
from clew_server.query.live.seen import SeenTrace, seen_trace

MOST_BYTES: Final = 32 << 20
MOST_SPANS_OF_A_TRACE: Final = 5_000
KEPT_S: Final = 60.0
"""Since the last span of a trace."""
REST_S: Final = 0.3
"""A trace is looked at when nothing of it has come for so long, so that what is sent together is looked at together."""
AT_LATEST_S: Final = 0.7
"""Or so long after the first span that was not looked at yet."""
_SPAN_BYTES: Final = 200
"""What a span takes beside its bytes."""
_COST_PART: Final = 10
"""A trace that takes long to look at is looked at again only after so many times as long."""


@dataclass(slots=True)
class Entry:
    """One trace."""

    trace_id: bytes
    spans: list[StoredSpan] = field(default_factory=list)
    left_out: int = 0
    """Spans over `MOST_SPANS_OF_A_TRACE`, which are counted only."""
    size_bytes: int = 0
    last_s: float = 0.0
    waiting_since_s: float | None = None
    """When the first span came that was not looked at yet; None where all were."""
    not_before_s: float = 0.0
    told: dict[Any, Any] = field(default_factory=dict)
    """What each listener was told of it, the listener's own business."""

    @property
    def due_s(self) -> float:
        assert self.waiting_since_s is not None
        return max(self.not_before_s, min(self.last_s + REST_S, self.waiting_since_s + AT_LATEST_S))

    def seen(self) -> SeenTrace | None:
        """The trace as far as it came; None while there are only log records for its spans."""
        return seen_trace(self.trace_id, tuple(self.spans), left_out=self.left_out)

    def looked_at(self, now_s: float, took_s: float) -> None:
        """All spans so far have been looked at."""
        self.waiting_since_s = None
        self.not_before_s = now_s + _COST_PART * took_s


class Window:
    """Traces by id, those of which something came last at the end."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._waiting: OrderedDict[bytes, Entry] = OrderedDict()
        """Those with spans that were not looked at."""
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether there is more than may be kept, which `overdue` ends."""
        return self.size_bytes > self._most_bytes

    def add(self, trace_id: bytes, span: StoredSpan, now_s: float) -> None:
        """A span that arrived."""
        entry = self._entries.get(trace_id)
        if entry is None:
            entry = self._entries[trace_id] = Entry(trace_id)
        else:
            self._entries.move_to_end(trace_id)
        entry.last_s = now_s
        if entry.waiting_since_s is None:
            entry.waiting_since_s = now_s
            self._waiting[trace_id] = entry
        if len(entry.spans) >= MOST_SPANS_OF_A_TRACE:
            entry.left_out += 1
            return
        size = len(span.span) + _SPAN_BYTES
        entry.spans.append(span)
        entry.size_bytes += size
        self.size_bytes += size

    def due(self, now_s: float) -> Iterator[Entry]:
        """The traces to be looked at now; each must then be told `looked_at`."""
        for entry in [one for one in self._waiting.values() if one.due_s <= now_s]:
            del self._waiting[entry.trace_id]
            yield entry

    def overdue(self) -> Iterator[Entry]:
        """While there is more than may be kept: the traces of which nothing came for longest and that were not looked at."""
        while self.size_bytes > self._most_bytes and self._entries:
            _, entry = self._entries.popitem(last=False)
            self.size_bytes -= entry.size_bytes
            if self._waiting.pop(entry.trace_id, None) is not None:
                yield entry

    def forget(self, now_s: float) -> None:
        """Let go of the traces of which nothing came for long."""
        while self._entries:
            entry = next(iter(self._entries.values()))
            if entry.last_s > now_s - KEPT_S or entry.waiting_since_s is not None:
                return
            del self._entries[entry.trace_id]
            self.size_bytes -= entry.size_bytes

    def clear(self) -> None:
        self._entries.clear()
        self._waiting.clear()
        self.size_bytes = 0
