"""The columns the trace page draws: every span of a trace as a row, depth first. Pure, iterative, no object a span."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.otlp_read import SpanBytes, deduplicated
from clew_server.model.text import value_text

FAILED, ORIGIN, EVENTS, LINKS, MISPLACED, SAME_ID, ADJUSTED = 1, 2, 4, 8, 16, 32, 64
"""Bits of `flags`."""

ROOT, MISSING = -1, -2
"""In `parent`: the span has none, or names one that is not there."""

# The store places the same starts at the arrival (schema 0002).
_FIRST_START_NS: Final = 946_684_800_000_000_000
_LAST_START_NS: Final = 4_102_444_799_999_999_999
_ERROR: Final = 2
_SERVER: Final = 2
_SECOND_NS: Final = 1_000_000_000


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


def skeleton(spans: Iterable[SpanBytes]) -> dict[str, Any]:
    """Columns of a trace: JSON-ready, the same for the same spans in any order and however often they come.

    `t0` decimal text of ns since the epoch; `start[]` and `dur[]` ns; rows depth first, children and roots by start.
    A span that names itself as its parent is a root; of a ring of parents the earliest span is. Spans whose bytes do not
    parse are left out. `etag` is a hash of the columns.
    """
    services, names = _Words(), _Words()
    service_of: dict[bytes, int] = {}
    ids: list[bytes] = []
    parent_ids: list[bytes] = []
    starts: list[int] = []
    durations: list[int] = []
    service: list[int] = []
    name: list[int] = []
    kinds: list[int] = []
    flags: list[int] = []
    raw: list[bytes] = []
    parse = Span.FromString
    for stored in deduplicated(spans):
        try:
            span = parse(stored.span)
        except DecodeError:
            continue
        begin, end = span.start_time_unix_nano, span.end_time_unix_nano
        flag = FAILED if span.status.code == _ERROR else 0
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
        number = service_of.get(stored.resource)
        if number is None:
            number = service_of[stored.resource] = services.number(_service_name(stored.resource))
        service.append(number)
        name.append(names.number(span.name))
        kind = span.kind
        kinds.append(kind if 0 <= kind <= 5 else 0)
        flags.append(flag)
        ids.append(span.span_id)
        parent_ids.append(span.parent_span_id)
        raw.append(stored.span)

    by_start = sorted(range(len(ids)), key=lambda i: (starts[i], -durations[i], ids[i], raw[i]))
    parents = _parents(ids, parent_ids, kinds, by_start, flags)
    order, parents = _depth_first(parents, by_start)
    row_of = [0] * len(order)
    for row, i in enumerate(order):
        row_of[i] = row
    _mark(order, parents, starts, durations, flags)

    t0 = min(starts, default=0)
    # Numbered anew in order of appearance: the order in which spans came must not show.
    row_services, service_texts = _renumbered((service[i] for i in order), services.texts)
    row_names, name_texts = _renumbered((name[i] for i in order), names.texts)
    columns: dict[str, Any] = {
        "t0": str(t0),
        "services": service_texts,
        "names": name_texts,
        "span_id": b"".join(ids[i][:8].ljust(8, b"\0") for i in order).hex(),
        "parent": [row_of[parents[i]] if parents[i] >= 0 else parents[i] for i in order],
        "missing": [[row_of[i], parent_ids[i].hex()] for i in order if parents[i] == MISSING],
        "start": [starts[i] - t0 for i in order],
        "dur": [durations[i] for i in order],
        "svc": row_services,
        "name": row_names,
        "kind": [kinds[i] for i in order],
        "flags": [flags[i] for i in order],
        "critical": [],
        "total": len(order),
    }
    columns["etag"] = _hash(columns)
    return columns


def _service_name(resource: bytes) -> str:
    try:
        attributes = Resource.FromString(resource).attributes
    except DecodeError:
        return ""
    return next((value_text(pair.value) for pair in attributes if pair.key == "service.name"), "")


def _parents(
    ids: list[bytes], parent_ids: list[bytes], kinds: list[int], by_start: list[int], flags: list[int]
) -> list[int]:
    """The span each one hangs on. Of several with one id, the server's side, else the earliest; both are marked."""
    by_id: dict[bytes, int] = {}
    for i in by_start:
        other = by_id.setdefault(ids[i], i)
        if other != i:
            flags[i] |= SAME_ID
            flags[other] |= SAME_ID
            if kinds[i] == _SERVER and kinds[other] != _SERVER:
                by_id[ids[i]] = i
    none = b"\0" * 8
    return [
        ROOT if len(parent) != 8 or parent == none or parent == ids[i] else by_id.get(parent, MISSING)
        for i, parent in enumerate(parent_ids)
    ]


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


def _mark(order: list[int], parents: list[int], starts: list[int], durations: list[int], flags: list[int]) -> None:
    """Set ORIGIN and MISPLACED, from the leaves up."""
    failed_below = bytearray(len(order))
    for i in reversed(order):
        failed = flags[i] & FAILED
        if failed and not failed_below[i]:
            flags[i] |= ORIGIN
        above = parents[i]
        if above < 0:
            continue
        if failed or failed_below[i]:
            failed_below[above] = 1
        if flags[i] & ADJUSTED or flags[above] & ADJUSTED:
            continue  # their true times are not known
        if starts[i] < starts[above] or starts[i] + durations[i] > starts[above] + durations[above]:
            flags[i] |= MISPLACED


def _renumbered(numbers: Iterable[int], texts: list[str]) -> tuple[list[int], list[str]]:
    words = _Words()
    new = [-1] * len(texts)
    rows = []
    for number in numbers:
        if new[number] < 0:
            new[number] = words.number(texts[number])
        rows.append(new[number])
    return rows, words.texts


def _hash(columns: dict[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key in ("t0", "services", "names", "span_id", "missing"):
        digest.update(repr(columns[key]).encode("utf-8", "surrogatepass"))
    for key in ("parent", "start", "dur", "svc", "name", "kind", "flags"):
        digest.update(array("Q", [value & 0xFFFFFFFFFFFFFFFF for value in columns[key]]).tobytes())
    return digest.hexdigest()
