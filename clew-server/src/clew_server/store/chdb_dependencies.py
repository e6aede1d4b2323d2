"""Which services call which, computed from the spans when it is asked: nothing is written for it, and late spans count at once.

A call belongs to the time at which its caller's span starts. The other side is looked for from a minute before to ten
minutes after, or until `MARGIN_SPANS` further spans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import Unavailable
from clew_server.model.columns import CLIENT, CONSUMER, PRODUCER
from clew_server.model.dependency import CallKind, Dependencies, Dependency, Uninstrumented
from clew_server.store.asking import MAX_EXECUTION_S, Question, Stopped, Tables
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_reader import RowBinary
from clew_server.store.chdb_search import iso
from clew_server.store.connections import Pool
from clew_server.store.orders import FIRST_START_NS, LAST_START_NS
from clew_server.store.peers import KEYS_AND_VALUES, is_database, peer_of

PIECE_SPANS: Final = 1_000_000
"""About what one statement looks at: it holds their ids in memory."""
MAX_SPANS: Final = 5_000_000
"""What one question looks at, the newest first."""
MARGIN_SPANS: Final = 100_000
MAX_LINKED: Final = 20_000
"""Consumers with links whose bytes are read, in each piece."""

_MINUTE_NS: Final = 60_000_000_000
_AFTER_NS: Final = 10 * _MINUTE_NS
_BEFORE_NS: Final = _MINUTE_NS
_ERROR: Final = 2
_HASTE: Final = 0.6
"""The newest piece may take this part of the time; else `PIECE_SPANS / _LESS` spans are looked at in the rest of it."""
_LESS: Final = 8

_ID: Final = "cityHash64(trace_id,span_id)"
_PARENT: Final = "cityHash64(trace_id,parent_id)"
_HAS_PARENT: Final = "parent_id!=toFixedString('',8)"
_SERVERS: Final = f"(SELECT {_ID} FROM spans WHERE H(NS({{below_ns:Int64}}),NS({{below_to_ns:Int64}})) AND kind=2)"
_CLIENTS: Final = f"(SELECT {_ID} FROM spans WHERE H(NS({{above_ns:Int64}}),NS({{below_to_ns:Int64}})) AND kind=3)"
_SPAN_IDS: Final = "(SELECT arrayJoin(arrayMap(x->toFixedString(unhex(x),24),{span_ids:Array(String)})))"
_MAY_CROSS: Final = (
    "cityHash64(trace_id,parent_id,service) NOT IN (SELECT cityHash64(trace_id,span_id,service) FROM spans"
    " WHERE H(NS({above_ns:Int64}),NS({below_to_ns:Int64})))"
)
"""Spans whose parent is not of their own service: nearly all that are no servers are left out before the join."""

_CROSSED: Final = (
    f"(SELECT below.parent FROM (SELECT {_PARENT} AS parent, service FROM spans"
    " WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind<2) AS below"
    f" INNER JOIN (SELECT {_ID} AS id, service FROM spans WHERE H(NS({{from_ns:Int64}}),NS({{to_ns:Int64}})) AND kind IN (3,4)) AS above"
    " ON below.parent=above.id WHERE above.service!=below.service)"
)
"""Spans that are answered by spans of another service that are no servers."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Callers that start from `from_ns` to before `to_ns`, and where the other sides of their calls are looked for."""

    from_ns: int
    to_ns: int
    above_ns: int
    """A caller of what starts in the piece starts from here on."""
    below_to_ns: int
    """What a caller of the piece calls starts before this."""

    def parameters(self) -> dict[str, str]:
        return {
            "from_ns": str(self.from_ns),
            "to_ns": str(self.to_ns),
            "above_ns": str(self.above_ns),
            "above_to_ns": str(self.to_ns + _BEFORE_NS),
            "below_ns": str(self.from_ns - _BEFORE_NS),
            "below_to_ns": str(self.below_to_ns),
        }


class _Key(NamedTuple):
    caller: str
    callee: str
    kind: CallKind
    uninstrumented: Uninstrumented | None


class _Found(NamedTuple):
    """Calls and failures, and why some may be missing."""

    calls: list[tuple[_Key, int, int]]
    reason: str | None


class _Sums:
    """Calls and failures of each pair of services."""

    def __init__(self) -> None:
        self._sums: dict[_Key, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, key: _Key, calls: int, failed: int) -> None:
        sums = self._sums[key]
        sums[0] += calls
        sums[1] += failed

    def sorted(self) -> list[Dependency]:
        return [
            Dependency(*key, *self._sums[key])
            for key in sorted(self._sums, key=lambda key: (key.caller, key.callee, key.kind, key.uninstrumented or ""))
        ]


class ChdbDependencies:
    """The store's TraceDependencies. Safe for several threads."""

    def __init__(self, pool: Pool, tables: Tables, *, seconds: float = MAX_EXECUTION_S) -> None:
        """`seconds`: what one question may take; what it did not get to by then is missing, and the answer says so."""
        self._pool = pool
        self._tables = tables
        self._seconds = seconds

    def dependencies(self, from_unix_nano: int, to_unix_nano: int) -> Dependencies:
        """See TraceDependencies."""
        from_ns = min(max(from_unix_nano, FIRST_START_NS), LAST_START_NS)
        to_ns = min(max(to_unix_nano, FIRST_START_NS), LAST_START_NS)
        if from_ns >= to_ns:
            return Dependencies([], None)
        sums = _Sums()
        whole, hasty = (
            Question(self._pool, self._tables, seconds=seconds) for seconds in (self._seconds, self._seconds * _HASTE)
        )
        reasons: list[str] = []
        reached_ns = to_ns
        try:
            minutes = _minutes(from_ns, to_ns, whole)
            pieces, all_from_ns = _pieces(minutes, from_ns, to_ns, PIECE_SPANS)
            if all_from_ns > from_ns:
                reasons.append(f"more than {MAX_SPANS:,} spans: calls before {iso(all_from_ns)} were not looked at")
            for piece in pieces:
                stopped_by = None
                if reached_ns == to_ns:
                    piece, found, stopped_by = _first(piece, minutes, hasty, whole)
                else:
                    found = _calls(piece, whole)
                for key, calls, failed in found.calls:
                    sums.add(key, calls, failed)
                if found.reason is not None and found.reason not in reasons:
                    reasons.append(found.reason)
                reached_ns = piece.from_ns
                if stopped_by is not None:
                    raise stopped_by
        except Stopped as stopped:
            if reached_ns == to_ns:
                raise Unavailable(f"The store did not answer: {stopped}") from stopped
            reasons.append(f"{stopped}; calls before {iso(reached_ns)} were not looked at")
        reasons += dict.fromkeys(filter(None, [whole.missing(), hasty.missing()]))
        return Dependencies(sums.sorted(), "; ".join(reasons) or None)


def _first(
    piece: _Piece, minutes: Sequence[tuple[int, int]], hasty: Question, whole: Question
) -> tuple[_Piece, _Found, Stopped | None]:
    """The newest piece and its calls; where that takes too long, as on a busy machine, of a smaller one, and what stopped it."""
    try:
        return piece, _calls(piece, hasty), None
    except Stopped as stopped:
        smaller = _pieces(minutes, piece.from_ns, piece.to_ns, PIECE_SPANS // _LESS)[0][0]
        if smaller.from_ns <= piece.from_ns:
            raise
        return smaller, _calls(smaller, whole), stopped


def _minutes(from_ns: int, to_ns: int, question: Question) -> list[tuple[int, int]]:
    """The minutes with spans around the window, newest first: when each begins, how many spans start in it."""
    rows = question.rows(
        "spans_by_minute",
        {
            "from_s": str((from_ns - _AFTER_NS - _MINUTE_NS) // 1_000_000_000),
            "to_s": str((to_ns + _AFTER_NS) // 1_000_000_000),
        },
    )
    return [(int(minute_s) * 1_000_000_000, int(spans)) for minute_s, spans in rows]


def _pieces(minutes: Sequence[tuple[int, int]], from_ns: int, to_ns: int, piece_spans: int) -> tuple[list[_Piece], int]:
    """The window in pieces of about `piece_spans`, newest first, up to `MAX_SPANS`; and where the last one begins."""
    bounds = [to_ns]
    in_piece = in_all = 0
    reached_ns = from_ns
    for minute_ns, spans in minutes:
        if minute_ns >= to_ns or minute_ns + _MINUTE_NS <= from_ns:
            continue
        after_ns = minute_ns + _MINUTE_NS
        if in_all and in_all + spans > MAX_SPANS:
            reached_ns = min(after_ns, bounds[-1])
            break
        if in_piece and in_piece + spans > piece_spans:
            bounds.append(min(after_ns, bounds[-1]))
            in_piece = 0
        parts = -(-spans // piece_spans)
        # A minute with more than a piece: evenly by time.
        bounds.extend(minute_ns + _MINUTE_NS * part // parts for part in range(parts - 1, 0, -1))
        in_piece += spans // parts
        in_all += spans
    bounds.append(reached_ns)
    inside = [bound for bound in bounds if reached_ns <= bound <= to_ns]
    pieces = [
        _Piece(start, end, _above(minutes, start), _below(minutes, end))
        for end, start in pairwise(inside)
        if start < end
    ]
    return pieces, reached_ns


def _above(minutes: Sequence[tuple[int, int]], start_ns: int) -> int:
    """How far before a time callers are looked for."""
    found_ns, spans = start_ns - _BEFORE_NS, 0
    for minute_ns, count in minutes:
        if minute_ns + _MINUTE_NS <= start_ns:
            spans += count
            if spans > MARGIN_SPANS or minute_ns < start_ns - _AFTER_NS:
                return found_ns
            found_ns = min(found_ns, minute_ns)
    return start_ns - _AFTER_NS


def _below(minutes: Sequence[tuple[int, int]], end_ns: int) -> int:
    """How far after a time what was called is looked for."""
    spans = 0
    for minute_ns, count in reversed(minutes):
        if minute_ns >= end_ns:
            spans += count
            if spans > MARGIN_SPANS:
                return max(minute_ns, end_ns + _BEFORE_NS)
    return end_ns + _AFTER_NS


def _calls(piece: _Piece, question: Question) -> _Found:
    """The calls of a piece. Raises Stopped, StoreFailed, Unavailable."""
    window = piece.parameters()
    names_callers, consumes, links = map(bool, map(int, question.rows("peers_in_use", window)[0]))
    linked = _Links.read(piece, window, question) if links else _Links([], [], [], None)
    shares = bool(int(question.rows("shared_ids", window, CLIENTS=_CLIENTS)[0][0]))
    shared_parent = f"if(kind=2 AND {_ID} IN {_CLIENTS},{_ID},{_PARENT})"
    rows = question.rows(
        "calls",
        window,
        PARENT=shared_parent if shares else _PARENT,
        HAS_PARENT=f"({_HAS_PARENT} OR kind=2)" if shares else _HAS_PARENT,
        MAY_CROSS="1" if shares else _MAY_CROSS,
        # Below an id that client and server share, spans hang on the server's side.
        OF_CLIENT=f"NOT (above.kind=3 AND below.call!=above.id AND above.id IN {_SERVERS})" if shares else "1",
    )
    found = _rows(rows, None)
    crosses = any(int(is_other) for *_, is_other in rows)
    rows = question.rows(
        "calls_to_peers",
        {**window, **_span_ids(linked.callers)},
        PEER=peer_of("named"),
        IS_DATABASE=is_database("named"),
        KEYS_AND_VALUES=KEYS_AND_VALUES,
        ANSWERED=f"arrayJoin(if(kind=2,[{_ID},{_PARENT}],[{_PARENT}]))" if shares else _PARENT,
        NOT_CROSSED=f"{_ID} NOT IN {_CROSSED}" if crosses else "1",
        NOT_LINKED=f"concat(trace_id,span_id) NOT IN {_SPAN_IDS}" if linked.callers else "1",
    )
    found += _rows(rows, "callee")
    if names_callers or consumes:
        rows = question.rows(
            "calls_from_peers",
            {**window, **_span_ids(linked.consumers)},
            PEER=peer_of("named"),
            KEYS_AND_VALUES=KEYS_AND_VALUES,
            NOT_SHARED=f"NOT (kind=2 AND {_ID} IN {_CLIENTS})" if shares else "1",
            NOT_LINKED=f"concat(trace_id,span_id) NOT IN {_SPAN_IDS}" if linked.consumers else "1",
        )
        found += _rows(rows, "caller")
    return _Found(found + linked.calls, linked.reason)


def _rows(rows: list[list[Any]], uninstrumented: Uninstrumented | None) -> list[tuple[_Key, int, int]]:
    return [
        (_Key(caller, callee, word, uninstrumented), int(calls), int(failed))
        for caller, callee, word, calls, failed, *_ in rows
    ]


@dataclass(frozen=True, slots=True)
class _Links:
    """What links of consumers say: calls, and the spans on both sides, as 24 bytes in hex, of which the other side is known by them."""

    calls: list[tuple[_Key, int, int]]
    callers: list[str]
    consumers: list[str]
    reason: str | None

    @classmethod
    def read(cls, piece: _Piece, window: dict[str, str], question: Question) -> _Links:
        rows = question.rows("linked_consumers", {**window, "limit": str(MAX_LINKED + 1)})
        if not rows:
            return cls([], [], [], None)
        reason = (
            f"of more than {MAX_LINKED:,} consumers with links only some were looked at"
            if len(rows) > MAX_LINKED
            else None
        )
        consumers = {
            trace + span: (trace + parent, service, int(status))
            for trace, span, parent, service, status in rows[:MAX_LINKED]
        }
        senders = _senders(list(consumers), question)
        wanted = sorted({sender for of_one in senders.values() for sender in of_one})
        if not wanted:
            return cls([], [], [], reason)
        known: dict[str, list[tuple[str, int, int, int]]] = defaultdict(list)
        for trace, span, service, kind, status, start_ns in question.rows(
            "linked_callers", {**window, **_span_ids(wanted)}, SPAN_IDS=_SPAN_IDS
        ):
            known[trace + span].append((service, int(kind), int(status), int(start_ns)))
        sums: dict[_Key, list[int]] = defaultdict(lambda: [0, 0])
        answered: set[str] = set()
        received: set[str] = set()
        for consumer, (parent, callee, status) in consumers.items():
            for sender in senders.get(consumer, set()):
                for caller, kind, caller_status, start_ns in known[sender]:
                    if kind != PRODUCER and caller == callee:
                        continue
                    answered.add(sender)
                    received.add(consumer)
                    if sender != parent and piece.from_ns <= start_ns < piece.to_ns:
                        failed = status == _ERROR or (kind in (CLIENT, PRODUCER) and caller_status == _ERROR)
                        sums_of = sums[_Key(caller, callee, "message", None)]
                        sums_of[0] += 1
                        sums_of[1] += failed
        return cls(
            [(key, calls, failed) for key, (calls, failed) in sums.items()], sorted(answered), sorted(received), reason
        )


def _senders(consumers: Sequence[str], question: Question) -> dict[str, set[str]]:
    """The spans that each of these links to."""
    parameters = {
        "ids": _texts(sorted({consumer[:32] for consumer in consumers})),
        "spans": _texts(consumers),
        "limit": str(2 * MAX_LINKED),
    }
    rows = RowBinary(question.ask("spans_by_id", parameters, "RowBinary", IDS=IDS))
    found: dict[str, set[str]] = defaultdict(set)
    while rows.more():
        rows.uint64(), rows.uint64()
        try:
            span = Span.FromString(rows.string())
        except DecodeError:
            continue
        if span.kind == CONSUMER:
            consumer = (span.trace_id + span.span_id).hex()
            found[consumer].update(
                (link.trace_id + link.span_id).hex() for link in span.links if len(link.span_id) == 8
            )
    return found


def _span_ids(span_ids: Sequence[str]) -> dict[str, str]:
    return {"span_ids": _texts(span_ids)} if span_ids else {}


def _texts(texts: Iterable[str]) -> str:
    return "[" + ",".join(f"'{text}'" for text in texts) + "]"
