"""A trace: its spans as rows of a few columns, in the order of the tree. Built once, never changed. No I/O.

Rows are depth first, children and roots by start. So a span's descendants are the rows after it up to `end_row`, a pass over
the rows meets parents before children, and a pass backwards children before parents: nothing here recurses, however deep a
trace is. Questions about it are answered in `clew_server.analysis`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.columns import (
    ADJUSTED,
    CLIENT,
    CONSUMER,
    EVENTS,
    FAILED,
    INTERNAL,
    LINKS,
    MISPLACED,
    MISSING,
    PRODUCER,
    ROOT,
    SAME_ID,
    SERVER,
)
from clew_server.model.facts import NOTHING_KNOWN, Known
from clew_server.model.fragments import MARK as FRAGMENT
from clew_server.model.fragments import merged
from clew_server.model.heads import span_without_parts
from clew_server.model.pinpoint import MARK as PINPOINT
from clew_server.model.pinpoint import joined
from clew_server.model.rows import MARKS, NO_ID, Rows, origin_of, rows_of
from clew_server.model.stored import StoredSpan, StoredSpans

__all__ = [
    "ADJUSTED",
    "CLIENT",
    "CONSUMER",
    "EVENTS",
    "FAILED",
    "INTERNAL",
    "LINKS",
    "MISPLACED",
    "MISSING",
    "PRODUCER",
    "ROOT",
    "SAME_ID",
    "SERVER",
    "Trace",
    "trace_from_spans",
]

MANY: Final = 4_000
"""From so many spans on, `model.rows_of_many` makes the rows."""
_FEW_IDS: Final = 4
"""So many are looked for one after the other; more are looked for in one pass over the rows."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace. Every sequence but the last three has one entry a row."""

    t0_unix_nano: int
    """The earliest start; `start_ns` counts from here."""
    parent: Sequence[int]
    """The parent's row, ROOT or MISSING."""
    end_row: Sequence[int]
    """The row after the last descendant."""
    depth: Sequence[int]
    start_ns: Sequence[int]
    """From `t0_unix_nano`, as the span's own clock had it."""
    duration_ns: Sequence[int]
    """0 where the span ends before it begins; at most 2^62 - 1, 146 years."""
    service: Sequence[int]
    """Index in `services`."""
    name: Sequence[int]
    """Index in `names`."""
    host: Sequence[int]
    """Index in `hosts`: where the span's clock is."""
    kind: Sequence[int]
    flags: Sequence[int]
    span_ids: Sequence[bytes]
    parent_ids: Sequence[bytes]
    """As they came, also where nothing has that id."""
    stored: StoredSpans
    services: Sequence[str]
    names: Sequence[str]
    hosts: Sequence[str]
    """Host, pod, container or instance of the resource; where it names none, its service."""
    unreadable: str | None
    """A sentence about what damage took from the trace; None when nothing."""
    broken: int
    """Spans whose bytes do not parse: they are left out."""
    awaited: int = 0
    """Events that came as log records and whose span is not here."""
    unresolved: int = 0
    """Spans of Pinpoint's with numbers whose words have not come yet (`model.pinpoint`)."""
    joined_ids: bytes = b""
    """The span ids one after another, where all have eight bytes; else empty. Finds a row among 100,000 without a step for each."""

    def __len__(self) -> int:
        return len(self.parent)

    def roots(self) -> list[int]:
        """Rows whose parent is not in the trace, by start."""
        found, row = [], 0
        while row < len(self.parent):
            found.append(row)
            row = self.end_row[row]
        return found

    def first_root(self) -> int:
        """The earliest row without a parent, else the earliest whose parent is missing; -1 without spans."""
        tops = self.roots()
        return next((row for row in tops if self.parent[row] == ROOT), tops[0] if tops else -1)

    def children(self, row: int) -> Iterator[int]:
        """Rows of the children, by start."""
        child, end = row + 1, self.end_row[row]
        while child < end:
            yield child
            child = self.end_row[child]

    def rows_of(self, span_ids: Iterable[bytes]) -> list[int]:
        """Rows of the spans with these ids; two may share one, and unknown ones have none."""
        wanted = set(span_ids)
        few = len(wanted) <= _FEW_IDS and all(len(span_id) == len(NO_ID) for span_id in wanted)
        if not (few and self.joined_ids):
            return list(compress(range(len(self)), map(wanted.__contains__, self.span_ids)))
        return sorted(row for span_id in wanted for row in self._rows_of(span_id))

    def _rows_of(self, span_id: bytes) -> Iterator[int]:
        at = self.joined_ids.find(span_id)
        while at >= 0:
            if at % len(NO_ID) == 0:
                yield at // len(NO_ID)
            at = self.joined_ids.find(span_id, at + 1)

    def end_ns(self, row: int) -> int:
        """The span's end, from `t0_unix_nano`."""
        return self.start_ns[row] + self.duration_ns[row]

    def span(self, row: int) -> Span:
        """The whole span, parsed anew at each call; without its attributes, events and links where their bytes do not parse."""
        raw = self.stored.raw[row]
        try:
            return Span.FromString(raw)
        except DecodeError:
            return span_without_parts(raw)

    def service_of(self, row: int) -> str:
        """Its `service.name`; empty where it names none."""
        return self.services[self.service[row]]

    def name_of(self, row: int) -> str:
        """Its operation."""
        return self.names[self.name[row]]


def trace_from_spans(
    spans: Iterable[StoredSpan], *, unreadable: str | None = None, known: Known = NOTHING_KNOWN
) -> Trace:
    """The trace of these spans: the same for the same spans in any order and however often they come.

    `known`: what Pinpoint's agents have said of the numbers in their spans.

    Fragments are merged into their spans. A span that names itself as its parent is a root; of a ring of parents the earliest
    span is. Spans whose bytes do not parse are left out and counted in `Trace.broken`.
    """
    came = (spans if isinstance(spans, StoredSpans) else StoredSpans(spans)).distinct()
    held = came.held((FRAGMENT, PINPOINT, *MARKS))
    awaited = unresolved = 0
    if FRAGMENT in held:
        came, awaited = merged(came)
    if PINPOINT in held:
        came, unresolved = joined(came, known)
    rows = _rows(came, held.intersection(MARKS))
    stored = came.take(rows.places)
    origins = [origin_of(origin.resource) for origin in stored.origins]
    # Numbered in order of appearance: the order in which spans came must not show.
    service, services = _numbered(stored.origin, [service for service, _ in origins])
    host, hosts = _numbered(stored.origin, [host for _, host in origins])
    has_plain_ids = set(map(len, rows.span_ids)) == {len(NO_ID)}
    return Trace(
        t0_unix_nano=rows.t0_unix_nano,
        parent=rows.parent,
        end_row=rows.end_row,
        depth=rows.depth,
        start_ns=rows.start_ns,
        duration_ns=rows.duration_ns,
        service=service,
        name=rows.name,
        host=host,
        kind=rows.kind,
        flags=rows.flags,
        span_ids=rows.span_ids,
        parent_ids=rows.parent_ids,
        stored=stored,
        services=services,
        names=rows.names,
        hosts=hosts,
        unreadable=unreadable,
        broken=rows.broken,
        awaited=awaited,
        unresolved=unresolved,
        joined_ids=b"".join(rows.span_ids) if has_plain_ids else b"",
    )


def _rows(came: StoredSpans, marks: frozenset[bytes]) -> Rows:
    if len(came) >= MANY:
        # Imported for the first large trace: it takes a tenth of a second and 10 MB, and most traces are small.
        from clew_server.model.rows_of_many import rows_of_many

        rows = rows_of_many(came, marks)
        if rows is not None:
            return rows
    return rows_of(came, marks)


def _numbered(origin: list[int], texts: list[str]) -> tuple[list[int], list[str]]:
    """For each row the number of the text of its origin, and the texts by number, in order of appearance."""
    found: dict[str, int] = {}
    numbers = {one: found.setdefault(texts[one], len(found)) for one in dict.fromkeys(origin)}
    return list(map(numbers.__getitem__, origin)), list(found)
