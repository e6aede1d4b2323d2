"""A trace: its spans as rows of a few columns, in the order of the tree. Built once, never changed. No I/O.

Rows are depth first, children and roots by start. So a span's descendants are the rows after it up to `end_row`, a pass over
the rows meets parents before children, and a pass backwards children before parents: nothing here recurses, however deep a
trace is. Questions about it are answered in `clew_server.analysis`.
"""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice, repeat
from typing import Final, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_of
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
    depths,
)
from clew_server.model.facts import NOTHING_KNOWN, Known
from clew_server.model.fragments import merged
from clew_server.model.head_columns import head_columns
from clew_server.model.heads import span_without_parts
from clew_server.model.pinpoint import joined
from clew_server.model.rpc_ids import MARK as RPC_ID
from clew_server.model.rpc_ids import hang_calls
from clew_server.model.shared import MARK, hang_shared
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

T = TypeVar("T")

# The store places the same starts at the arrival (schema 0010), and bounds the same length (schema 0003).
_FIRST_START_NS: Final = 946_684_800_000_000_000
_LAST_START_NS: Final = 4_102_444_799_999_999_999
_LONGEST_NS: Final = 2**62 - 1
_NO_ID: Final = bytes(8)
_FEW_IDS: Final = 4
"""So many are looked for one after the other; more are looked for in one pass over the rows."""
_SECOND_NS: Final = 1_000_000_000
_EXACT_IN_A_FLOAT: Final = 2**53
_CLOCK_NOISE_NS: Final = 1_000_000
_HOST_KEYS: Final = ("host.name", "host.id", "k8s.pod.uid", "k8s.pod.name", "container.id", "service.instance.id")


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
        """Rows without a parent here, by start."""
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
        few = len(wanted) <= _FEW_IDS and all(len(span_id) == len(_NO_ID) for span_id in wanted)
        if not (few and self.joined_ids):
            return list(compress(range(len(self)), map(wanted.__contains__, self.span_ids)))
        return sorted(row for span_id in wanted for row in self._rows_of(span_id))

    def _rows_of(self, span_id: bytes) -> Iterator[int]:
        at = self.joined_ids.find(span_id)
        while at >= 0:
            if at % len(_NO_ID) == 0:
                yield at // len(_NO_ID)
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
    came, awaited = merged(came)
    came, unresolved = joined(came, known)
    read = _Read(came)
    if len(read.ids) < len(came):
        came = came.take(read.places)
    by_start = _by_start(read, came)
    order, parents = _depth_first(_parents(read, by_start, came), by_start)
    _mark_misplaced(parents, read)
    row_of = [0] * len(order)
    for row, i in enumerate(order):
        row_of[i] = row
    parent = [row_of[above] if above >= 0 else above for above in map(parents.__getitem__, order)]
    t0 = min(read.starts, default=0)
    stored = came.take(order)
    origins = [_origin(origin.resource) for origin in stored.origins]
    # Numbered in order of appearance: the order in which spans came must not show.
    service, services = _numbered(stored.origin, [service for service, _ in origins])
    host, hosts = _numbered(stored.origin, [host for _, host in origins])
    span_ids = _in_order(read.ids, order)
    names = _in_order(read.names, order)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return Trace(
        t0_unix_nano=t0,
        parent=parent,
        end_row=_end_rows(parent),
        depth=depths(parent),
        start_ns=_in_order(array("q", map(operator.sub, read.starts, repeat(t0))), order),
        duration_ns=_in_order(array("q", read.durations), order),
        service=service,
        name=list(map(numbers.__getitem__, names)),
        host=host,
        kind=_in_order(read.kinds, order),
        flags=_in_order(read.flags, order),
        span_ids=span_ids,
        parent_ids=_in_order(read.parent_ids, order),
        stored=stored,
        services=services,
        names=list(numbers),
        hosts=hosts,
        unreadable=unreadable,
        broken=read.broken,
        awaited=awaited,
        unresolved=unresolved,
        joined_ids=b"".join(span_ids) if set(map(len, span_ids)) == {len(_NO_ID)} else b"",
    )


class _Read:
    """The columns that come from the bytes of each span, in the order of the spans, those left out that do not parse.

    Only the head of a span is parsed: its attributes are most of what parsing it costs, and few spans are asked for them.
    """

    def __init__(self, came: StoredSpans) -> None:
        heads = head_columns(came.raw)
        self.places = heads.places
        self.ids = heads.ids
        self.parent_ids = heads.parent_ids
        self.names = heads.names
        self.flags = heads.flags
        self.broken = len(came) - len(heads.places)
        self.kinds = heads.kinds
        if not 0 <= min(self.kinds, default=0) <= max(self.kinds, default=0) <= 5:
            self.kinds = [kind if 0 <= kind <= 5 else 0 for kind in self.kinds]
        self.starts = heads.starts_unix_nano
        self.durations = list(map(operator.sub, heads.ends_unix_nano, heads.starts_unix_nano))
        self._place(came.received_unix_nano)
        if not 0 <= min(self.durations, default=0) <= max(self.durations, default=0) <= _LONGEST_NS:
            self._bound()

    def _bound(self) -> None:
        """Mark the spans that end before they begin, and bound all lengths."""
        durations, flags = self.durations, self.flags
        for at, duration in enumerate(durations):
            if duration < 0:
                durations[at] = 0
                flags[at] |= MISPLACED
            elif duration > _LONGEST_NS:
                durations[at] = _LONGEST_NS

    def _place(self, received_unix_nano: Sequence[int]) -> None:
        """Place at its arrival what has no usable start: whole seconds, as the store has it, the same before and after it is stored."""
        starts, flags = self.starts, self.flags
        if min(starts, default=_FIRST_START_NS) >= _FIRST_START_NS and max(starts, default=0) <= _LAST_START_NS:
            return
        for at, start in enumerate(starts):
            if not _FIRST_START_NS <= start <= _LAST_START_NS:
                starts[at] = received_unix_nano[self.places[at]] // _SECOND_NS * _SECOND_NS
                flags[at] |= ADJUSTED
                if start == 0:
                    # Its end says nothing of its length.
                    self.durations[at] = 0


def _origin(resource: bytes) -> tuple[str, str]:
    """Service and host of a resource."""
    try:
        attributes = Resource.FromString(resource).attributes
    except DecodeError:
        return "", ""
    service = text_of(attributes, "service.name")
    return service, text_of(attributes, *_HOST_KEYS) or service


def _by_start(read: _Read, came: StoredSpans) -> list[int]:
    """The spans by start; of those that start together the longest first, then by id, then by what else they hold."""
    starts, durations, ids = read.starts, read.durations, read.ids
    first = min(starts, default=0)
    keys: list[int] | list[float] = starts
    if max(starts, default=0) - first < _EXACT_IN_A_FLOAT:
        # Python compares these in half the time.
        keys = list(map(float, map(operator.sub, starts, repeat(first))))
    order = sorted(range(len(starts)), key=keys.__getitem__)
    ordered = _in_order(keys, order)
    done = 0
    for at in compress(range(len(ordered)), map(operator.eq, ordered, islice(ordered, 1, None))):
        if at < done:
            continue
        done = bisect_right(ordered, ordered[at], at)
        order[at:done] = sorted(
            order[at:done],
            key=lambda i: (-durations[i], ids[i], came.raw[i], came.origins[came.origin[i]]),
        )
    return order


def _parents(read: _Read, by_start: list[int], came: StoredSpans) -> list[int]:
    """The span each one hangs on. Of several with one id, the server's side, else the earliest; all of them are marked.

    Zipkin's client and server may share one id, and then name the same parent: the server's side hangs on the client's, and the
    two are not marked.
    """
    ids, kinds = read.ids, read.kinds
    by_id = dict(zip(ids, range(len(ids)), strict=True))
    same: list[list[int]] = []
    if len(by_id) < len(ids):
        by_id = {ids[i]: i for i in reversed(by_start)}
        same = _same_ids(read, by_start, by_id)
    # Only these ids can be named as a parent.
    for improper in {_NO_ID, *(one for one in by_id if len(one) != len(_NO_ID))}:
        by_id.pop(improper, None)
    parent_ids = read.parent_ids
    parents: list[int] = list(map(by_id.get, parent_ids, repeat(MISSING)))
    for i in compress(range(len(ids)), map(MISSING.__eq__, parents)):
        if len(parent_ids[i]) != len(_NO_ID) or parent_ids[i] == _NO_ID:
            parents[i] = ROOT
    for i in compress(range(len(ids)), map(operator.eq, parent_ids, ids)):
        parents[i] = ROOT
    for sharing in same:
        client = next((i for i in sharing if kinds[i] == CLIENT), None)
        if client is not None:
            servers = [i for i in sharing if kinds[i] == SERVER]
            for i in servers:
                parents[i] = client
            if len(servers) == 1 and len(sharing) == 2:
                # The two sides of one call: nothing to warn of.
                read.flags[client] &= ~SAME_ID
                read.flags[servers[0]] &= ~SAME_ID
    shared = [i for i, kind in enumerate(kinds) if kind in (SERVER, CONSUMER) and MARK in came.raw[i]]
    if shared:
        services = [_origin(origin.resource)[0] for origin in came.origins]
        hang_shared(shared, parents, parent_ids, came.raw, by_id, lambda i: services[came.origin[i]])
    calls = [i for i, one in enumerate(came.raw) if RPC_ID in one]
    if calls:
        hang_calls(calls, parents, parent_ids, came.raw, kinds, by_id)
    return parents


def _same_ids(read: _Read, by_start: list[int], by_id: dict[bytes, int]) -> list[list[int]]:
    """The spans of each id that several have, by start. They are marked, and `by_id` gets the one to hang on."""
    ids, kinds, flags = read.ids, read.kinds, read.flags
    same: dict[bytes, list[int]] = {}
    for i in by_start:
        other = by_id[ids[i]]
        if other != i:
            same.setdefault(ids[i], [other]).append(i)
            flags[i] |= SAME_ID
            flags[other] |= SAME_ID
            if kinds[i] == SERVER and kinds[other] != SERVER:
                by_id[ids[i]] = i
    return list(same.values())


def _depth_first(parents: list[int], by_start: list[int]) -> tuple[list[int], list[int]]:
    """Rows in order, and the parents with rings cut open where they are entered."""
    first_child = [-1] * len(parents)
    next_sibling = [-1] * len(parents)
    first_top = -1
    for i in reversed(by_start):
        above = parents[i]
        if above >= 0:
            next_sibling[i] = first_child[above]
            first_child[above] = i
        else:
            next_sibling[i] = first_top
            first_top = i
    order: list[int] = []
    _visit(first_top, first_child, next_sibling, order)
    if len(order) < len(parents):
        parents = list(parents)
        seen = bytearray(len(parents))
        for i in order:
            seen[i] = 1
        rank = {i: at for at, i in enumerate(by_start)}
        for i in by_start:
            if not seen[i]:
                # Not reached from any top: on a ring of parents, or below one. Walk up to the ring, open it at its
                # earliest span.
                ring_start = i
                path: set[int] = set()
                while ring_start not in path:
                    path.add(ring_start)
                    ring_start = parents[ring_start]
                ring = [ring_start]
                while parents[ring[-1]] != ring_start:
                    ring.append(parents[ring[-1]])
                top = min(ring, key=rank.__getitem__)
                _unlink(top, parents[top], first_child, next_sibling)
                parents[top] = ROOT
                begin = len(order)
                _visit(top, first_child, next_sibling, order)
                for reached in order[begin:]:
                    seen[reached] = 1
    return order, parents


def _visit(top: int, first_child: list[int], next_sibling: list[int], order: list[int]) -> None:
    """Append `top`, its siblings after it and all their descendants, depth first."""
    waiting = [top]
    while waiting:
        i = waiting.pop()
        while i >= 0:
            order.append(i)
            after = next_sibling[i]
            if after >= 0:
                waiting.append(after)
            i = first_child[i]


def _unlink(child: int, above: int, first_child: list[int], next_sibling: list[int]) -> None:
    """Take a child from the list of its parent's children."""
    if first_child[above] == child:
        first_child[above] = next_sibling[child]
    else:
        before = first_child[above]
        while next_sibling[before] != child:
            before = next_sibling[before]
        next_sibling[before] = next_sibling[child]
    next_sibling[child] = -1


def _mark_misplaced(parents: list[int], read: _Read) -> None:
    """Set MISPLACED where a span lies outside its parent by more than the noise of clocks."""
    starts, durations, flags = read.starts, read.durations, read.flags
    for i, above in enumerate(parents):
        if above < 0:
            continue
        before = starts[above] - starts[i]
        after = durations[i] - durations[above] - before
        if before <= _CLOCK_NOISE_NS and after <= _CLOCK_NOISE_NS:
            continue
        if flags[i] & ADJUSTED or flags[above] & ADJUSTED:
            continue  # a start that was placed at the arrival says nothing
        noise = max(durations[above] // 100, _CLOCK_NOISE_NS)
        if before > noise or after > noise:
            flags[i] |= MISPLACED


def _end_rows(parent: list[int]) -> list[int]:
    ends = list(range(1, len(parent) + 1))
    for row in range(len(parent) - 1, -1, -1):
        above = parent[row]
        if above >= 0 and ends[row] > ends[above]:
            ends[above] = ends[row]
    return ends


def _in_order(values: Sequence[T], order: list[int]) -> list[T]:
    """The values by row. Of an array they are new objects, in memory one after another as they are read from now on."""
    return list(map(values.__getitem__, order))


def _numbered(origin: list[int], texts: list[str]) -> tuple[list[int], list[str]]:
    """For each row the number of the text of its origin, and the texts by number, in order of appearance."""
    found: dict[str, int] = {}
    numbers = {one: found.setdefault(texts[one], len(found)) for one in dict.fromkeys(origin)}
    return list(map(numbers.__getitem__, origin)), list(found)
