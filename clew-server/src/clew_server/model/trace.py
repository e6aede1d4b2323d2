"""A trace: its spans as rows of a few columns, in the order of the tree. Built once, never changed. No I/O.

Rows are depth first, children and roots by start. So a span's descendants are the rows after it up to `end_row`, a pass over
the rows meets parents before children, and a pass backwards children before parents: nothing here recurses, however deep a
trace is. Questions about it are answered in `clew_server.analysis`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

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
from clew_server.model.failed import is_failed
from clew_server.model.otlp_read import deduplicated
from clew_server.model.stored import StoredSpan

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

# The store places the same starts at the arrival (schema 0002).
_FIRST_START_NS: Final = 946_684_800_000_000_000
_LAST_START_NS: Final = 4_102_444_799_999_999_999
_SECOND_NS: Final = 1_000_000_000
_CLOCK_NOISE_NS: Final = 1_000_000
_HOST_KEYS: Final = ("host.name", "host.id", "k8s.pod.uid", "k8s.pod.name", "container.id", "service.instance.id")


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace. Every sequence but the last four has one entry a row."""

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
    """0 where the span ends before it begins."""
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
    stored: Sequence[StoredSpan]
    services: Sequence[str]
    names: Sequence[str]
    hosts: Sequence[str]
    """Host, pod, container or instance of the resource; where it names none, its service."""
    unreadable: str | None
    """A sentence about what damage took from the trace; None when nothing."""
    awaited: int = 0
    """Events that came as log records and whose span is not here."""

    def __len__(self) -> int:
        return len(self.parent)

    def roots(self) -> list[int]:
        """Rows without a parent here, by start."""
        found, row = [], 0
        while row < len(self.parent):
            found.append(row)
            row = self.end_row[row]
        return found

    def children(self, row: int) -> Iterator[int]:
        """Rows of the children, by start."""
        child, end = row + 1, self.end_row[row]
        while child < end:
            yield child
            child = self.end_row[child]

    def end_ns(self, row: int) -> int:
        """The span's end, from `t0_unix_nano`."""
        return self.start_ns[row] + self.duration_ns[row]

    def span(self, row: int) -> Span:
        """The whole span, parsed anew at each call."""
        return Span.FromString(self.stored[row].span)

    def service_of(self, row: int) -> str:
        """Its `service.name`; empty where it names none."""
        return self.services[self.service[row]]

    def name_of(self, row: int) -> str:
        """Its operation."""
        return self.names[self.name[row]]


class _Words:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return number


def trace_from_spans(spans: Iterable[StoredSpan], *, unreadable: str | None = None, awaited: int = 0) -> Trace:
    """The trace of these spans: the same for the same spans in any order and however often they come.

    A span that names itself as its parent is a root; of a ring of parents the earliest span is. Spans whose bytes do not
    parse are left out.
    """
    services, names, hosts = _Words(), _Words(), _Words()
    origins: dict[bytes, tuple[int, int]] = {}
    ids: list[bytes] = []
    parent_ids: list[bytes] = []
    starts: list[int] = []
    durations: list[int] = []
    service: list[int] = []
    host: list[int] = []
    name: list[int] = []
    kinds: list[int] = []
    flags: list[int] = []
    came: list[StoredSpan] = []
    parse = Span.FromString
    for stored in deduplicated(spans):
        try:
            span = parse(stored.span)
        except DecodeError:
            continue
        begin, end = span.start_time_unix_nano, span.end_time_unix_nano
        flag = FAILED if is_failed(span, stored.span) else 0
        if span.events:
            flag |= EVENTS
        if span.links:
            flag |= LINKS
        if end < begin:
            flag |= MISPLACED
        if _FIRST_START_NS <= begin <= _LAST_START_NS:
            starts.append(begin)
        else:
            # Whole seconds, as the store has the arrival: the same before and after it is stored.
            starts.append(stored.received_unix_nano // _SECOND_NS * _SECOND_NS)
            flag |= ADJUSTED
        durations.append(end - begin if end > begin > 0 else 0)
        origin = origins.get(stored.resource)
        if origin is None:
            service_name, host_name = _origin(stored.resource)
            origin = origins[stored.resource] = services.number(service_name), hosts.number(host_name)
        service.append(origin[0])
        host.append(origin[1])
        name.append(names.number(span.name))
        kind = span.kind
        kinds.append(kind if 0 <= kind <= 5 else 0)
        flags.append(flag)
        ids.append(span.span_id)
        parent_ids.append(span.parent_span_id)
        came.append(stored)

    by_start = sorted(range(len(ids)), key=lambda i: (starts[i], -durations[i], ids[i], came[i].span))
    parents = _parents(ids, parent_ids, kinds, by_start, flags)
    order, parents = _depth_first(parents, by_start)
    row_of = [0] * len(order)
    for row, i in enumerate(order):
        row_of[i] = row
    _mark_misplaced(parents, starts, durations, flags)
    parent = [row_of[parents[i]] if parents[i] >= 0 else parents[i] for i in order]
    t0 = min(starts, default=0)
    # Numbered anew in order of appearance: the order in which spans came must not show.
    row_services, service_texts = _renumbered((service[i] for i in order), services.texts)
    row_names, name_texts = _renumbered((name[i] for i in order), names.texts)
    row_hosts, host_texts = _renumbered((host[i] for i in order), hosts.texts)
    return Trace(
        t0_unix_nano=t0,
        parent=parent,
        end_row=_end_rows(parent),
        depth=depths(parent),
        start_ns=[starts[i] - t0 for i in order],
        duration_ns=[durations[i] for i in order],
        service=row_services,
        name=row_names,
        host=row_hosts,
        kind=[kinds[i] for i in order],
        flags=[flags[i] for i in order],
        span_ids=[ids[i] for i in order],
        parent_ids=[parent_ids[i] for i in order],
        stored=[came[i] for i in order],
        services=service_texts,
        names=name_texts,
        hosts=host_texts,
        unreadable=unreadable,
        awaited=awaited,
    )


def _origin(resource: bytes) -> tuple[str, str]:
    """Service and host of a resource."""
    try:
        attributes = Resource.FromString(resource).attributes
    except DecodeError:
        return "", ""
    service = text_of(attributes, "service.name")
    return service, text_of(attributes, *_HOST_KEYS) or service


def _parents(
    ids: list[bytes], parent_ids: list[bytes], kinds: list[int], by_start: list[int], flags: list[int]
) -> list[int]:
    """The span each one hangs on. Of several with one id, the server's side, else the earliest; all of them are marked.

    Zipkin's client and server may share one id, and then name the same parent: the server's side hangs on the client's.
    """
    by_id: dict[bytes, int] = {}
    same: dict[bytes, list[int]] = {}
    for i in by_start:
        other = by_id.setdefault(ids[i], i)
        if other != i:
            same.setdefault(ids[i], [other]).append(i)
            flags[i] |= SAME_ID
            flags[other] |= SAME_ID
            if kinds[i] == SERVER and kinds[other] != SERVER:
                by_id[ids[i]] = i
    none = b"\0" * 8
    parents = [
        ROOT if len(parent) != 8 or parent == none or parent == ids[i] else by_id.get(parent, MISSING)
        for i, parent in enumerate(parent_ids)
    ]
    for sharing in same.values():
        client = next((i for i in sharing if kinds[i] == CLIENT), None)
        if client is not None:
            for i in sharing:
                if kinds[i] == SERVER:
                    parents[i] = client
    return parents


def _depth_first(parents: list[int], by_start: list[int]) -> tuple[list[int], list[int]]:
    """Rows in order, and the parents with rings cut open where they are entered."""
    children: dict[int, list[int]] = {}
    tops = []
    for i in by_start:
        if parents[i] >= 0:
            children.setdefault(parents[i], []).append(i)
        else:
            tops.append(i)
    seen = bytearray(len(parents))
    order: list[int] = []

    def visit(tops: list[int]) -> None:
        stack = tops[::-1]
        while stack:
            i = stack.pop()
            if seen[i]:
                continue
            seen[i] = 1
            order.append(i)
            below = children.get(i)
            if below is not None:
                stack.extend(reversed(below))

    visit(tops)
    if len(order) < len(parents):
        parents = list(parents)
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
                parents[top] = ROOT
                visit([top])
    return order, parents


def _mark_misplaced(parents: list[int], starts: list[int], durations: list[int], flags: list[int]) -> None:
    """Set MISPLACED where a span lies outside its parent by more than the noise of clocks."""
    for i, above in enumerate(parents):
        if above < 0 or flags[i] & ADJUSTED or flags[above] & ADJUSTED:
            continue  # a start that was placed at the arrival says nothing
        noise = max(durations[above] // 100, _CLOCK_NOISE_NS)
        before = starts[above] - starts[i]
        after = starts[i] + durations[i] - starts[above] - durations[above]
        if before > noise or after > noise:
            flags[i] |= MISPLACED


def _end_rows(parent: list[int]) -> list[int]:
    ends = list(range(1, len(parent) + 1))
    for row in range(len(parent) - 1, -1, -1):
        above = parent[row]
        if above >= 0 and ends[row] > ends[above]:
            ends[above] = ends[row]
    return ends


def _renumbered(numbers: Iterable[int], texts: list[str]) -> tuple[array[int], list[str]]:
    words = _Words()
    new = [-1] * len(texts)
    rows = array("l")
    for number in numbers:
        if new[number] < 0:
            new[number] = words.number(texts[number])
        rows.append(new[number])
    return rows, words.texts
